"""Chains: what happens to a picture as a whole, as combinations of the other attacks."""

from collections.abc import Callable

from markai.attacks.codecs import HALVED_COLOR
from markai.attacks.registry import Strength, chain

RELATIVE = Strength("relative strength", 0, 1, default=0.5)

# The range of each distortion in WAVES (An et al., ICML 2024, distortions.py), from relative strength 0 to 1. WAVES
# crops and erases squares in square pictures; here they have the aspect of the picture, and what is erased is gray.
WAVES: dict[str, Callable[[float], str]] = {
    "rotation": lambda strength: f"rotate:{45 * strength:g}",
    "resizedcrop": lambda strength: f"crop-back:{1 - 0.5 * strength:g}",
    "erasing": lambda strength: f"erase:{0.25 * strength:g}",
    "brightness": lambda strength: f"brightness:{1 + strength:g}",
    "contrast": lambda strength: f"contrast:{1 + strength:g}",
    "blurring": lambda strength: f"blur:{int(20 * strength)}",
    "noise": lambda strength: f"noise:{0.1 * strength:g}",
    "compression": lambda strength: f"jpeg:{int(90 - 80 * strength)}",
}
WAVES_COMBINATIONS = {
    "geo": ("rotation", "resizedcrop", "erasing"),
    "photo": ("brightness", "contrast"),
    "deg": ("blurring", "noise", "compression"),
    "all": tuple(WAVES),
}


@chain("jpeg-double", HALVED_COLOR)
def jpeg_double(quality: float) -> str:
    """Write as JPEG 90, as a camera does, and at this quality once cropped off the grid of blocks."""
    return f"jpeg:90+jpeg-shifted:{quality:g}"


@chain("social")
def social(_strength: float) -> str:
    """Upload to a social network: 1080 pixels wide, JPEG 75 with halved colour."""
    return "resize-width:1080+jpeg:75"


@chain("screenshot")
def screenshot(_strength: float) -> str:
    """Take a screenshot of most of it, shown smaller, and send it on."""
    return "crop:0.9+resize:0.7+jpeg:60"


@chain("print-photo", RELATIVE)
def print_photo(strength: float) -> str:
    """Print and photograph: soft ink, dull paper, light from one side, held at an angle, grain, JPEG."""
    steps = (
        f"blur:{0.5 + strength:g}",
        f"print-tone:{strength:g}",
        f"light:{0.5 * strength:g}",
        f"perspective:{0.2 * strength:g}",
        f"noise:{0.04 * strength:g}",
        f"jpeg:{round(90 - 30 * strength)}",
    )
    return "+".join(steps)


def _register_waves(name: str, parts: tuple[str, ...]) -> None:
    """Register distortions of WAVES, one after the other at one relative strength."""

    def spec_of(strength: float) -> str:
        return "+".join(WAVES[part](strength) for part in parts)

    spec_of.__doc__ = f"{', '.join(parts).capitalize()}, as in WAVES."
    chain(f"waves-{name}", RELATIVE)(spec_of)


for _name in WAVES:
    _register_waves(_name, (_name,))
for _name, _parts in WAVES_COMBINATIONS.items():
    _register_waves(_name, _parts)
