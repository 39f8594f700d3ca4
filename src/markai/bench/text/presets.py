"""Ready-made plans: a quick one for a first look, and a full one."""

from collections.abc import Sequence
from dataclasses import replace

from markai import attacks
from markai.bench.text import methods, sources
from markai.bench.text.plan import Plan, Settings, entry
from markai.bench.text.sources import Source

QUICK_TEXTS, FULL_TEXTS = 12, 100
QUICK_SETTINGS = Settings(tokens=200, null_keys=10)
PAYLOAD = 4  # bytes
SUITES = {
    "quick": (
        *("ids", *attacks.TEXT_QUICK, "substitute-ids:0.1", "substitute-ids:0.3", "delete-ids:0.1", "insert-ids:0.1"),
        *("copy-paste-ids:0.25", "among-people-ids:0.1"),
    ),
    "suite": (
        *("ids", *attacks.TEXT_SUITE),
        *(f"{name}-ids:{share}" for name in ("substitute", "delete", "insert") for share in (0.1, 0.3, 0.5)),
        *(f"copy-paste-ids:{share}" for share in (0.5, 0.25, 0.1)),
        *("truncate-ids:0.5", "among-people-ids:0.1", "among-unmarked-ids:0.1"),
    ),
}


def default_methods() -> list[str]:
    """Return the methods that can run here, markai's with and without a payload.

    >>> default_methods()[:2]
    ['text-bias', 'text-bias@payload=4']
    """
    found = []
    for name, reason in methods.available().items():
        if reason is None:
            found += [name, f"{name}@payload={PAYLOAD}"] if name in methods.WITH_PAYLOAD else [name]
    return found


def quick(names: Sequence[str], texts: Sequence[Source] | None = None, seed: int = 0) -> Plan:
    """Return a plan of minutes: 19 attacks on 12 texts of 200 tokens by each method."""
    settings = replace(QUICK_SETTINGS, seed=seed)
    return _plan(names, texts or sources.shipped(QUICK_TEXTS, settings.reach, seed), SUITES["quick"], settings)


def full(names: Sequence[str], texts: Sequence[Source] | None = None, seed: int = 0) -> Plan:
    """Return a plan of hours: every attack on 100 texts of 400 tokens by each method."""
    settings = Settings(seed=seed)
    return _plan(names, texts or sources.shipped(FULL_TEXTS, settings.reach, seed), SUITES["suite"], settings)


def _plan(names: Sequence[str], texts: Sequence[Source], specs: Sequence[str], settings: Settings) -> Plan:
    return Plan(tuple(map(entry, names)), tuple(specs), tuple(texts), settings)
