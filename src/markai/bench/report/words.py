"""How the page speaks of what was marked: pictures, or texts."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """What differs between the pages of two kinds of runs, by where it stands.

    ``first`` are the measures that come first, the headline before all; ``curve`` is the share of a sweep's points that
    is drawn; ``cost`` the quality that is shown at a glance, with its head, its unit and its digits. ``qualities`` and
    ``times`` are what the tables list, each with its head and digits.
    """

    one: str
    many: str
    source: str
    first: tuple[str, ...]
    curve: str
    curve_label: str
    survived: str
    cost: tuple[str, str, str, int]
    quality: str
    time: str
    damage: str | None
    key: tuple[tuple[str, str], ...]
    limits: tuple[str, ...]
    stand_in: str
    qualities: tuple[tuple[str, str, int], ...]
    times: tuple[tuple[str, str, int], ...]
    footnote: str

    @property
    def head(self) -> str:
        return self.many.capitalize()


PICTURES = Words(
    one="picture",
    many="pictures",
    source="from {}",
    first=("exact",),
    curve="exact",
    curve_label="exact payload",
    survived="give the whole payload",
    cost=("psnr", "Marked picture", " dB", 1),
    quality="Marked picture against the original: mean, 95 % interval, worst picture",
    time="Time, ms: one thread, below it the default threads",
    damage="PSNR: what the attack does to the marked picture.",
    key=(
        (
            "Exact payload",
            "the whole message was read back, without one wrong bit. The strictest question, so the headline.",
        ),
        (
            "Detected at 1e-6",
            "the p-value was at most 1e-6: of a million pictures without the mark, about one would pass.",
        ),
    ),
    limits=(
        "A method that knows no key gets its p-value from a message drawn at random for every picture: matching bits "
        "of an unmarked picture are then exactly binomial.",
    ),
    stand_in="Regeneration proper needs trained weights.",
    qualities=(("psnr", "PSNR, dB (least)", 2), ("ssim", "SSIM (least)", 4)),
    times=(("embed_ms", "embed, ms", 1), ("detect_ms", "detect, ms", 1)),
    footnote="Share of exact payloads on {subjects}, seed {seed}; times on one thread.",
)
TEXTS = Words(
    one="text",
    many="texts",
    source="of {}",
    first=("1e-6", "weighted", "own", "exact", "exact_weighted"),
    curve="detected",
    curve_label="detected at 1e-6",
    survived="are detected at 1e-6",
    cost=("surprisal", "Surprise", " nats", 2),
    quality="What it writes: mean, 95 % interval, worst text",
    time="Time, ms, while other processes work too",
    damage=None,
    key=(
        (
            "Detected at 1e-6",
            "the p-value was at most 1e-6: of a million texts without the mark, about one would pass.",
        ),
        (
            "Weighted",
            "the same with a language model at hand: tokens count by how much choice there was, and those that "
            "hardly fit in not at all.",
        ),
        ("Exact payload", "the whole message was read back and authenticated, at 1e-6."),
        ("Surprise", "nats a token under the model that writes. What the mark adds is what it distorts."),
    ),
    limits=(
        "The marks of transformers are read by markai, with exact p-values. “Its own detector” is the one that "
        "transformers has, at the p-value that it states: where that alarms too often, finding more means nothing.",
        "Attacks on text go through decoding and encoding, so that they cost a little even where they change nothing; "
        "edits of ids do not.",
    ),
    stand_in="Paraphrase and translation proper need a model, and are for the user to add.",
    qualities=(("surprisal", "surprise, nats (most)", 2), ("retokenized", "lost by decoding and encoding (most)", 4)),
    times=(("write_ms", "write a token, ms", 2), ("read_ms", "read a text twice, ms", 1)),
    footnote="Share detected at 1e-6 of {subjects}, seed {seed}; times while other processes work too.",
)


def words_for(run: Mapping[str, object]) -> Words:
    """Return the words for a run.

    >>> words_for({"subject": "text"}).many, words_for({}).many
    ('texts', 'pictures')
    """
    return TEXTS if run.get("subject") == TEXTS.one else PICTURES
