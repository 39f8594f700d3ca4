"""What Marker.mark costs beyond its parts, and what is left when it is killed.

    python benchmarks/marking.py [--repeat 15] [--kills 200] [--pictures 40] [--picture FILE]

Time: the same 1024x1024 photograph, marked by ``Marker`` with a registry in SQLite on this disk, against the bare calls
that somebody would make by hand: ``markai.embed`` and the signing call of c2pa-python, with a context and a signer made
in advance, the same manifest and the same settings. A file goes in and a file comes out (PNG, JPEG, WebP), or an array
goes in and a file comes out, for which the bare calls also need Pillow to encode it. Taken in turns; medians of the
wall clock and of the processor time of this process, on one thread. Parts are measured alone.

Kills: a process marks one file after another and is killed with SIGKILL at a random moment, again and again. After each
kill the registry must open and be sound; every file that has its name must be whole, signed, and recorded with its
digest; what the process had said was done must be there.

Tracing: pictures of the evaluation set, 768 pixels on the short side, are marked, cropped to half their area, written
as JPEG 60 with nothing else in the file, and inspected; then the mark of each is copied onto the next one, at 38 dB,
and inspected whole and after the same loss. Written to ``results/marking.json`` and ``marking.md``; what a run does not
measure (``--repeat 0``, ``--kills 0``, ``--pictures 0``) stays from the one before.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import hashlib  # noqa: E402
import importlib  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import random  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from statistics import median  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from common import EVAL, RESULTS, ROOT, machine, save  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from PIL import Image  # noqa: E402
from speed import picture  # noqa: E402

import markai  # noqa: E402
from markai import attacks  # noqa: E402
from markai.attacks.security import copy_mark  # noqa: E402
from markai.bench.pictures import from_files, spread  # noqa: E402
from markai.errors import CapacityError  # noqa: E402
from markai.files import remove_leftovers  # noqa: E402
from markai.inspector import Finding  # noqa: E402
from markai.provenance import Claim, SoftBinding  # noqa: E402
from markai.provenance.manifest import definition  # noqa: E402
from markai.provenance.registry import Record, Registry, fingerprint, sketch  # noqa: E402

KEY, PAYLOAD = markai.Key(bytes(32)), b"acme:42!"
BINDING = SoftBinding.of("dwt-dct", PAYLOAD, KEY.id)
CLAIM = {"provider": "Acme", "system": "AcmeGen", "version": "2.1"}
OWN, COPIED, COPIED_LOST = "own, crop:0.5+jpeg:60", "copied", "copied, crop:0.5+jpeg:60"
QUALITY = {"JPEG": 95, "WEBP": 90}
Pixels = NDArray[np.uint8]
Row = dict[str, Any]


# Time


class Bare:
    """Embedding and signing by hand: what c2pa-python needs, made once."""

    def __init__(self, signer: markai.Signer) -> None:
        import c2pa

        self.c2pa = c2pa
        settings = {
            "version": 1,
            "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": True},
            "builder": {"thumbnail": {"enabled": False}},
        }
        self.context = c2pa.Context.from_dict(settings)
        info = c2pa.C2paSignerInfo(alg=signer.alg, sign_cert=signer.chain, private_key=signer.key, ta_url=None)
        self.signer = c2pa.Signer.from_info(info)

    def sign(self, data: bytes, mime: str) -> bytes:
        made = definition(Claim(**CLAIM), [BINDING])
        result = io.BytesIO()
        with self.c2pa.Builder(made, context=self.context) as builder:
            builder.sign(self.signer, mime, io.BytesIO(data), result)
        return result.getvalue()

    def file(self, data: bytes, mime: str) -> bytes:
        return self.sign(markai.embed(data, KEY, payload=PAYLOAD), mime)

    def array(self, pixels: Pixels, name: str) -> bytes:
        return self.sign(encoded(markai.embed(pixels, KEY, payload=PAYLOAD), name), f"image/{name.lower()}")


def encoded(pixels: Pixels, name: str) -> bytes:
    """Encode with Pillow, as the marker does."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, name, quality=QUALITY.get(name, 75))
    return file.getvalue()


def in_turns(works: dict[str, Callable[[], Any]], repeat: int) -> dict[str, Row]:
    """Return the median wall and processor milliseconds of each, and the spread of the wall's middle half."""
    wall: dict[str, list[float]] = {name: [] for name in works}
    processor: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeat + 1):
        for name, work in works.items():
            begin, spent = time.perf_counter(), time.process_time()
            work()
            if turn:  # the first only warms up
                wall[name].append(1e3 * (time.perf_counter() - begin))
                processor[name].append(1e3 * (time.process_time() - spent))
    return {
        name: {
            "wall": round(median(wall[name]), 2),
            "middle half": [round(float(value), 2) for value in np.quantile(wall[name], [0.25, 0.75])],
            "processor": round(median(processor[name]), 2),
        }
        for name in works
    }


def compared(pixels: Pixels, folder: Path, repeat: int) -> Row:
    """Time marking against the bare calls, for each kind of input and output."""
    signer = markai.Signer.development("Acme")
    bare = Bare(signer)
    result: Row = {}
    with markai.Marker(KEY, signer=signer, registry=f"sqlite:///{folder}/speed.db", **CLAIM) as marker:
        for name in ("PNG", "JPEG", "WEBP"):
            mime, data = f"image/{name.lower()}", encoded(pixels, name)
            works = {
                "bare": lambda data=data, mime=mime: bare.file(data, mime),
                "marker": lambda data=data: marker.mark(data),
            }
            result[f"{name} file"] = with_ratio(in_turns(works, repeat))
            tell(f"{name} file {result[f'{name} file']}")
        for name in ("PNG", "JPEG"):
            works = {
                "bare": lambda name=name: bare.array(pixels, name),
                "marker": lambda name=name: marker.mark(pixels, name),
            }
            result[f"array to {name}"] = with_ratio(in_turns(works, repeat))
            tell(f"array to {name} {result[f'array to {name}']}")
    return result


def with_ratio(times: dict[str, Row]) -> Row:
    """Add how much more the marker takes."""
    added = {kind: round(times["marker"][kind] / times["bare"][kind] - 1, 4) for kind in ("wall", "processor")}
    return {**times, "added": added}


def parts(pixels: Pixels, folder: Path, repeat: int) -> dict[str, Row]:
    """Time what the marker does besides, each alone."""
    marked = markai.embed(pixels, KEY, payload=PAYLOAD)
    mark = markai.watermarks.load("dwt-dct")
    jpeg = encoded(marked, "JPEG")
    with Registry.open(f"sqlite:///{folder}/parts.db") as registry:
        said = {"key_id": KEY.id, "method": "dwt-dct", "media_type": "image/png", "sha256": bytes(32)}

        def record() -> None:
            payload = registry.reserve()
            registry.append(
                Record(payload=payload, manifest=bytes(4000), sketch=bytes(2321), fingerprint=payload, **said)
            )

        works = {
            "glance for an earlier mark": lambda: mark.glance(mark.look(pixels), KEY),
            "fingerprint": lambda: fingerprint(marked),
            "sketch": lambda: sketch(marked),
            "digest (JPEG)": lambda: hashlib.sha256(jpeg).digest(),
            "reserve and record": record,
        }
        return in_turns(works, repeat)


# Kills


def mark_on(folder: Path, source: Path, name: str, told: int) -> None:
    """Mark files until somebody kills this process; say what is done."""
    signer = markai.Signer.development("Acme")
    markai.Marker(KEY, signer=signer, **CLAIM).mark(source.read_bytes())  # what comes late the first time
    with markai.Marker(KEY, signer=signer, registry=f"sqlite:///{folder}/killed.db", **CLAIM) as marker:
        os.write(told, b"ready\n")
        for number in range(100_000):
            target = folder / "out" / f"{name}-{number}.jpg"
            marker.mark_file(source, target)
            os.write(told, f"{target.name}\n".encode())


def killed(folder: Path, source: Path, times: int) -> Row:
    """Kill markers at random moments; see the module for what must hold after each."""
    rng = random.Random(5)
    for name in ("c2pa", "imagehash", "sqlalchemy.dialects.sqlite"):  # once, rather than in every fork
        importlib.import_module(name)
    (folder / "out").mkdir()
    told: set[str] = set()
    found: Row = {}
    for number in range(times):
        said = run_and_kill(
            lambda pipe, number=number: mark_on(folder, source, f"run{number}", pipe), rng.uniform(0, 0.4)
        )
        told.update(said)
        with Registry.open(f"sqlite:///{folder}/killed.db", create=False) as registry:
            whole = registry.check()
            assert whole, whole.problem
            known = {record.sha256: record for record in registry}
        files = {path.name: path for path in (folder / "out").iterdir()}
        named = {name: path for name, path in files.items() if not name.startswith(".markai-")}
        assert told <= set(named), f"said to be done, and not there: {told - set(named)}"
        for path in named.values():
            data = path.read_bytes()
            record = known.get(hashlib.sha256(data).digest())
            assert record is not None, f"{path.name} is not recorded"
            assert record.manifest_id.encode() in data, f"{path.name} does not hold its manifest"
        assert len(named) <= len(known) <= len(named) + number + 1
        found = {
            "kills": number + 1,
            "files": len(named),
            "records": len(known),
            "records without a file": len(known) - len(named),
            "leftovers under another name": len(files) - len(named),
        }
        tell(f"killed {found}")
    with markai.Marker(
        KEY, signer=markai.Signer.development("Acme"), registry=f"sqlite:///{folder}/killed.db", **CLAIM
    ) as marker:
        found["files that the next run gives their names"] = len(marker.take_up(folder / "out"))
    found["leftovers removed"] = remove_leftovers(folder / "out", age=0)
    found["records without a file after that"] = found["records"] - len([*(folder / "out").iterdir()])
    found |= {"files without a record": 0, "half-written files": verified(folder / "out")}
    return found


def run_and_kill(work: Callable[[int], None], after: float) -> list[str]:
    """Fork, let the child work for so many seconds since it was ready, kill it, and return what it said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            work(writing)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as lines:
        assert lines.readline() == "ready\n"
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        said = lines.read()
    os.waitpid(child, 0)
    return said.split("\n")[:-1]  # what comes after the last line was not said


def verified(folder: Path) -> int:
    """Return how many of the files are not what was signed; not before a fork, which c2pa's threads do not outlive."""
    return sum(markai.verify(path).status != "valid" for path in folder.iterdir())


# Tracing


def traced(folder: Path, limit: int) -> Row:
    """Count the verdicts on marked pictures and on copies of their marks."""
    signer = markai.Signer.development("Acme")
    sources = spread(from_files([EVAL]), limit)
    url = f"sqlite:///{folder}/traced.db"
    counts: dict[str, Counter[str]] = {name: Counter() for name in (OWN, COPIED, COPIED_LOST)}
    with (
        markai.Marker(KEY, signer=signer, registry=url, **CLAIM) as marker,
        markai.Inspector(KEY, trust=signer.trust(), registry=url, thorough=False) as inspector,
    ):
        before: Pixels | None = None
        for source in sources:
            pixels = source.load(768)
            try:
                out = marker.mark(pixels)
            except CapacityError:
                continue
            marked = np.asarray(Image.open(io.BytesIO(out.data)).convert("RGB"))
            finding = inspector.inspect(lost(marked))
            right = finding.recovered is None or finding.recovered.record.id == out.record_id
            counts[OWN][said(finding) if right else "another record"] += 1
            if before is not None:
                forged = copy_mark(before, pixels, 38.0)
                counts[COPIED][said(inspector.inspect(encoded(forged, "PNG")))] += 1
                counts[COPIED_LOST][said(inspector.inspect(lost(forged)))] += 1
            before = marked
            tell(f"traced {source.name} {counts}")
    return {name: dict(count.most_common()) for name, count in counts.items()}


def said(finding: Finding) -> str:
    """Return the verdict, and whether it counts as proved."""
    unproved = finding.verdict == "recovered" and not finding
    return f"{finding.verdict}, not proved" if unproved else finding.verdict.value


def lost(pixels: Pixels) -> bytes:
    """Return what is left of a picture after a crop and a re-encoding."""
    file = io.BytesIO()
    Image.fromarray(attacks.apply("crop:0.5", pixels, 1)).save(file, "JPEG", quality=60)
    return file.getvalue()


def tell(text: str) -> None:
    """Show how far this is."""
    sys.stderr.write(f"{text}\n")


def table(result: Row) -> str:
    """Return the Markdown tables."""
    lines = [
        "| 1024x1024, ms | bare embed and sign | Marker | added | added, processor time |",
        "|---|---|---|---|---|",
    ]
    for name, row in result["time"].items():
        cells = [f"{row[which]['wall']:.1f}" for which in ("bare", "marker")]
        cells += [f"{100 * row['added'][kind]:.1f} %" for kind in ("wall", "processor")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| part of it, alone, ms | wall | processor |", "|---|---|---|"]
    lines += [f"| {name} | {row['wall']:.2f} | {row['processor']:.2f} |" for name, row in result["parts"].items()]
    if "killed" in result:
        lines += ["", "| killed with SIGKILL at random moments | |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in result["killed"].items()]
    if "traced" in result:
        lines += ["", "| inspected | verdicts |", "|---|---|"]
        for name, counts in result["traced"].items():
            lines.append(f"| {name} | {', '.join(f'{count} {verdict}' for verdict, count in counts.items())} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=40, help="of the evaluation set, to trace")
    parser.add_argument(
        "--folder", type=Path, help="on the disk to measure; by default the system's for temporary files"
    )
    parser.add_argument("--name", default="marking", help="of the files in results/")
    args = parser.parse_args()
    path = RESULTS / f"{args.name}.json"
    result: Row = {**(json.loads(path.read_text()) if path.exists() else {}), "machine": machine()}
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        if args.kills:  # first: what c2pa starts in this process would not be there in a fork of it
            source = folder / "photo.jpg"
            lighthouse = ROOT / "examples" / "data" / "lighthouse.png"
            Image.open(lighthouse).convert("RGB").crop((300, 100, 700, 500)).save(source, quality=95)
            result["killed"] = killed(folder, source, args.kills)
        if args.repeat:
            pixels = picture(args.picture)
            result["time"] = compared(pixels, folder, args.repeat)
            result["parts"] = parts(pixels, folder, args.repeat)
        if args.pictures:
            result["traced"] = traced(folder, args.pictures)
    save(args.name, result)
    (RESULTS / f"{args.name}.md").write_text(table(result))
    print(table(result))


if __name__ == "__main__":
    main()
