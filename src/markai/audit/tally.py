"""What is counted over the rows of an audit: verdicts, statuses, layers, contradictions, rules."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from markai.audit.words import LAYERS, RULE_STATUSES, VERDICTS

Row = Mapping[str, Any]

# What a layer can say, the most telling first.
LAYER_STATES = {
    "watermark": ("found", "none"),
    "manifest": ("trusted", "valid", "invalid", "damaged", "none", "unsupported"),
    "metadata": ("generated", "camera", "software", "none"),
    "record": ("recovered", "found", "none"),
}
CLAIM_STATES = {"generated": "generated", "edited with AI": "generated", "camera": "camera", "software": "software"}


class Tally:
    """Counts over rows, one after the other.

    >>> tally = Tally()
    >>> tally.add({"path": "a", "status": "ok", "verdict": {"code": "unknown"}})
    >>> tally.files, tally.verdicts["unknown"], tally.layers["watermark"]["none"]
    (1, 1, 1)
    """

    def __init__(self) -> None:
        self.files = self.bytes = self.with_contradictions = self.with_failures = 0
        self.verdicts: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.contradictions: Counter[str] = Counter()
        self.layers: dict[str, Counter[str]] = {layer: Counter() for layer in LAYERS}
        self.rules: dict[str, Counter[str]] = {}
        self.policy: dict[str, Counter[str]] = {}

    def add(self, row: Row) -> None:
        """Count a row."""
        self.files += 1
        self.bytes += row.get("bytes") or 0
        self.statuses[status_of(row)] += 1
        self.verdicts[verdict_of(row)] += 1
        if status_of(row) == "ok":
            for layer in LAYERS:
                self.layers[layer][layer_state(row, layer)] += 1
        codes = {str(each.get("code")) for each in row.get("contradictions") or ()}
        self.contradictions.update(codes)
        self.with_contradictions += bool(codes)
        self.with_failures += bool(failures(row))
        for kind, counted in (("rules", self.rules), ("policy", self.policy)):
            for each in row.get(kind) or ():
                counts = counted.setdefault(str(each["id"]), Counter())
                counts[str(each["status"])] += 1
                counts["undecided"] += bool(each.get("open"))  # among those that are not applicable

    @property
    def examined(self) -> int:
        """How many files could be examined."""
        return self.statuses["ok"]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, every known verdict, layer state and rule status among them."""
        return {
            "files": self.files,
            "bytes": self.bytes,
            "examined": self.examined,
            "with_contradictions": self.with_contradictions,
            "with_failures": self.with_failures,
            "by_verdict": dict.fromkeys(VERDICTS, 0) | dict(self.verdicts),
            "by_status": dict(self.statuses),
            "by_layer": {layer: dict.fromkeys(LAYER_STATES[layer], 0) | dict(self.layers[layer]) for layer in LAYERS},
            "contradictions": dict(self.contradictions),
            "rules": {rule: dict(found) | _statuses(found) for rule, found in self.rules.items()},
            "policy": {rule: dict(found) | _statuses(found) for rule, found in self.policy.items()},
        }


def _statuses(found: Counter[str]) -> dict[str, int]:
    return {status: found[status] for status in RULE_STATUSES}


def tally(rows: Iterable[Row]) -> Tally:
    """Return the counts over rows."""
    counted = Tally()
    for row in rows:
        counted.add(row)
    return counted


def totals(rows: Iterable[Row]) -> dict[str, Any]:
    """Return the counts over rows as an audit's ``totals`` hold them.

    >>> totals([])["by_verdict"]["copied"]
    0
    """
    return tally(rows).to_dict()


def verdict_of(row: Row) -> str:
    """Return the code of a row's verdict."""
    return str((row.get("verdict") or {}).get("code") or "none")


def status_of(row: Row) -> str:
    """Return a row's status."""
    return str(row.get("status") or "ok")


def failures(row: Row) -> list[Row]:
    """Return the rules and the lines of the policy that a file fails."""
    return [each for kind in ("rules", "policy") for each in row.get(kind) or () if each.get("status") == "fail"]


def undecided(row: Row) -> list[Row]:
    """Return the rules that apply to a file and cannot be decided from it."""
    return [each for kind in ("rules", "policy") for each in row.get(kind) or () if each.get("open")]


def has_findings(row: Row) -> bool:
    """Whether a row is one to look at: a contradiction, a failed rule, or a file that could not be examined."""
    return bool(row.get("contradictions")) or status_of(row) != "ok" or bool(failures(row))


def layer_state(row: Row, layer: str) -> str:
    """Return what a layer of an examined file says, one of ``LAYER_STATES``.

    >>> layer_state({"watermark": {"detected": True}}, "watermark")
    'found'
    """
    if layer == "watermark":
        return "found" if (row.get("watermark") or {}).get("detected") else "none"
    if layer == "manifest":
        return str((row.get("manifest") or {}).get("status") or "none")
    if layer == "record":
        return "recovered" if row.get("recovered") else "found" if row.get("record") else "none"
    metadata = row.get("metadata") or {}
    said = {CLAIM_STATES.get(str(trace.get("claims"))) for trace in metadata.get("traces") or ()}
    said |= {"generated"} if metadata.get("tc260") else set()
    said |= {"camera"} if metadata.get("camera") else set()
    return next((state for state in LAYER_STATES["metadata"] if state in said), "none")
