"""``markai text``: marks in text, shown on a small language model and looked for in files."""

import json
import logging
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from markai.cli.common import Row, for_each, inputs_argument, json_option, key_option, load_keys, show_row, shown
from markai.cli.text_demo import STATUSES, demo, p_in_words
from markai.errors import MethodError
from markai.files import Source, read_picture

if TYPE_CHECKING:
    from markai.text import TextDetection

WORDS = "text-words"  # the method that reads words, and needs no tokenizer
MAX_BYTES = 64 << 20  # of a text: a hundred books
EXCERPT = 60  # characters of a passage that are shown

log = logging.getLogger("markai")


@click.group()
def text() -> None:
    """Find marks in text, and see how they work.

    \b
    markai text demo
    markai text detect answer.txt --key my.key --tokenizer tokenizer.json
    """


text.add_command(demo)


@text.command()
@inputs_argument
@key_option("key_files", multiple=True, help="A secret key; repeat it for a key ring.")
@click.option(
    "--tokenizer",
    "tokenizer_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The tokenizer.json of the model that may have written the texts.",
)
@click.option(
    "--profile",
    "profile_files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Also look for another's mark: JSON with its profile, key and settings; repeat it for more.",
)
@click.option("--ids", is_flag=True, help="INPUT holds token ids, a JSON list, instead of text.")
@click.option("--method", help="Look for this method only, such as text-gumbel.  [default: every one]")
@click.option(
    "--fpr",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=1e-6,
    show_default=True,
    help="The false-positive rate to keep: found means p <= this.",
)
@json_option
@click.pass_context
def detect(
    ctx: click.Context,
    inputs: tuple[Path, ...],
    key_files: tuple[Path, ...],
    tokenizer_file: Path | None,
    profile_files: tuple[Path, ...],
    ids: bool,
    method: str | None,
    fpr: float,
    as_json: bool,
) -> None:
    """Look for the mark of a key in texts.

    INPUT is a file in UTF-8, or - for the standard input. For each one a line says whether the mark was found,
    its payload, the p-value (corrected for everything that was tried), the method and the id of the key, and
    the lines below where the marked passages are. "insufficient" is a text so short that nothing can be said.
    Without a tokenizer only marks on words can be read. A profile is a file such as {"profile": "vllm-gumbel",
    "key": 42}; with one, no key of markai's is needed.

    Exit code 0: found in all; 1: not found in some, or insufficient; 2: an error with some.
    """
    from markai.keys import KeyRing
    from markai.text.profiles.files import load
    from markai.text.search import search
    from markai.text.tokens import loaded

    ring = KeyRing(load_keys(key_files)) if key_files or not profile_files else None
    others = [load(path) for path in profile_files]
    check_method(method, tokenizer_file is not None, ids)
    tokenizer = loaded(tokenizer_file) if tokenizer_file else None

    def look(source: Source) -> Row:
        content = read_text(source.path)
        found = search(ids_in(content) if ids else content, ring, tokenizer, fpr, method, others)
        return row_of(found) if ids else row_of(found, content, tokenizer)

    sources = [Source(path, Path(path.name)) for path in dict.fromkeys(inputs)]
    statuses = for_each(sources, look, partial(show_row, as_json=as_json, in_words=in_words), jobs=1)
    ctx.exit(2 if "error" in statuses else 0 if statuses == {"found"} else 1)


def check_method(method: str | None, tokenizer: bool, ids: bool) -> None:
    """Raise where the method cannot be looked for in what was given; warn where that leaves methods out."""
    from markai.text.search import BY_TOKENS, BY_WORDS

    known = BY_TOKENS if ids else BY_TOKENS | BY_WORDS
    if method is not None and method not in known:
        raise MethodError(
            f"no method {method!r} for {'token ids' if ids else 'texts'} - choose from {', '.join(known)}"
        )
    if not (tokenizer or ids):
        if method in BY_TOKENS:
            raise MethodError(f"{method} is read from tokens - pass --tokenizer FILE, or token ids with --ids")
        if method is None:
            log.warning("without --tokenizer FILE only %s is looked for", ", ".join(BY_WORDS))


def read_text(path: Path) -> str:
    """Return the text in a file, or in the standard input for ``-``.

    Raises:
        ImageError: if the file cannot be read.
        MethodError: if it is too large, or not UTF-8.
    """
    data = sys.stdin.buffer.read(MAX_BYTES + 1) if str(path) == "-" else read_picture(path, MAX_BYTES)
    if len(data) > MAX_BYTES:
        raise MethodError(f"this is more than {MAX_BYTES >> 20} MiB - cut it into parts")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MethodError(
            f"this is no text in UTF-8: {error.reason} at byte {error.start} - convert it first"
        ) from None


def ids_in(content: str) -> list[int]:
    """Return the token ids that a file holds.

    Raises:
        MethodError: if it holds something else.
    """
    from markai.text.base import as_ids

    try:
        return [int(each) for each in as_ids(json.loads(content))]
    except (TypeError, ValueError, RecursionError) as error:
        raise MethodError(f"these are no token ids: {error} - write one JSON list of integers") from None


def row_of(found: "TextDetection", content: str = "", tokenizer: Any = None) -> Row:
    """Return the answer as a row; of a text, also which characters each segment has."""
    row = {"status": STATUSES[found.verdict], **found.to_dict()}
    spans = spans_of(content, tokenizer, found) if content and found.segments else []
    if len(spans) == found.tokens:  # a character that is two in another Unicode form can make more words of one
        for segment in row["segments"]:
            first, last = spans[segment["start"]][0], spans[segment["end"] - 1][1]
            segment["characters"] = [first, last]
            segment["excerpt"] = excerpt(content[first:last])
    return row


def spans_of(content: str, tokenizer: Any, found: "TextDetection") -> list[tuple[int, int]]:
    """Return where in the text each unit of the answer stands: a token, or a word."""
    if found.method == WORDS:
        from markai.text.words import WORD

        return [word.span() for word in WORD.finditer(content)]
    return list(tokenizer.encode(content, add_special_tokens=False).offsets)


def excerpt(passage: str) -> str:
    """Return how a passage begins and ends, on one line.

    >>> excerpt("one two three " * 10)
    'one two three one two three ... one two three one two three'
    """
    flat = " ".join(passage.split())
    if len(flat) <= EXCERPT:
        return flat
    half = EXCERPT // 2  # and a word less, where there are spaces
    return f"{flat[:half].rsplit(' ', 1)[0]} ... {flat[-half:].split(' ', 1)[-1]}"


def in_words(row: Row) -> str:
    """Return the line for one text, and one for each marked passage below."""
    p = f"p={p_in_words(row['log10_p_value'])}"
    if not row["detected"]:
        return "  ".join([row["status"], shown(row["file"]), p, *row["reasons"]])
    payload = row["payload_text"] or (f"0x{row['payload']}" if row["payload"] else "")
    said = [f"payload {payload}" if payload else "no payload", p, row["method"], f"key {row['key_id']}"]
    unit = "words" if row["method"] == WORDS else "tokens"
    passages = [passage_in_words(each, row["tokens"], unit) for each in row["segments"]]
    return "\n".join(["  ".join([row["status"], shown(row["file"]), *said]), *passages])


def passage_in_words(segment: Row, total: int, unit: str) -> str:
    """Say where a marked passage is."""
    said = [
        f"{unit} {segment['start'] + 1} to {segment['end']} of {total}",
        f"p={p_in_words(segment['log10_p_value'])}",
    ]
    return "  " + "  ".join([*said, *([shown(segment["excerpt"])] if "excerpt" in segment else [])])
