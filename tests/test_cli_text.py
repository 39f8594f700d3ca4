"""``markai text``: what it prints of texts with marks and without, how it exits, and what the demo shows."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from markai import Key
from markai.cli import cli
from markai.cli.text import in_words, row_of, text
from markai.cli.text_demo import SCHEMES
from markai.text import Segment, TextDetection, TextMark, WordMark, schemes
from markai.text.ngram import sampler, small_model
from markai.text.profiles import VllmGumbel

KEY = Key(bytes(range(32)))
VOCABULARY = [
    "a",
    "bright",
    "cold",
    "day",
    "in",
    "April",
    "and",
    "the",
    "clocks",
    "were",
    "striking",
    "thirteen",
    "while",
    "winds",
    "blew",
    "dust",
]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A folder with texts, marked and not, the tokenizer and the keys."""
    folder = tmp_path_factory.mktemp("texts")
    tokenizer, model = small_model()

    def write(name, tokens, seed, scheme=None, **parameters):
        draw = sampler(np.random.default_rng(seed))
        mark = TextMark(KEY, scheme, model.vocab_size, **parameters) if scheme else None
        choose = draw if mark is None else (lambda ids, logits: draw(ids, mark.step(ids, logits)))
        written = tokenizer.decode(model.generate(tokenizer.encode("\n\n").ids, tokens, choose).tolist())
        (folder / name).write_text(written, "utf-8", newline="")
        return written

    marked, plain = write("marked.txt", 200, 1, "gumbel"), write("plain.txt", 300, 2)
    write("message.txt", 400, 3, "gumbel", payload=b"acme")
    (folder / "mixed.txt").write_text(f"{plain}\n\n{marked}\n\n{plain}", "utf-8", newline="")
    (folder / "ids.json").write_text(json.dumps(tokenizer.encode(marked).ids))
    (folder / "short.txt").write_text("Hello.")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "latin1.txt").write_bytes("Café, déjà vu".encode("latin-1"))
    rng = np.random.default_rng(5)
    spoken = WordMark(KEY).write(lambda _: " " + " ".join(rng.choice(VOCABULARY, 4)), pieces=60, choices=16)
    (folder / "words.txt").write_text(spoken, "utf-8")
    (folder / "folder").mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    KEY.save(folder / "my.key")
    Key(bytes(32)).save(folder / "other.key")
    return folder


@pytest.fixture(autouse=True)
def place(texts, monkeypatch):
    monkeypatch.chdir(texts)
    monkeypatch.delenv("MARKAI_KEY_FILE", raising=False)


def markai(*args, data=None):
    return CliRunner().invoke(cli, [str(arg) for arg in args], input=data, catch_exceptions=False)


def found(*args, data=None):
    options = () if "--ids" in args else ("--tokenizer", "tokenizer.json")
    result = markai("text", "detect", *args, "--key", "my.key", *options, "--json", data=data)
    return [json.loads(line) for line in result.stdout.splitlines()]


# Transcripts


def play(script):
    """Run the commands of a transcript and return it as it turned out, without what differs between Pythons."""
    lines = []
    for command in re.findall(r"^\$ markai (.*)$", script, re.MULTILINE):
        result = markai(*shlex.split(command))
        code = f"[exit {result.exit_code}]\n" if result.exit_code else ""
        output = re.sub(r"p=\S+", "p=<p>", re.sub(r"\b[0-9a-f]{16}\b", "<id>", result.output))
        output = re.sub(r"^(  tokens|  words) \d+ to \d+ of \d+ .*", r"\1 <passage>", output, flags=re.MULTILINE)
        lines.append(f"$ markai {command}\n{output}{code}")
    return "".join(lines)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parent / "cli" / "text").glob("*.txt")), ids=lambda path: path.stem
)
def test_transcript(path):
    assert play(path.read_text()) == path.read_text()


# Detect


def test_segments_say_where_the_mark_is():
    (row,) = found("mixed.txt", "--method", "text-gumbel")
    mixed = Path("mixed.txt").read_text("utf-8")
    (segment,) = row["segments"]
    first, last = segment["characters"]
    start = mixed.index(Path("marked.txt").read_text("utf-8"))
    # A window of the cover lies within the mark by half of its own length, and the mark has 200 of 800 tokens.
    assert min(last, start + len(Path("marked.txt").read_text("utf-8"))) - max(first, start) > 0.5 * (last - first)
    begins, ends = segment["excerpt"].split(" ... ")
    passage = " ".join(mixed[first:last].split())
    assert passage.startswith(begins)
    assert passage.endswith(ends)
    assert (
        f"tokens {segment['start'] + 1} to {segment['end']} of {row['tokens']}"
        in markai(
            "text", "detect", "mixed.txt", "--key", "my.key", "--tokenizer", "tokenizer.json", "--method", "text-gumbel"
        ).stdout
    )


def test_rows_are_those_of_the_detection():
    marked, plain, short = found("marked.txt", "plain.txt", "short.txt")
    assert (marked["file"], marked["status"], marked["verdict"]) == ("marked.txt", "found", "present")
    assert (plain["status"], plain["verdict"], plain["segments"]) == ("not found", "absent", [])
    assert (short["status"], short["verdict"]) == ("insufficient", "insufficient")
    assert marked["key_id"] == KEY.id
    assert marked["p_value"] <= marked["fpr"] == 1e-6
    assert marked["payload"] is None


@pytest.mark.parametrize(
    ("payload", "said"), [(b"acme", "payload acme"), (b"\0\xff", "payload 0x00ff"), (None, "no payload")]
)
def test_payloads_are_told(payload, said):
    answer = TextDetection(-400.2, 1e-6, payload, "text-gumbel", KEY.id, tokens=90, segments=(Segment(4, 90, -31.2),))
    row = {"file": "a.txt"} | row_of(answer)
    assert in_words(row).splitlines() == [
        f"found  a.txt  {said}  p=1e-400  text-gumbel  key {KEY.id}",
        "  tokens 5 to 90 of 90  p=6.3e-32",
    ]


def test_the_rate_is_kept():
    (row,) = found("plain.txt", "--fpr", "0.999999")
    assert row["fpr"] == 0.999999
    assert row["tests"] > 10


def test_the_standard_input_is_a_text():
    (row,) = found("-", data=Path("marked.txt").read_bytes())
    assert (row["file"], row["status"]) == ("-", "found")
    (row,) = found("-", data=b"\xef\xbb\xbf" + Path("marked.txt").read_bytes())  # a byte order mark is no token
    assert row["segments"][0]["start"] == found("marked.txt")[0]["segments"][0]["start"]


def test_ids_are_read_as_they_are():
    (row,) = found("ids.json", "--ids")
    (same,) = found("marked.txt", "--method", "text-gumbel")
    assert row["status"] == "found"
    assert row["segments"][0]["start"] == same["segments"][0]["start"]
    assert "excerpt" not in row["segments"][0]


@pytest.mark.parametrize("wrong", ["{", "[1.5]", "[[1, 2], [3]]", '{"ids": [1]}', "[-1]", "[1e999]", "[" * 99_999])
def test_what_is_no_list_of_ids_is_an_error_of_that_file(wrong):
    row, fine = found("-", "ids.json", "--ids", data=wrong)
    assert row["status"] == "error"
    assert "one JSON list" in row["error"]
    assert fine["status"] == "found"


def test_the_worst_status_is_the_exit_code():
    options = ("--key", "my.key", "--tokenizer", "tokenizer.json")
    for names, code in ((["marked.txt"], 0), (["marked.txt", "short.txt"], 1), (["plain.txt", "none.txt"], 2)):
        assert markai("text", "detect", *names, *options).exit_code == code


def test_a_file_that_is_named_twice_is_read_once():
    assert len(found("plain.txt", "plain.txt")) == 1


def test_words_are_placed_in_the_text_only_where_they_are_sure():
    options = ("--key", "my.key", "--method", "text-words", "--json")
    spoken = Path("words.txt").read_text("utf-8")
    for data, placed in ((spoken, True), (f"{spoken} \u33c2", False)):  # which is a.m. by NFKC: two words
        row = json.loads(markai("text", "detect", "-", *options, data=data).stdout)
        assert row["status"] == "found"
        assert ("characters" in row["segments"][0]) == placed


# The demo


def demo(*args):
    return json.loads(markai("text", "demo", "--json", *args).stdout)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_demo_finds_its_mark_and_no_other(scheme):
    shown = demo("--scheme", scheme, "--seed", "5", "--attack", "truncate:0.8")
    assert (shown["scheme"], shown["tokens"], shown["seed"]) == (scheme, 400, 5)
    marked, unmarked, attacked = shown["texts"]
    assert [text["name"] for text in shown["texts"]] == ["marked", "unmarked", "truncate:0.8"]
    assert [text["verdict"] for text in shown["texts"]] == ["present", "absent", "present"]
    assert marked["text"].startswith(attacked["text"])
    assert marked["method"] == f"text-{scheme}"
    assert marked["share"] > 1.5 * shown["by_chance"] > 1.2 * unmarked["share"]
    decades = [each["log10_p_value"] for each in marked["growth"]]
    assert len(decades) == 5
    assert decades[-1] < decades[-2] < -6
    assert 1.5 < shown["entropy"] < 3.5


def test_the_demo_repeats_itself():
    first, same, other = (demo("--tokens", "50", "--seed", seed) for seed in "112")
    assert first == same
    assert first["key_id"] != other["key_id"]
    assert first["texts"][1]["text"] != other["texts"][1]["text"]


def test_colder_text_has_less_choice():
    cold, warm = (demo("--tokens", "300", "--temperature", heat) for heat in ("0.6", "1.2"))
    assert cold["entropy"] < warm["entropy"] / 2


def test_the_demo_learns_from_a_file(texts):
    (texts / "verse.txt").write_text("Tyger Tyger, burning bright,\nIn the forests of the night;\n" * 20)
    shown = demo("--tokens", "16", "--corpus", "verse.txt")
    assert set(shown["texts"][1]["text"].replace("\n", " ").split()) & {"Tyger", "burning", "forests", "night;"}


def test_the_demo_colours_tokens(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    output = markai("text", "demo", "--seed", "1").stdout
    colored = re.findall(r"\x1b\[30;42m([^\x1b]*)\x1b", output)
    assert len(colored) > 100
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    text = " ".join(demo("--seed", "1")["texts"][0]["text"].split())
    assert text[:40] in " ".join(plain.replace("¶", "").split())
    assert re.search(r"^ tokens +marked +unmarked +substitute:0.3", plain, re.MULTILINE)
    assert re.search(r"^ +found +not found", plain, re.MULTILINE)
    assert max(map(len, plain.splitlines())) <= 100


def test_on_a_pipe_there_is_no_colour_and_nothing_on_stderr():
    done = subprocess.run(
        [sys.executable, "-m", "markai.cli", "text", "demo", "--tokens", "60"], capture_output=True, check=True
    )
    assert b"\x1b" not in done.stdout
    assert done.stderr == b""


def test_the_schemes_are_those_of_the_library():
    assert tuple(schemes.SCHEMES) == SCHEMES


# Help


@pytest.mark.parametrize("name", sorted(text.commands))
def test_help_tells_about_every_option_and_loads_little(name):
    code = (
        "import sys; from markai.cli import cli; cli([*sys.argv[1:], '--help'], standalone_mode=False);"
        "sys.exit(bool({'numpy', 'PIL', 'scipy', 'torch', 'rich', 'cryptography', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, "text", name], check=True, capture_output=True, text=True)
    for option in (parameter for parameter in text.commands[name].params if parameter.param_type_name == "option"):
        assert option.help
        assert all(opt in done.stdout for opt in option.opts)


# Marks of others


@pytest.fixture(scope="module")
def vllm_ids(texts):
    """Ids that vLLM's mark would have chosen: of the model's ten likeliest tokens the one with the highest score."""
    tokenizer, model = small_model()
    profile = VllmGumbel(key=42)

    def choose(ids, logits):
        likeliest = np.argsort(-logits)[:10].astype(np.uint32)
        window = np.asarray(ids[-4:], np.uint32)
        if len(window) < 4:
            return int(likeliest[0])
        return int(likeliest[np.argmax(profile.scores(np.tile(window, (10, 1)), likeliest))])

    ids = model.generate(tokenizer.encode("A class").ids, 120, choose).tolist()
    (texts / "vllm_ids.json").write_text(json.dumps(ids))
    (texts / "vllm.json").write_text('{"profile": "vllm-gumbel", "key": 42}')
    (texts / "vllm_43.json").write_text('{"profile": "vllm-gumbel", "key": 43}')
    return ids


@pytest.mark.usefixtures("vllm_ids")
def test_marks_of_others_are_found_without_a_key():
    result = markai("text", "detect", "vllm_ids.json", "--ids", "--profile", "vllm.json", "--json")
    row = json.loads(result.stdout)
    assert (result.exit_code, row["method"], row["detected"]) == (0, "text-vllm-gumbel", True)
    assert markai("text", "detect", "vllm_ids.json", "--ids", "--profile", "vllm_43.json").exit_code == 1
    both = found("vllm_ids.json", "--ids", "--profile", "vllm_43.json", "--profile", "vllm.json")
    assert both[0]["log10_p_value"] > row["log10_p_value"]  # beside 6 of markai's and another key


@pytest.mark.usefixtures("vllm_ids")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is no profile"),
        ("[]", "names no profile"),
        ("{", "is no profile"),
        ('{"profile": "vllm"}', "vllm-gumbel: vLLM"),
        ('{"profile": "vllm-gumbel"}', "key"),
        ('{"profile": "vllm-gumbel", "key": 1, "colour": 2}', "colour"),
        ('{"profile": "hf-kgw", "vocab_size": 100, "device": "cuda"}', "cannot be read"),
    ],
)
def test_profiles_that_are_none(texts, content, words):
    path = texts / "broken.json"
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content)
    result = markai("text", "detect", "vllm_ids.json", "--ids", "--profile", "broken.json")
    assert result.exit_code == 2
    assert words in result.stderr
