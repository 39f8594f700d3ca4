"""Throw mutated files at ``markai.verify``: no crash, no hang, and nothing that was changed is trusted.

    python benchmarks/fuzz_verify.py [COUNT [SEED]]

Signed files of every kind, one signed twice and a text with its sidecar are flipped, cut, spliced and patched, each
mutant a pure function of the seed and its number. A mutant that is "trusted" counts as harmless only where every byte
that C2PA signs is as it was, in its place, and the report says the same. Not signed are the manifest's own place in
the file (the padding of its signature, the boxes around it) and, in AVIF, the boxes ftyp, free, skip and mfra.
"""

import json
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import markai
from markai.errors import MarkaiError
from markai.provenance import Claim, SoftBinding, c2pa_adapter, xmp_bmff, xmp_files
from markai.provenance.media import media_type

COUNT, SEED = 20_000, 1
SLOW_S = 5.0
INTERESTING = (b"\0", b"\xff", b"\x7f", b"\x80", b"\x01")
BMFF_UNSIGNED = {b"ftyp", b"free", b"skip", b"mfra"}
BMFF_MANIFEST = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
SAID = ("manifest_id", "signer", "claim", "source_type", "actions", "soft_bindings", "ingredients", "generator")


@dataclass(frozen=True)
class Sample:
    """A signed file, the store beside it if any, and where in the file its manifest is."""

    name: str
    data: bytes
    mime: str
    sidecar: bytes | None
    manifest: list[tuple[int, int]]
    said: dict[str, Any]


@dataclass
class Outcome:
    """What came of one mutant."""

    sample: str
    kind: str
    status: str
    seconds: float
    problem: str = ""


def plain_files() -> dict[str, bytes]:
    """Return a small file of every kind that is signed inside."""
    import io
    import wave

    from PIL import Image

    noise = Image.frombytes("RGB", (48, 40), bytes((37 * i * i + 11 * i) % 251 for i in range(48 * 40 * 3)))
    files = {}
    for name in ("jpeg", "png", "webp", "avif", "tiff", "gif", "pdf"):
        file = io.BytesIO()
        noise.save(file, name.upper())
        files[name] = file.getvalue()
    sound = io.BytesIO()
    with wave.open(sound, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(bytes(range(250)) * 8)
    svg = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><g/></svg>'
    return files | {"wav": sound.getvalue(), "svg": svg}


def samples(signer: markai.Signer) -> list[Sample]:
    """Return what is mutated."""
    claim, bindings = Claim("Acme", "AcmeGen", "2.1"), [SoftBinding.of("dwt-dct", b"acme:42")]
    signed = {name: markai.sign(data, signer, claim, bindings=bindings) for name, data in plain_files().items()}
    signed["jpeg twice"] = markai.sign(signed["jpeg"], signer, claim)
    signed["png twice"] = markai.sign(signed["png"], signer, claim)
    signed["text"] = markai.sign("Ein kurzer Text, 짧은 글.\n".encode() * 4, signer, claim, mime="text/plain")
    return [_sample(name, file, signer) for name, file in signed.items()]


def _sample(name: str, file: "markai.provenance.Signed", signer: markai.Signer) -> Sample:
    found = markai.verify(file, signer.trust())
    assert found.status == "trusted", name
    said = {key: value for key, value in found.to_dict().items() if key in SAID}
    return Sample(name, file.data, file.mime, file.sidecar, manifest_place(file), said)


def manifest_place(file: "markai.provenance.Signed") -> list[tuple[int, int]]:
    """Return where in a signed file its manifest is, which the signature leaves out."""
    if file.sidecar is not None:
        return []
    if file.mime == "image/avif":  # a box of its own
        start = file.index(b"uuid") - 4
        return [(start, start + int.from_bytes(file[start : start + 4], "big"))]
    report = c2pa_adapter.read(file.data, file.mime, markai.Trust.none())
    assert isinstance(report, c2pa_adapter.Report)
    active = next(each for each in report.details["manifests"] if each["label"] == file.manifest_id)
    holes = active["assertions"]["c2pa.hash.data"]["exclusions"]
    return [(hole["start"], hole["start"] + hole["length"]) for hole in holes]


def mutants(seed: int, count: int, chosen: list[Sample]) -> Iterator[tuple[Sample, str, bytes, bytes | None]]:
    """Yield (sample, kind of mutation, data, sidecar)."""
    for number in range(count):
        rng = random.Random(f"{seed}:{number}")
        sample = chosen[number % len(chosen)]
        kind, change = rng.choice(list(CHANGES.items()))
        other = rng.choice(chosen)
        if sample.sidecar is not None and rng.random() < 0.7:
            yield sample, kind, sample.data, change(rng, sample.sidecar, other.sidecar or other.data)
        else:
            yield sample, kind, change(rng, sample.data, other.data), sample.sidecar


def flip(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Flip one to four bits."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        result[rng.randrange(len(result))] ^= 1 << rng.randrange(8)
    return bytes(result)


def overwrite(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Put an extreme number, or noise, over one to eight bytes."""
    size, at = rng.choice((1, 2, 4, 8)), rng.randrange(len(data))
    value = rng.choice([*(each * size for each in INTERESTING), rng.randbytes(size)])
    return data[:at] + value + data[at + size :]


def truncate(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Cut the end off."""
    return data[: rng.randrange(len(data))]


def delete(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Cut a piece out."""
    start, end = _range(rng, data)
    return data[:start] + data[end:]


def repeat(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Insert a piece once more, somewhere."""
    start, end = _range(rng, data)
    at = rng.randrange(len(data))
    return data[:at] + data[start:end] + data[at:]


def splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Put a piece of another file over this one."""
    start, end = _range(rng, other)
    at = rng.randrange(len(data))
    return data[:at] + other[start:end] + data[at + end - start :]


def insert(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Insert a piece of another file."""
    start, end = _range(rng, other)
    at = rng.randrange(len(data))
    return data[:at] + other[start:end] + data[at:]


def append(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Append noise or another file."""
    return data + rng.choice((rng.randbytes(rng.randint(1, 64)), other, b"\0" * rng.randint(1, 9)))


def swap(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Exchange two neighbouring pieces."""
    first, second, third = sorted(rng.randrange(len(data) + 1) for _ in range(3))
    return data[:first] + data[second:third] + data[first:second] + data[third:]


def clear(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Put zeros over a piece."""
    start, end = _range(rng, data)
    return data[:start] + bytes(end - start) + data[end:]


def exaggerate(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Let a CBOR string claim gigabytes that are not there."""
    places = [at for at in range(len(data) - 4) if data[at : at + 4] == b"cbor"]
    at = rng.choice(places) + 4 + rng.randrange(60) if places else rng.randrange(len(data))
    header = rng.choice((b"\x5a", b"\x7a")) + rng.choice((b"\xff\xff\xff\xff", b"\x40\0\0\0"))
    header = rng.choice((header, rng.choice((b"\x5b", b"\x7b")) + (1 << rng.randrange(30, 64)).to_bytes(8, "big")))
    return data[:at] + header + data[at + len(header) :]


def _range(rng: random.Random, data: bytes) -> tuple[int, int]:
    start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return (start, end) if rng.random() < 0.4 else (start, min(end, start + rng.choice((4, 12, 64, 300))))


CHANGES: dict[str, Callable[[random.Random, bytes, bytes], bytes]] = {
    change.__name__: change
    for change in (flip, overwrite, truncate, delete, repeat, splice, insert, append, swap, clear, exaggerate)
}


def examine(sample: Sample, kind: str, data: bytes, sidecar: bytes | None, trust: markai.Trust) -> Outcome:
    """Verify one mutant, read its XMP, and say what is wrong with the answer, if anything."""
    start = time.perf_counter()
    try:
        found = markai.verify(data, trust, sidecar=sidecar, mime=sample.mime)
        json.dumps(found.to_dict())
    except Exception as error:
        return Outcome(sample.name, kind, "error", time.perf_counter() - start, f"{type(error).__name__}: {error}")
    try:
        xmp_files.read(data, media_type(data, sample.mime))
    except MarkaiError:
        pass
    except Exception as error:
        return Outcome(sample.name, kind, "error", time.perf_counter() - start, f"XMP: {type(error).__name__}: {error}")
    seconds = time.perf_counter() - start
    problem = "slow" if seconds > SLOW_S else ""
    status: str = found.status
    if status == "trusted":
        status, problem = _judge_trusted(sample, data, sidecar, found.to_dict())
    return Outcome(sample.name, kind, status, seconds, problem)


def _judge_trusted(sample: Sample, data: bytes, sidecar: bytes | None, said: dict[str, Any]) -> tuple[str, str]:
    if (data, sidecar) == (sample.data, sample.sidecar):
        return "unchanged", ""
    if _content(data, sample) != _content(sample.data, sample):
        return "trusted", "the content was changed"
    if {key: said[key] for key in SAID} != sample.said:
        return "trusted", "the report says something else"
    return "trusted: unsigned bytes", ""


def _content(data: bytes, sample: Sample) -> Any:
    """Return what of a file C2PA signs."""
    if sample.mime == "image/avif":
        with suppress(MarkaiError):
            boxes = [each for each in xmp_bmff._boxes(data, 0, len(data)) if each.kind not in BMFF_UNSIGNED]
            signed = [each for each in boxes if data[each.body : each.body + 16] != BMFF_MANIFEST]
            return [(each.start, data[each.start : each.end]) for each in signed]
    blanked = bytearray(data)
    for start, end in sample.manifest:
        blanked[start:end] = bytes(len(blanked[start:end]))
    return len(data), bytes(blanked)


def run(count: int, seed: int, watch: Callable[[Outcome], None] = lambda _: None) -> dict[str, Any]:
    """Return what came of ``count`` mutants."""
    signer = markai.Signer.development("Acme")
    trust, chosen = signer.trust(), samples(signer)
    statuses: dict[str, Counter[str]] = {sample.name: Counter() for sample in chosen}
    problems, slowest = [], 0.0
    for sample, kind, data, sidecar in mutants(seed, count, chosen):
        outcome = examine(sample, kind, data, sidecar, trust)
        watch(outcome)
        statuses[sample.name][outcome.status] += 1
        slowest = max(slowest, outcome.seconds)
        if outcome.problem:
            problems.append(vars(outcome))
    return {
        "mutants": count,
        "seed": seed,
        "problems": problems,
        "slowest_s": round(slowest, 3),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "statuses": {name: dict(sorted(found.items())) for name, found in statuses.items()},
    }


def main() -> int:
    """Run, show and save."""
    from common import machine, save

    count, seed = (int(value) for value in [*sys.argv[1:3], *map(str, (COUNT, SEED)[len(sys.argv) - 1 :])])
    start, done = time.perf_counter(), 0

    def watch(_: Outcome) -> None:
        nonlocal done
        done += 1
        if done % 1000 == 0:
            print(f"{done} in {time.perf_counter() - start:.0f} s", file=sys.stderr)

    result = run(count, seed, watch)
    result["seconds"] = round(time.perf_counter() - start)
    print(json.dumps(result, indent=1))
    if os.environ.get("CI") is None:
        save("fuzz_verify", {"machine": machine(), **result})
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
