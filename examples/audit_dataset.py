#!/usr/bin/env python
"""Build a small folder of files with different histories, audit it, and show what the audit says of each.

    python examples/audit_dataset.py --out demo-audit

Prints a table and writes DIR/audit/audit.html. Exits with 1 where a verdict is not the one expected.
"""

import argparse
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo
from rich.console import Console

import markai
from markai.attacks.security import copy_mark
from markai.audit import report, thumbnails
from markai.audit.engine import audit
from markai.audit.examine import Settings
from markai.audit.table import print_audit
from markai.image_containers import png_chunks
from markai.provenance import Claim

HEADER_BYTES = 33  # of a PNG file: its signature and its first chunk
PHOTO = Path(__file__).parent / "data" / "lighthouse.png"
EXPECTED = {
    "camera.jpg": "camera",  # EXIF of a camera, which anybody could have written
    "copied.png": "copied",  # the mark of another picture, subtracted there and added here
    "marked.png": "generated",  # mark, manifest and record
    "metadata.png": "generated-claimed",  # only the settings that a generator left in the file
    "signed.png": "generated",  # a manifest, no mark
    "stripped.jpg": "recovered",  # recoded without metadata: the mark leads back to the manifest
    "tampered.png": "edited",  # another picture in the frame of a signed file
    "untouched.png": "unknown",  # nothing, which proves nothing
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Audit a small folder of files with different histories.")
    parser.add_argument("--out", type=Path, default=Path("demo-audit"), help="a new folder  [demo-audit]")
    out = parser.parse_args(arguments).out
    if out.exists():
        parser.error(f"{out} exists already - name a new folder")
    settings = build(out)
    found = audit([out / "files"], out / "audit", settings, command=f"python examples/audit_dataset.py --out {out}")
    page = out / "audit" / "audit.html"
    report.write(found, page, thumbnails=thumbnails.from_files())
    print_audit(found, Console())
    print(f"\nThe report is {page}.")
    verdicts = {Path(row["path"]).name: row["verdict"]["code"] for row in found["rows"]}
    wrong = [f"{name} is {verdicts.get(name)}" for name, code in EXPECTED.items() if verdicts.get(name) != code]
    print(f"Not as expected: {', '.join(wrong)}" if wrong else "Every verdict is as expected.")
    return int(bool(wrong))


def build(out: Path) -> Settings:
    """Write the files, the key and the registry, and return the settings of the audit."""
    files = out / "files"
    files.mkdir(parents=True)
    key = markai.Key.generate()
    key.save(out / "audit.key")
    signer = markai.Signer.development("Acme")
    registry = f"sqlite:///{out}/registry.db"
    marker = markai.Marker(key, signer=signer, registry=registry, provider="Acme", system="AcmeGen", version="2.1")
    with Image.open(PHOTO) as photo:
        left, right = photo.crop((0, 0, 384, 384)), photo.crop((384, 128, 768, 512))
    marked = marker.mark(left, format="png")
    (files / "marked.png").write_bytes(marked.data)
    with Image.open(io.BytesIO(marked.data)) as picture:
        pixels = picture.convert("RGB")
    pixels.save(files / "stripped.jpg", quality=80)
    write_copied(files / "copied.png", pixels, right)
    signed = markai.sign(encoded(left), signer, Claim("Acme", "AcmeGen", "2.1"))
    (files / "signed.png").write_bytes(signed)
    (files / "tampered.png").write_bytes(tampered(signed))
    settings = PngInfo()
    settings.add_text("parameters", "a lighthouse\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Model: example")
    right.save(files / "metadata.png", pnginfo=settings)
    write_camera(files / "camera.jpg", right)
    right.save(files / "untouched.png")
    marker.close()
    return Settings(
        keys=(out / "audit.key",), trust=signer.trust(), registry=registry, regimes=("eu", "korea", "california")
    )


def encoded(picture: Image.Image) -> bytes:
    """Return a picture as PNG."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def write_copied(path: Path, marked: Image.Image, target: Image.Image) -> None:
    """Take the mark off one picture, guessing it, and put it on another."""
    forged = copy_mark(np.asarray(marked), np.asarray(target), 34.0)
    Image.fromarray(forged).save(path)


def tampered(signed: bytes) -> bytes:
    """Return a signed PNG with a blot on the picture, and its manifest as it was."""
    with Image.open(io.BytesIO(signed)) as opened:
        picture = opened.convert("RGB")
    picture.paste((200, 30, 30), (150, 150, 230, 230))
    plain = encoded(picture)
    kept = b"".join(bytes(chunk) for kind, chunk in png_chunks(signed) if kind in (b"caBX", b"iTXt"))
    return plain[:HEADER_BYTES] + kept + plain[HEADER_BYTES:]


def write_camera(path: Path, picture: Image.Image) -> None:
    """Write a picture as if a camera had."""
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Model] = "Example", "Camera 1"
    exif.get_ifd(IFD.Exif).update({Base.ExposureTime: 0.01, Base.FNumber: 8.0})
    picture.save(path, exif=exif, quality=90)


if __name__ == "__main__":
    sys.exit(main())
