"""What detection answers: a Detection, and the Geometry that it saw."""

from dataclasses import asdict, dataclass, field
from typing import Any

from markai.errors import NotDetected


@dataclass(frozen=True, slots=True)
class Geometry:
    """How the picture was changed since it was marked, as seen at its centre.

    It was mirrored left to right where ``flipped``, scaled, turned by ``rotation`` degrees counter-clockwise, and cut.
    Scales are received size over marked size of what was horizontal and vertical; the marked size is known up to the
    ratio of two cell sizes (1.3, 1.5, 2...), of which the scale nearest to 1 is given. ``offset`` is where in the
    marked picture the received one's upper left corner lies, in pixels (x, y) of the marked one: as many as were cut
    off at the left and the top where nothing was turned. It is known modulo ``period`` because the mark repeats.
    """

    scale_x: float = 1.0
    scale_y: float = 1.0
    rotation: float = 0.0
    flipped: bool = False
    offset: tuple[float, float] = (0.0, 0.0)
    period: float = 0.0


@dataclass(frozen=True, slots=True)
class Detection:
    """The answer of ``markai.detect``; true where a mark was found.

    ``p_value`` is the probability, over the secret key, that content which nobody marked scores this well, after
    correction for everything that was tried (``tests`` hypotheses). ``payload`` is only ever set when it was
    authenticated under the key. ``reasons`` says in words why no answer was possible, where that is so.

    >>> found = Detection(log10_p_value=-12.0, fpr=1e-6, method="dwt-dct", payload=b"acme:42", tests=4096)
    >>> bool(found), found.p_value, found.to_dict()["payload"]
    (True, 1e-12, '61636d653a3432')
    """

    log10_p_value: float
    fpr: float
    payload: bytes | None = None
    method: str | None = None
    key_id: str | None = None
    geometry: Geometry | None = None
    tests: int = 1
    reasons: tuple[str, ...] = field(default=())

    @property
    def p_value(self) -> float:
        """The corrected p-value; 0.0 where it is below 1e-308, see ``log10_p_value``."""
        return float(min(1.0, 10.0**self.log10_p_value))

    @property
    def detected(self) -> bool:
        """Whether ``p_value <= fpr``."""
        return self.p_value <= self.fpr

    def __bool__(self) -> bool:
        return self.detected

    def require(self) -> "Detection":
        """Return self, or raise.

        Raises:
            NotDetected: if no mark was found.
        """
        if not self.detected:
            why = f" ({'; '.join(self.reasons)})" if self.reasons else ""
            raise NotDetected(f"no mark of this key was found: p = {self.p_value:.2g} > {self.fpr:g}{why}")
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the payload as hex, and as text where it is printable UTF-8."""
        row = asdict(self)
        row["reasons"] = list(self.reasons)
        row["payload"] = None if self.payload is None else self.payload.hex()
        row["payload_text"] = _printable(self.payload)
        return {"detected": self.detected, "p_value": self.p_value, **row}


def _printable(payload: bytes | None) -> str | None:
    try:
        text = (payload or b"").decode()
    except UnicodeDecodeError:
        return None
    return text if text and text.isprintable() else None
