"""Ready-made plans: a quick one for a first look, and the full one that the committed tables come from."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec

from markai import attacks, watermarks
from markai.bench import peers, security
from markai.bench.methods import Entry, load
from markai.bench.pictures import Source, generated, spread, structured
from markai.bench.plan import Plan, Settings

QUICK_PICTURES, QUICK_SIDE = 10, 448
QUICK_SETTINGS = Settings(short_side=QUICK_SIDE, null_keys=50, security_side=384, time_side=512)
FULL_POSITIONS = 4  # of each crop
FULL_NULL_ATTACKS = ("none", "jpeg:50", "resize:0.5", "crop:0.5", "blur:2", "brightness:1.5")
SUITES = {
    "quick": attacks.QUICK,
    "suite": attacks.SUITE,
    "proxies": attacks.PROXIES,
    "published": tuple(dict.fromkeys(attacks.PUBLISHED.values())),
    "sweep": tuple(f"{name}:{strength:g}" for name, strengths in attacks.SWEEP.items() for strength in strengths),
}


def default_methods() -> list[str]:
    """Return the methods that can run here: the installed keyed ones, and the peers that are there."""
    ready = [name for name, reason in peers.available().items() if reason is None]
    return [*watermarks.names(), *(name for name in ready if not name.startswith("control/"))]


def matched(methods: Sequence[str], psnr: float) -> list[str]:
    """Return the methods with a strength once more, at a common mean PSNR in dB.

    >>> matched(["dwt-dct", "control/random-bits"], 42)
    ['dwt-dct@42dB']
    """
    return [f"{name}@{psnr:g}dB" for name in methods if "@" not in name and load(name).adjustable]


def quick(methods: Sequence[str], sources: Sequence[Source] | None = None, seed: int = 0) -> Plan:
    """Return a plan of minutes: 16 attacks on ten pictures of 448 pixels or less on the shorter side."""
    return Plan(
        entries=tuple(map(Entry.parse, methods)),
        attacks=attacks.QUICK,
        sources=tuple(spread(sources or generated(), QUICK_PICTURES)),
        settings=replace(QUICK_SETTINGS, seed=seed),
        security=security.QUICK,
    )


def full(methods: Sequence[str], sources: Sequence[Source] | None = None, seed: int = 0) -> Plan:
    """Return a plan of hours: every attack, and the sweeps over their strengths, on all pictures as they are.

    The pictures keep their size unless the settings say otherwise. The project's regeneration proxies are among the
    attacks where torch is installed.
    """
    proxies = SUITES["proxies"] if all(map(find_spec, ("torch", "safetensors"))) else ()
    return Plan(
        entries=tuple(map(Entry.parse, methods)),
        attacks=tuple(dict.fromkeys((*SUITES["suite"], *proxies, *SUITES["sweep"]))),
        sources=tuple(sources or generated()),
        settings=Settings(seed=seed),
        positions=FULL_POSITIONS,
        null_attacks=FULL_NULL_ATTACKS,
        nulls=tuple(structured()),
        security=security.FULL,
    )
