"""Training: one loop, one configuration, resumable; ``markai train``, or ``python -m markai.neural.train`` without it.

Step n draws everything from generators seeded by (seed, n), so a run that was interrupted goes on as if it had not
been. The folder gets the checkpoint (``checkpoint``), ``log.jsonl``, ``loss.svg`` and, once the schedule is over,
``evaluation.json``.
"""

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from markai.errors import OutputError, WeightsError
from markai.files import write_atomically
from markai.neural import augment, checkpoint, regenerate
from markai.neural.config import Config, load
from markai.neural.curve import loss_curve
from markai.neural.data import Pictures, batch_of
from markai.neural.evaluate import Trial, evaluate, ssim
from markai.neural.jpeg import rounded
from markai.neural.lattice import Lattice, energy, repeated
from markai.neural.model import Pair
from markai.neural.starts import ROUND_STEP, Starts, drawn_key

WARM_UP = 100  # steps
CLIP = 1.0  # of the gradient's norm
FILES = ("weights", "model", "first", "second")
MEASURED = ("loss", "accuracy", "dissimilar", "regeneration")
Report = Callable[[dict[str, Any]], object]  # takes the rows of the log, and one before them
LEAST = 5.0  # D^2 that is added before its logarithm is taken: what is lost altogether teaches nothing


class Trainer:
    """The state of a run and how it takes a step."""

    def __init__(self, config: Config, pictures: Pictures) -> None:
        self.config, self.device = config, pictures.bank.device
        self.starts = [_starts(config, pictures, number) for number in range(config.keys)]
        torch.manual_seed(config.seed)
        self.pair = Pair(config.size)
        self.autoencoder = regenerate.Autoencoder()
        for module in (self.pair, self.autoencoder):
            module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.pair).requires_grad_(False)
        self.frozen = copy.deepcopy(self.autoencoder).requires_grad_(False)
        self.lattice = Lattice().to(self.device)
        self.optimiser = torch.optim.AdamW(self._parameters(), lr=config.rate, weight_decay=1e-4)
        self.step, self.seconds, self.strength = 0, 0.0, config.strength

    def _parameters(self) -> list[nn.Parameter]:
        return [*self.pair.parameters(), *self.autoencoder.parameters()]

    @property
    def progress(self) -> float:
        return self.config.progress(self.step, self.seconds)

    @property
    def rate(self) -> float:
        falling = (1 + math.cos(math.pi * self.progress)) / 2
        return self.config.rate * min(1.0, (self.step + 1) / WARM_UP) * (0.01 + 0.99 * falling)

    def take_step(self) -> Tensor:
        """Take one step; return the (len(MEASURED),) measurements, still on the device."""
        config = self.config
        generator = torch.Generator(self.device).manual_seed(config.seed * 1_000_003 + self.step)
        ready = config.regenerate and self.step >= config.snapshot
        host = np.random.default_rng([config.seed, self.step])
        starts = self.starts[int(host.integers(len(self.starts)))]
        rows = starts.rows(torch.from_numpy(host.permutation(len(starts))[: config.batch]), self.device)
        draw = augment.Draw(generator, host, rows.plane, self.frozen if ready else None)
        self.optimiser.param_groups[0]["lr"] = self.rate
        self.optimiser.zero_grad(set_to_none=True)
        loss, accuracy, likeness = self._mark(rows, draw)
        redone = self._regenerate(rows.plane, generator)
        torch.autograd.backward([loss + redone])
        nn.utils.clip_grad_norm_(self.pair.parameters(), CLIP)
        self.optimiser.step()
        self._follow()
        self.step += 1
        return torch.stack([loss, accuracy, likeness, redone]).detach()

    def _mixed(self) -> torch.autocast:
        """Networks may compute in bfloat16; the attacks, which round to grey levels, must not."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bf16)

    def _mark(self, rows: Starts, draw: augment.Draw) -> tuple[Tensor, Tensor, Tensor]:
        plane, message = rows.plane, rows.message
        pattern = self.lattice.plane(message.signs, self.lattice.tilt, (plane.shape[2], plane.shape[3]))
        with self._mixed():
            change = self.pair.embedder(plane, rows.change, pattern, rows.allowed, rows.limit)
        marked = rounded(plane + change).clamp(0, 255)
        suffered, warp = augment.attacked(marked, self.strength, draw, self.config.parts)
        cells, inside = warp.undone(suffered)
        with self._mixed():
            found = self.pair.extractor(cells) * inside
        soft = self.lattice.soft_bits(self.lattice.read(found), message, told=True)
        right = (repeated(soft, message.bits, self.config.bits) > 0).float().mean()
        # What counts is whether D^2 reaches what the code needs: plenty teaches little, want teaches by its logarithm.
        lack = math.log(self.config.energy) - (energy(soft, message.bits) + LEAST).log()
        with torch.no_grad():
            before = ssim(plane, (plane + rows.change).round().clamp(0, 255))
        dissimilar = before - ssim(plane, marked)
        loss = F.softplus(lack).mean() + self.config.ssim * F.relu(dissimilar).mean()
        return loss, right, dissimilar.mean()

    def _regenerate(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Return the autoencoder's loss in units of 20 grey levels."""
        if not self.config.regenerate:
            return clean.new_zeros(())
        with self._mixed():
            return regenerate.loss(self.autoencoder, clean, generator) / 20

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average; renew the frozen autoencoder when it is time."""
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.pair.parameters()), 1 - decay)
        if self.config.regenerate and (self.step + 1) % self.config.snapshot == 0:
            self.frozen.load_state_dict(self.autoencoder.state_dict())

    def pace(self, accuracy: float) -> None:
        """Attack harder while the bits come through, softer where they do not."""
        moved = self.strength + (self.config.pace if accuracy > self.config.enough else -self.config.pace)
        self.strength = min(1.0, max(self.config.strength, moved))

    def save(self, folder: Path) -> None:
        """Write the checkpoint."""
        moments = [self.optimiser.state.get(each, {}) for each in self._parameters()]
        files = {
            "weights": self.average.state_dict(),
            "model": checkpoint.joined(pair=self.pair, autoencoder=self.autoencoder, frozen=self.frozen),
        }
        for name, key in (("first", "exp_avg"), ("second", "exp_avg_sq")):
            files[name] = {str(i): state[key] for i, state in enumerate(moments) if state}
        taken = [int(state["step"]) if state else 0 for state in moments]
        state = {"step": self.step, "seconds": self.seconds, "strength": self.strength, "taken": taken}
        checkpoint.save(folder, files, {**state, "config": asdict(self.config)})

    def resume(self, folder: Path) -> None:
        """Go on where :meth:`save` left off.

        Raises:
            WeightsError: if there is no checkpoint, or one that is damaged or of networks of another size.
        """
        files, state = checkpoint.load(folder, FILES)
        size = state["config"]["size"]
        if size != self.config.size:
            raise WeightsError(
                f"{folder} has networks of size {size}, not {self.config.size} - resume with its own config"
            )
        for name, module in (("pair", self.pair), ("autoencoder", self.autoencoder), ("frozen", self.frozen)):
            module.load_state_dict(checkpoint.part(files["model"], name))
        self.average.load_state_dict(files["weights"])
        for i, (parameter, taken) in enumerate(zip(self._parameters(), state["taken"], strict=True)):
            if taken:
                first, second = (files[name][str(i)].to(parameter) for name in ("first", "second"))
                moments = {"step": torch.tensor(float(taken)), "exp_avg": first, "exp_avg_sq": second}
                self.optimiser.state[parameter] = moments
        self.step, self.seconds, self.strength = state["step"], state["seconds"], state["strength"]


def train(
    config: Config,
    pictures: tuple[Pictures, Pictures],
    out: Path,
    minutes: float = math.inf,
    resume: bool = False,
    report: Report = lambda row: None,  # noqa: ARG005
) -> Trainer:
    """Train until the schedule is over or ``minutes`` have passed; write the checkpoint, the log and the curve.

    ``pictures`` are those to train on and those held out; ``report`` gets every row of the log. Where the schedule is
    over, the averaged networks are evaluated, beside an untrained pair, which is ``dwt-dct``, into ``evaluation.json``.
    """
    trainer = Trainer(config, pictures[0])
    if resume:
        trainer.resume(out)
    out.mkdir(parents=True, exist_ok=True)
    start, before = time.monotonic(), trainer.seconds
    total = torch.zeros(len(MEASURED), device=trainer.device)
    while trainer.progress < 1 and time.monotonic() - start < 60 * minutes:
        total += trainer.take_step()
        trainer.seconds = before + time.monotonic() - start
        if trainer.step % config.log_every == 0:
            _log(trainer, (total / config.log_every).tolist(), out, report)
            total.zero_()
        if trainer.step % config.save_every == 0:
            trainer.save(out)
    trainer.save(out)
    loss_curve(out / "log.jsonl", out / "loss.svg")
    if trainer.progress >= 1 and config.evaluate:
        write_atomically(out / "evaluation.json", json.dumps(_evaluation(trainer, pictures[1]), indent=1).encode())
    return trainer


def _log(trainer: Trainer, measured: list[float], out: Path, report: Report) -> None:
    row = {"step": trainer.step, "seconds": round(trainer.seconds, 1), "progress": round(trainer.progress, 4)}
    values = dict(zip(MEASURED, measured, strict=True))
    values["regeneration"] *= 20  # into grey levels
    values |= {"strength": trainer.strength, "rate": trainer.rate}
    trainer.pace(values["accuracy"])
    row |= {name: round(value, 6) for name, value in values.items()}
    with (out / "log.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    report(row)


def _starts(config: Config, pictures: Pictures, number: int) -> Starts:
    """Return the pictures under the key of that number: some with small cells, for which attacks are foreseen."""
    rng = np.random.default_rng([config.seed, number])
    generator = torch.Generator(pictures.bank.device).manual_seed(config.seed * 7_919 + number)
    planes = batch_of(pictures, config.per_key, config.side, generator, number, config.synthetic)
    step = ROUND_STEP if rng.random() < config.large_cells else 2
    return Starts.of(planes, drawn_key(config.seed, number), step, rng)


def _evaluation(trainer: Trainer, held: Pictures) -> dict[str, Any]:
    config = trainer.config
    planes = held.centres(256)[: config.evaluate]
    autoencoder = trainer.frozen if config.regenerate else None
    pairs = {"trained": trainer.average, "dwt-dct": Pair(config.size).to(trainer.device)}
    found: dict[str, Any] = {}
    for step in (2, 4):
        starts = Starts.of(planes, drawn_key(0, step), step, np.random.default_rng(step))
        trial = Trial(step, autoencoder)
        found[f"{step} pixels per cell"] = {name: evaluate(pair, starts, trial) for name, pair in pairs.items()}
    return found


def run(config: Config, data: Path, out: Path, minutes: float, resume: bool, report: Report) -> Trainer:
    """Train on a folder of pictures or a pack of one, on a GPU where there is one; see :func:`train`.

    ``report`` first gets a row that tells how many pictures there are, and the device.

    Raises:
        ImageError: if there is no picture, or one cannot be read.
        OutputError: if ``out`` holds a run and ``resume`` was not asked for.
        WeightsError: if there is nothing to resume from, or something that does not fit.
    """
    if not resume and (out / checkpoint.STATE).exists():
        raise OutputError(f"{out} holds a training run - pass --resume to go on with it, or name another folder")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True  # sizes hardly change, so the fastest kernels are worth a search
    pictures = Pictures.load(data, device, config.pictures)
    report({"pictures": len(pictures[0]), "held_out": len(pictures[1]), "device": device.type})
    return train(config, pictures, out, minutes, resume, report)


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and train; for machines without click, on which ``markai train`` does not run."""
    parser = argparse.ArgumentParser(prog="python -m markai.neural.train", description=__doc__.split("\n")[0])
    parser.add_argument("--config", required=True, help="ci, cpu, h200 or a TOML file")
    parser.add_argument("--data", required=True, type=Path, help="a folder of pictures, or a pack of one")
    parser.add_argument("--out", required=True, type=Path, help="where checkpoint, log and curve go")
    parser.add_argument("--minutes", type=float, default=math.inf, help="how long this leg may take")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    given = parser.parse_args(arguments)

    def report(row: dict[str, Any]) -> None:
        values = (f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items())
        sys.stderr.write("  ".join(values) + "\n")

    run(load(given.config), given.data, given.out, given.minutes, given.resume, report)


if __name__ == "__main__":
    main()
