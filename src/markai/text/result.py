"""What detection in a text answers: a Detection with what the text could have told, and where the mark is."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from markai.detection import Detection


@dataclass(frozen=True, slots=True)
class Segment:
    """A marked passage, tokens ``start`` to ``end`` (excluded) of the ids; its p-value is corrected for the search."""

    start: int
    end: int
    log10_p_value: float


@dataclass(frozen=True, slots=True)
class TextDetection(Detection):
    """The answer for a text; everything of :class:`markai.Detection`, and what a text has besides.

    ``tokens`` is how many ids there were, ``scored`` how many of them were evidence: not special, with a whole window
    before them, and not a repetition. ``segments`` are the passages in which the mark is, in order; one that covers
    nearly all for a text that is marked throughout.
    """

    tokens: int = 0
    scored: int = 0
    segments: tuple[Segment, ...] = field(default=())

    @property
    def verdict(self) -> Literal["present", "absent", "insufficient"]:
        """Whether the mark is there, is not, or the text is too short or too predictable to say."""
        if self.detected:
            return "present"
        return "insufficient" if self.reasons else "absent"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        row = super(TextDetection, self).to_dict()
        return {**row, "verdict": self.verdict, "segments": [asdict(each) for each in self.segments]}
