"""Mark, sign and record a photograph and a text, lose the metadata, find the manifests again; cheat, be found out.

    python examples/sign_and_recover.py [--out provenance] [--registry sqlite:///provenance/markai.db]

Prints what the inspector says of each file, and writes the files into ``provenance/``. Exits with 1 if an answer is not
the expected one. The certificate is made on the spot and nobody else trusts it; yours is a file, or lives in a KMS. The
text is written by a toy of a language model that learns from what ships with Python.
"""

import argparse
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import markai
from markai import attacks
from markai.attacks.security import copy_mark
from markai.inspector import Finding
from markai.marked import Marked
from markai.provenance import Claim
from markai.text import TextMark
from markai.text.ngram import TEMPERATURE, sampler, small_model

PHOTOGRAPH = Path(__file__).parent / "data" / "lighthouse.png"


@dataclass(frozen=True)
class Story:
    """One file, what happened to it, and what the inspector must say."""

    name: str
    title: str
    data: bytes
    verdict: str
    contradictions: tuple[str, ...] = ()

    def as_expected(self, finding: Finding) -> bool:
        """Whether verdict and contradictions are those."""
        return (finding.verdict, tuple(each.code for each in finding.contradictions)) == (
            self.verdict,
            self.contradictions,
        )


def main(argv: list[str] | None = None) -> int:
    """Tell the whole story; return the exit status."""
    parser = argparse.ArgumentParser(description="Mark, sign and record a photograph, then trace what becomes of it.")
    parser.add_argument("--out", type=Path, default=Path("provenance"), help="folder to write into")
    parser.add_argument("--registry", help="URL of the registry (default: a SQLite file in that folder)")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    registry = args.registry or f"sqlite:///{args.out / 'markai.db'}"
    # A fixed key, so that the story is the same each time. Yours is secret: markai.Key.generate(), once.
    key, signer = markai.Key(bytes(range(32))), markai.Signer.development("Acme")

    with markai.Marker(
        key, signer=signer, registry=registry, provider="Acme", system="AcmeGen", version="2.1"
    ) as marker:
        out = marker.mark(PHOTOGRAPH.read_bytes())
        tokenizer, answer = write(marker)
    print(f"The photograph is recorded as {out.record_id}, with the manifest {out.manifest_id}.")
    print(f"The text is recorded as {answer.record_id}, with the manifest {answer.manifest_id}.\n")
    answer.save(args.out / "answer.txt")  # and its manifest beside it, answer.txt.c2pa

    wrong = []
    # Not thorough: none of these is a collage of several marked pictures.
    with markai.Inspector(
        key, trust=signer.trust(), registry=registry, tokenizer=tokenizer, thorough=False
    ) as inspector:
        for story in [*stories(out.data), *texts(answer.data.decode())]:
            (args.out / story.name).write_bytes(story.data)
            finding = inspector.inspect(args.out / story.name)
            show(story, finding)
            if not story.as_expected(finding):
                wrong.append(story.name)
            recovered = finding.recovered
            if finding.verdict == "recovered" and recovered.record.manifest not in (out.manifest, answer.manifest):
                wrong.append(f"{story.name}: another manifest")
    print(f"Not as expected: {', '.join(wrong)}." if wrong else "Every answer is as expected.")
    print(f"The files are in {args.out}/.")
    return 1 if wrong else 0


def write(marker: markai.Marker) -> tuple[Any, Marked]:
    """Let the toy write a text that carries a payload of its own, and take it through all layers."""
    tokenizer, model = small_model()
    mark = TextMark(marker.key, "gumbel", vocab_size=model.vocab_size, payload=marker.reserve(4))
    draw = sampler(np.random.default_rng(1))
    prompt = tokenizer.encode("The interpreter").ids
    ids = model.generate(prompt, 600, lambda ids, logits: draw(ids, mark.step(ids, logits)), TEMPERATURE)
    return tokenizer, marker.mark_text(tokenizer.decode(ids.tolist()), mark, tokenizer)


def stories(marked: bytes) -> list[Story]:
    """What may happen to a marked file, from nothing at all to forgery."""
    pixels = decoded(marked)
    cropped = attacks.apply("crop:0.5", pixels, seed=1)
    retouched = pixels.copy()
    retouched[200:300, 300:500] = 255
    another = decoded(PHOTOGRAPH.read_bytes())[::-1].copy()  # upside down, it is no longer that picture
    camera = markai.sign(
        encoded(pixels), markai.Signer.development("Mallory"), Claim("Cam", "X100", "1", source_type="digitalCapture")
    )
    return [
        Story("marked.png", "as it was marked", marked, "generated"),
        Story(
            "cropped.jpg", "cropped to 50 %, JPEG 60, metadata gone", encoded(cropped, "JPEG", quality=60), "recovered"
        ),
        Story(
            "retouched.png",
            "painted over, its manifest kept",
            with_manifest(marked, retouched),
            "edited after marking",
            ("edited-after-signing",),
        ),
        Story(
            "forged.png",
            "another picture with a copy of the mark",
            encoded(copy_mark(pixels, another, 32.0)),
            "copied mark",
            ("copied-mark",),
        ),
        Story(
            "camera.png",
            "signed anew, as if a camera had taken it",
            bytes(camera),
            "contradictory",
            ("source-disagrees", "other-manifest"),
        ),
        Story("unmarked.png", "a picture that nobody marked", encoded(another), "nothing found"),
    ]


def texts(text: str) -> list[Story]:
    """What may happen to a text."""
    excerpt = text[len(text) // 6 :]
    return [
        Story("answer.txt", "as it was written, its manifest beside it", text.encode(), "generated"),
        Story("excerpt.txt", "five sixths of it, quoted", f"Somebody wrote:\n\n{excerpt}".encode(), "recovered"),
    ]


def show(story: Story, finding: Finding) -> None:
    """Print what the inspector says."""
    print(f"{story.name}: {story.title}")
    print(f"  {finding.verdict}: {finding.verdict.sentence}")
    for contradiction in finding.contradictions:
        print(f"  ! {contradiction}")
    for layer, sentence in finding.layers.items():
        print(f"  {layer}: {sentence}")
    print()


def decoded(data: bytes) -> np.ndarray:
    """Return the pixels of a file."""
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def encoded(pixels: np.ndarray, name: str = "PNG", **options: int) -> bytes:
    """Return pixels as a file with nothing else in it."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, name, **options)
    return file.getvalue()


def with_manifest(signed: bytes, pixels: np.ndarray) -> bytes:
    """Return a PNG of other pixels into which the chunk with the manifest was moved."""
    at = signed.index(b"caBX") - 4
    length = 12 + int.from_bytes(signed[at : at + 4], "big")
    plain = encoded(pixels)
    return plain[:33] + signed[at : at + length] + plain[33:]


if __name__ == "__main__":
    sys.exit(main())
