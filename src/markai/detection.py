"""What detection answers: a Detection, the Geometry that it saw, and the Coverage of the mark."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from markai.errors import NotDetected

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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


class Coverage:
    """Where in the received picture the mark is, as a grid of squares over it.

    What was pasted over shows as a hole, what was pasted in as an island. The presence in a square is the posterior
    probability of "the mark is here" against "it is not", at even odds and under a simple model of both. It is not a
    p-value and keeps no rate of false positives: that the mark is in the picture at all is what ``Detection.p_value``
    says. Where nothing can be marked (one flat colour) the mark is not. The map is computed when it is first asked for.

    >>> import numpy
    >>> coverage = Coverage(lambda: numpy.array([[1, 1], [1, 0]], "f4"))
    >>> coverage.share, coverage.to_dict()
    (0.75, {'share': 0.75, 'presence': [[1.0, 1.0], [1.0, 0.0]]})
    """

    def __init__(self, compute: "Callable[[], NDArray[np.float32]]") -> None:
        self._compute: Callable[[], NDArray[np.float32]] | None = compute
        self._presence: NDArray[np.float32] | None = None

    @property
    def presence(self) -> "NDArray[np.float32]":
        """(rows, columns) float32 in [0, 1], read-only; rows from the top, at most 32 along the longer side."""
        compute = self._compute
        if self._presence is None and compute is not None:
            presence = compute()
            presence.flags.writeable = False
            self._presence, self._compute = presence, None  # two threads would both compute the same
        assert self._presence is not None
        return self._presence

    @property
    def share(self) -> float:
        """How much of the picture is marked, 0 to 1: the mean presence."""
        return float(self.presence.mean())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: ``share``, and ``presence`` as rows of numbers with two digits."""
        rows = [[round(float(value), 2) for value in row] for row in self.presence]
        return {"share": round(self.share, 4), "presence": rows}

    def to_image(self, height: int, width: int) -> "NDArray[np.uint8]":
        """Return the map as a (height, width) gray picture, 255 where marked, interpolated between the squares.

        >>> import numpy
        >>> Coverage(lambda: numpy.array([[0, 1]], "f4")).to_image(1, 4)
        array([[  0,  64, 191, 255]], dtype=uint8)
        """
        import numpy as np

        rows, columns = (_interpolation(n, size) for n, size in zip(self.presence.shape, (height, width), strict=True))
        return np.asarray(np.rint(255 * (rows @ self.presence @ columns.T)), np.uint8)

    def __repr__(self) -> str:
        return f"<Coverage {self.share:.0%} of the picture>"

    def __getstate__(self) -> dict[str, Any]:
        return {"_presence": self.presence, "_compute": None}


def _interpolation(n: int, size: int) -> "NDArray[np.float32]":
    """Return the (size, n) weights that interpolate linearly between the centres of n squares."""
    import numpy as np

    at = (np.arange(size) + 0.5) * n / size - 0.5
    return np.asarray(np.maximum(1 - np.abs(np.clip(at, 0, n - 1)[:, None] - np.arange(n)), 0), np.float32)


@dataclass(frozen=True, slots=True)
class Detection:
    """The answer of ``markai.detect``; true where a mark was found.

    ``p_value`` is the probability, over the secret key, that content which nobody marked scores this well, after
    correction for everything that was tried (``tests`` hypotheses). ``payload`` is only ever set when it was
    authenticated under the key. ``coverage`` says where in the picture the mark is. ``reasons`` says in words why no
    answer was possible, where that is so.

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
    coverage: Coverage | None = field(default=None, repr=False, compare=False)

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
        row = asdict(replace(self, coverage=None))
        row["coverage"] = self.coverage and self.coverage.to_dict()
        row["reasons"] = list(self.reasons)
        row["payload"] = None if self.payload is None else self.payload.hex()
        row["payload_text"] = _printable(self.payload)
        return {"detected": self.detected, "p_value": self.p_value, **row}


def surest(found: Sequence[Detection]) -> Detection:
    """Return the one of several that proves most: with a payload before without, then by its p-value.

    >>> surest([Detection(-20.0, 1e-6), Detection(-8.0, 1e-6, b"acme:42")]).payload
    b'acme:42'
    """
    return min(found, key=lambda each: (each.payload is None, each.log10_p_value))


def _printable(payload: bytes | None) -> str | None:
    try:
        text = (payload or b"").decode()
    except UnicodeDecodeError:
        return None
    return text if text and text.isprintable() else None
