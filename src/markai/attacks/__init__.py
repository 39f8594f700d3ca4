"""What happens to pictures on their way: pure, seeded functions, each with one strength, found by name.

>>> import numpy
>>> pixels = numpy.full((64, 96, 3), 128, numpy.uint8)
>>> apply("crop:0.25", pixels, seed=7).shape
(32, 48, 3)
>>> apply("crop:0.25+resize:0.5+jpeg:60", pixels, seed=7).shape
(16, 24, 3)
>>> attack, strength = parse("jpeg")
>>> attack.name, attack.strength.meaning, strength
('jpeg', 'quality, 4:2:0', 50)

To add one, write a function from (pixels, strength, random generator) to pixels in the module of its family and
register it with ``@attack``; a combination with a name of its own goes into ``chains``. Pixels are (H, W, 3) uint8
RGB throughout; the input is never changed, and may be returned as it is. Texts are attacked in ``attacks.text``.
"""

# Imported for what they register, in the order in which names() lists them.
from markai.attacks import codecs, photometric, geometry, local, regeneration, diffusion, proxies, chains  # noqa: F401, I001
from markai.attacks import text
from markai.attacks.diffusion import NEEDS_MODEL
from markai.attacks.local import GRAY
from markai.attacks.pixels import Pixels
from markai.attacks.registry import Attack, Strength, Traits, apply, attack, chain, names, parse, steps, traits
from markai.attacks.suites import PROXIES, PUBLISHED, QUICK, SUITE, SWEEP, TEXT_QUICK, TEXT_SUITE

__all__ = [
    "GRAY",
    "NEEDS_MODEL",
    "PROXIES",
    "PUBLISHED",
    "QUICK",
    "SUITE",
    "SWEEP",
    "TEXT_QUICK",
    "TEXT_SUITE",
    "Attack",
    "Pixels",
    "Strength",
    "Traits",
    "apply",
    "attack",
    "chain",
    "names",
    "parse",
    "steps",
    "text",
    "traits",
]
