"""Texts through all layers: a payload is reserved, written while the model speaks, bound, recorded, and found again."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from markai import embed, verify
from markai.cli import cli
from markai.errors import CapacityError, KeyFileError, MethodError, PayloadTakenError
from markai.inspection import contradictions
from markai.inspection.verdicts import Verdict
from markai.marked import Marked
from markai.marker import Marker
from markai.provenance import SoftBinding
from markai.provenance.registry import Record, Registry, text_agreement, text_fingerprint, text_sketch
from markai.text import TextMark, WordMark
from marking_samples import KEY, OTHER_KEY, TRUST, Pixels, inspector, marker
from marking_samples import encoded as image_file

pytest.importorskip("c2pa")


class Story(NamedTuple):
    """A text with its mark, recorded."""

    marker: Marker
    registry: Registry
    mark: TextMark
    text: str
    out: Marked


LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))
VOCABULARY = sorted({"".join(word) for word in np.random.default_rng(0).choice(LETTERS, (512, 4))})
NUMBERS = {word: number for number, word in enumerate(VOCABULARY)}


def tokenizer(text: str) -> list[int]:
    """The tokenizer of a model that speaks in words of four letters; what it does not know is one more."""
    return [NUMBERS.get(word, len(VOCABULARY)) for word in text.split()]


def written(mark: TextMark, seed: int = 1, words: int = 400) -> str:
    """What the model says: each word is drawn from logits of its own."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, len(VOCABULARY), 6).tolist()
    for _ in range(words):
        logits = mark.step(ids, rng.normal(0, 1.5, len(VOCABULARY)).astype(np.float32))
        ids.append(int(np.argmax(logits + rng.gumbel(size=len(VOCABULARY)))))
    return " ".join(VOCABULARY[number] for number in ids)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with Registry.open(f"sqlite:///{tmp_path_factory.mktemp('text')}/registry.db") as registry:
        made = marker(registry)
        mark = TextMark(KEY, "gumbel", vocab_size=len(VOCABULARY), payload=made.reserve(4))
        text = written(mark)
        yield Story(made, registry, mark, text, made.mark_text(text, mark, tokenizer))


def codes(finding: Any) -> list[str]:
    assert json.loads(json.dumps(finding.to_dict()))["verdict"] == finding.verdict
    return [each.code for each in finding.contradictions]


def test_a_text_is_bound_and_recorded_with_the_payload_that_it_carries(story: Story) -> None:
    out = story.out
    assert (out.data.decode(), out.payload, out.method) == (story.text, story.mark.payload, "text-gumbel")
    assert out.sidecar == out.manifest
    manifest = verify(out.data, TRUST, sidecar=out.sidecar, mime="text/plain")
    assert manifest.status == "trusted"
    assert manifest.soft_bindings == (SoftBinding.of("text-gumbel", out.payload, KEY.id),)
    assert manifest.actions == ("c2pa.created", "c2pa.watermarked.bound")
    (record,) = story.registry
    assert (record.id, record.method, record.media_type) == (out.record_id, "text-gumbel", "text/plain")
    assert (record.fingerprint, record.sketch) == (text_fingerprint(story.text), text_sketch(story.text))


def test_with_its_sidecar_a_text_is_generated(story: Story) -> None:
    looking = inspector(story.registry, tokenizer=tokenizer)
    finding = looking.inspect(story.out.data, sidecar=story.out.sidecar, mime="text/plain")
    assert (finding.verdict, codes(finding), bool(finding)) == (Verdict.GENERATED, [], True)
    assert finding.watermark
    assert finding.watermark.payload == story.out.payload
    assert finding.recovered
    assert finding.recovered.exact


def test_a_part_of_the_text_leads_back_to_its_manifest(story: Story, tmp_path: Path) -> None:
    (tmp_path / "part.txt").write_text("Somebody writes:\n\n" + story.text[: len(story.text) * 3 // 4])
    finding = inspector(story.registry, tokenizer=tokenizer).inspect(tmp_path / "part.txt")
    assert (finding.verdict, codes(finding), bool(finding)) == (Verdict.RECOVERED, [], True)
    assert finding.recovered
    assert finding.recovered.record.id == story.out.record_id
    assert finding.recovered.verdict == "same"
    assert finding.recovered.manifest.claim == story.out.claim


def test_a_payload_that_another_text_was_recorded_with(story: Story) -> None:
    """Generated twice with one payload, recorded once: the record is of another text."""
    other = written(story.mark, seed=2)
    finding = inspector(story.registry, tokenizer=tokenizer).inspect(other.encode(), mime="text/plain")
    assert finding.watermark
    assert finding.watermark.payload == story.out.payload
    assert (finding.verdict, codes(finding)) == (Verdict.COPIED, [contradictions.COPIED_MARK])


def test_an_edited_text_with_its_sidecar(story: Story) -> None:
    looking = inspector(story.registry, tokenizer=tokenizer)
    finding = looking.inspect(story.out.data + b" Edited.", sidecar=story.out.sidecar, mime="text/plain")
    assert (finding.verdict, codes(finding)) == (Verdict.EDITED, [contradictions.EDITED_AFTER_SIGNING])
    other = " ".join(f"Sentence number {number}, which nobody generated at all." for number in range(400)).encode()
    moved = looking.inspect(other, sidecar=story.out.sidecar, mime="text/plain")
    assert moved.verdict is Verdict.CONTRADICTORY
    assert contradictions.FOREIGN_MANIFEST in codes(moved)
    assert contradictions.MARK_MISSING in codes(moved)


def test_without_the_tokenizer_a_mark_on_tokens_is_not_called_missing(story: Story) -> None:
    finding = inspector(story.registry).inspect(story.out.data, sidecar=story.out.sidecar, mime="text/plain")
    assert (finding.verdict, codes(finding), bool(finding)) == (Verdict.GENERATED, [], True)
    assert any("tokenizer" in note for note in finding.notes)
    assert any("com.markai.text-gumbel.1" in note for note in finding.notes)


def test_a_text_that_only_looks_the_same(story: Story) -> None:
    """Case and spaces do not change how it reads; without the tokenizer no mark can be looked for."""
    finding = inspector(story.registry).inspect(story.text.upper().encode(), mime="text/plain")
    assert (finding.verdict, finding.lookalikes[0].record.id) == (Verdict.RESEMBLES, story.out.record_id)


def test_what_cannot_be_read_back_is_not_signed(story: Story) -> None:
    before = len(story.registry)
    made = story.marker
    with pytest.raises(CapacityError, match="generate a longer text"):
        made.mark_text("A short text.", story.mark, tokenizer)
    with pytest.raises(CapacityError, match="carries the payload"):
        made.mark_text(story.text, "text-gumbel", tokenizer, payload=b"else")
    with pytest.raises(KeyFileError, match="one key for both"):
        made.mark_text(story.text, TextMark(OTHER_KEY, "gumbel", payload=b"abcd"), tokenizer)
    with pytest.raises(MethodError, match="no mark"):
        made.mark_text(story.text, 42)
    with pytest.raises(MethodError, match="tokenizer"):
        made.mark_text(story.text, story.mark)
    with pytest.raises(MethodError, match="no method"):
        made.mark_text(story.text, "text-magic", tokenizer)
    with pytest.raises(MethodError, match="surrogate"):
        made.mark_text("half \ud800")
    with pytest.raises(PayloadTakenError):
        made.mark_text(story.text, story.mark, tokenizer)
    assert len(story.registry) == before


def test_a_mark_can_be_named(story: Story) -> None:
    out = marker().mark_text(story.text, "text-gumbel", tokenizer)
    assert (out.payload, out.method, out.record_id) == (story.out.payload, "text-gumbel", None)


def test_a_mark_without_a_payload_is_unbound(tmp_path: Path) -> None:
    choices = "a bright cold day in April and the clocks were striking thirteen while".split()  # noqa: SIM905
    rng = np.random.default_rng(5)
    mark = WordMark(KEY)
    text = mark.write(lambda _: " " + " ".join(rng.choice(choices, 4)), pieces=60, choices=16)
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as own:
        out = marker(own).mark_text(text, mark)
        assert (out.method, len(out.payload)) == ("text-words", 8)
        assert verify(out.data, sidecar=out.sidecar, mime="text/plain").actions[1] == "c2pa.watermarked.unbound"
        finding = inspector(own).inspect(out.data, sidecar=out.sidecar, mime="text/plain")
        assert (finding.verdict, codes(finding), bool(finding)) == (Verdict.GENERATED, [], True)
        assert finding.watermark
        assert finding.watermark.method == "text-words"
        assert finding.recovered
        assert finding.recovered.by == "manifest"
        named = marker(own).mark_text(text, "text-words")
        assert named.method == "text-words"
    with pytest.raises(CapacityError):
        marker().mark_text("Nobody chose these words by any key at all, and they are many.", mark)


def test_a_text_without_a_mark_is_signed_and_recorded(tmp_path: Path) -> None:
    text = "짧은 글.\r\nEin kurzer Text, und noch ein Satz, damit es etwas zu vergleichen gibt.\n"
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as own:
        made = marker(own)
        outs = made.mark([text, text + "!"])
        assert [(out.method, out.mime) for out in outs] == [("none", "text/plain")] * 2
        (tmp_path / "in.txt").write_bytes(text.encode() + b"2")
        out = made.mark_file(tmp_path / "in.txt", tmp_path / "out.txt")
        assert (tmp_path / "out.txt").read_bytes() == text.encode() + b"2"
        assert (tmp_path / "out.txt.c2pa").read_bytes() == out.sidecar
        assert verify(tmp_path / "out.txt", TRUST).status == "trusted"
        found = inspector(own).inspect(tmp_path / "out.txt")
        assert (found.verdict, codes(found), bool(found)) == (Verdict.GENERATED, [], True)
        for junk in (b"\xff\xfe", b"junk \x80"):
            (tmp_path / "in.txt").write_bytes(junk)
            with pytest.raises(MethodError, match="UTF-8"):
                made.mark_file(tmp_path / "in.txt", tmp_path / "bad.txt")
        assert len(own) == 3
    assert not (tmp_path / "bad.txt").exists()


def test_texts_that_cannot_be_read_are_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = inspector().inspect(b"\xff\xfe\x00", mime="text/plain")
    assert (finding.watermark, finding.verdict) == (None, Verdict.NOTHING)
    assert "The text cannot be read" in finding.notes[0]
    monkeypatch.setattr("markai.inspector.MAX_TEXT", 10)
    assert "more than 10 bytes" in inspector().inspect(b"a longer text", mime="text/plain").notes[0]


def test_marks_with_other_parameters_are_given_to_the_inspector(tmp_path: Path) -> None:
    mark = TextMark(KEY, "gumbel", vocab_size=len(VOCABULARY), payload=b"abcd", width=3)
    text = written(mark)
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as own:
        out = marker(own).mark_text(text, mark, tokenizer)
        looking = inspector(own, tokenizer=tokenizer, text_marks=[TextMark(KEY, "gumbel", payload=True, width=3)])
        finding = looking.inspect(text.encode(), mime="text/plain")
        assert finding.recovered
        assert (finding.verdict, finding.recovered.record.id) == (Verdict.RECOVERED, out.record_id)


def test_a_picture_and_the_record_of_a_text_do_not_compare(tmp_path: Path, crop: Pixels) -> None:
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as own:
        own.append(
            Record(
                payload=b"acme:42",
                key_id=KEY.id,
                method="text-gumbel",
                media_type="text/plain",
                sha256=bytes(32),
                sketch=text_sketch("some words"),
            )
        )
        finding = inspector(own).inspect(image_file(embed(crop, KEY, payload=b"acme:42")))
    assert finding.recovered
    assert (finding.recovered.agreement, finding.recovered.verdict) == (None, "unclear")


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trained = Tokenizer(WordLevel({**NUMBERS, "?": len(NUMBERS)}, unk_token="?"))
    trained.pre_tokenizer = WhitespaceSplit()
    trained.save("tokenizer.json")
    KEY.save("my.key")
    Path("answer.txt").write_text(written(TextMark(KEY, "gumbel", payload=b"a:42")))
    options = "--key my.key --registry sqlite:///markai.db"

    def run(line: str) -> Any:
        return CliRunner().invoke(cli, shlex.split(line))

    assert run("certs dev --org Acme").exit_code == 0
    made = f"--chain dev/chain.pem --private-key dev/key.pem {options} --provider Acme --system LM --version 1 --json"
    command = f"mark answer.txt -o out.txt {made} --text-mark text-gumbel --tokenizer tokenizer.json"
    wrong = run(f"{command} --payload else")
    assert wrong.exit_code == 2
    assert "carries the payload" in wrong.stdout
    row = json.loads(run(f"{command} --payload a:42").stdout)
    assert (row["status"], row["sidecar"], row["method"]) == ("marked", "out.txt.c2pa", "text-gumbel")
    assert run(f"mark answer.txt -o other.txt {made} --format png").exit_code == 2
    Path("part.txt").write_text(Path("answer.txt").read_text()[:1600])
    result = run(f"inspect part.txt {options} --trust dev/root.pem --tokenizer tokenizer.json")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "recovered  part.txt")
    assert run(f"inspect out.txt {options} --trust dev/root.pem").stdout.startswith("generated  out.txt")


# Likeness


def test_the_sketch_of_a_text_tells_parts_edits_and_others(story: Story) -> None:
    text, other = story.text, written(TextMark(OTHER_KEY, "gumbel"), seed=3)
    kept = text_sketch(text)
    assert len(kept) <= 5 + 4 * 512
    for same in (text, text.upper(), " ".join(text.split()), text[: len(text) // 2], f"{other} {text} {other}"):
        assert text_agreement(kept, same).verdict == "same"
    assert text_agreement(kept, other).verdict == "different"
    assert text_agreement(kept, text[:30]).verdict == "unclear"
    assert text_agreement(text_sketch("short"), "short").verdict == "unclear"
    assert text_agreement(text_sketch(""), "").verdict == "unclear"
    for damaged in (b"", b"\x01\0\0\0\1", kept[:-1], b"\2" + kept[1:]):
        with pytest.raises(ValueError, match="sketch"):
            text_agreement(damaged, text)
