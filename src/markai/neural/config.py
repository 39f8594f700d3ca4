"""Everything that a training run depends on besides its pictures: one frozen dataclass, read from TOML."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True, slots=True)
class Config:
    """A training run.

    With ``minutes`` the schedule follows the clock (learning time of all legs together), else it ends after ``steps``.
    Sizes are in cells and multiples of 64.
    """

    size: str = "small"  # of the networks: model.SIZES
    seed: int = 1
    minutes: float = 0.0
    steps: int = 0
    batch: int = 16
    side: int = 128  # of the training planes
    bits: int = 64  # the message whose right bits are told
    rate: float = 1e-3  # AdamW, after WARM_UP steps; a cosine down to a hundredth
    ema: float = 0.998
    keys: int = 64  # that pictures are marked with, and
    per_key: int = 96  # pictures under each; 64 KiB of memory a picture of side 128
    large_cells: float = 0.25  # share of keys whose pictures have cells so large that no attack is foreseen
    energy: float = 200.0  # D^2 beyond which the loss flattens; on a 128x128 plane a code of 8 bytes needs 57
    ssim: float = 60.0  # weight of what SSIM loses beyond the hand-made mark's loss
    strength: float = 0.3  # of the attacks at the start
    pace: float = 0.02  # by which it rises per logged interval while the accuracy is above ``enough``, or else falls
    enough: float = 0.8
    parts: int = 4  # of a batch that get their own attack
    synthetic: float = 0.15  # share of pictures made on the fly
    regenerate: bool = True  # train an autoencoder beside, and attack with it
    snapshot: int = 200  # steps between renewals of the frozen autoencoder; until the first one blur stands in
    bf16: bool = False
    log_every: int = 50
    save_every: int = 500
    pictures: int = 0  # 0 for all
    evaluate: int = 48  # held-out pictures, at 256x256

    def __post_init__(self) -> None:
        if (self.minutes > 0) == (self.steps > 0):
            raise ValueError("a training run is as long as either minutes or steps say - set one of them")
        if self.side % 64 or self.batch % self.parts:
            raise ValueError("the side is a multiple of 64, and the batch one of its parts")
        if self.per_key < self.batch:
            raise ValueError("a batch is of one key - give every key as many pictures at least")

    def progress(self, step: int, seconds: float) -> float:
        """Return how much of the schedule is over, 0 to 1.

        >>> Config(steps=200).progress(50, 0.0), Config(minutes=1.0).progress(50, 30.0)
        (0.25, 0.5)
        """
        done = step / self.steps if self.steps else seconds / (60 * self.minutes)
        return min(1.0, done)


def load(name: str) -> Config:
    """Return the configuration of that name, or from a TOML file.

    >>> load("ci").size
    'tiny'

    Raises:
        ValueError: if there is none, or it is no TOML, or it has a setting that is not known or of another kind.
    """
    path = Path(name) if name.endswith(".toml") else CONFIGS / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in CONFIGS.glob("*.toml")))
        raise ValueError(f"there is no training configuration {name!r} - name a TOML file or one of {known}")
    values = tomllib.loads(path.read_text())
    unknown = set(values) - {each.name for each in fields(Config)}
    if unknown:
        raise ValueError(f"{path} sets {', '.join(sorted(unknown))}, which no training run has - see Config")
    for each in fields(Config):
        value, kind = values.get(each.name, each.default), type(each.default)
        if type(value) not in (kind, int if kind is float else kind):
            raise ValueError(f"{path} sets {each.name} to a {type(value).__name__} - {kind.__name__} is meant")
    return Config(**values)
