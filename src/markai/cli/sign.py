"""``markai sign``."""

import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from markai.cli.common import (
    Row,
    for_each,
    inputs_argument,
    jobs_option,
    json_option,
    recursive_option,
    show_row,
    shown,
)
from markai.cli.detect import read_input
from markai.cli.embed import plan
from markai.cli.options import PASSWORD_VARIABLE, claim_options, signer_options
from markai.errors import CertificateError
from markai.files import Source, write_atomically

if TYPE_CHECKING:
    from markai.provenance import Claim, Signed, Signer

log = logging.getLogger("markai")


@click.command()
@inputs_argument
@click.option("-o", "--output", required=True, metavar="OUTPUT", help="A file for one file, else a directory.")
@signer_options
@claim_options
@click.option("--mime", metavar="TYPE", help="The media type of files that have no signature of their own.")
@click.option("--sidecar", is_flag=True, help="Write the manifest to OUTPUT.c2pa, and leave the file as it is.")
@click.option("--no-metadata", is_flag=True, help="Write no IPTC and TC260 metadata.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist; needed to sign files in place.")
@recursive_option
@jobs_option
@json_option
@click.pass_context
def sign(
    ctx: click.Context,
    inputs: tuple[Path, ...],
    output: str,
    chain: Path | None,
    private_key: Path | None,
    provider: str,
    system: str,
    system_version: str,
    source_type: str,
    tc260_producer: str | None,
    tsa: str | None,
    timestamp: str | None,
    mime: str | None,
    sidecar: bool,
    no_metadata: bool,
    overwrite: bool,
    recursive: bool,
    jobs: int,
    as_json: bool,
) -> None:
    """Sign files with C2PA manifests.

    A manifest says who made the content with which system. It goes into the file (JPEG, PNG, WebP, AVIF, TIFF, GIF,
    SVG, PDF, WAV and more) or, for any other kind, text included, into OUTPUT.c2pa beside it. Pixels are not
    touched; a manifest that is there already is kept as the history. Nothing goes over the network unless --tsa
    asks for a time stamp.

    Make a chain for trials with: markai certs DIRECTORY
    """
    signer = load_signer(chain, private_key, tsa, timestamp)
    claim = partial(make_claim, provider, system, system_version, source_type, tc260_producer)
    claim()  # a wrong value is one error, not one for every file
    targets = plan(inputs, output, recursive, overwrite)

    def work(source: Source) -> Row:
        from markai.provenance import sign as sign_data

        target = targets[source]
        if target.exists() and not overwrite:
            return {"output": str(target), "status": "exists"}
        signed = sign_data(
            read_input(source.path),
            signer,
            claim(),
            mime=mime or named_type(source.path),
            embed=False if sidecar else None,
            metadata=not no_metadata,
        )
        return {"output": str(target), "status": "signed", **write(signed, target)}

    show = partial(show_row, as_json=as_json, in_words=in_words)
    ctx.exit(2 if "error" in for_each(list(targets), work, show, jobs) else 0)


def load_signer(chain: Path | None, private_key: Path | None, tsa: str | None, timestamp: str | None) -> "Signer":
    """Load the signer's files; say so where the chain is for development."""
    from markai.provenance import Signer

    if chain is None or private_key is None:
        raise CertificateError(
            "no certificate to sign with - pass --chain and --private-key; make them for trials with: markai certs DIR"
        )
    password = os.environ.get(PASSWORD_VARIABLE)
    signer = Signer.from_files(
        chain,
        private_key,
        password=password.encode() if password else None,
        tsa_url=tsa,
        timestamp=timestamp,  # type: ignore[arg-type]  # click has checked it
        development=True,
    )
    if signer.is_development:
        log.warning("%s is for development: nobody trusts what it signs without its root.pem", shown(chain))
    return signer


def make_claim(provider: str, system: str, version: str, source_type: str, tc260_producer: str | None) -> "Claim":
    """Return a new claim, with its own id and time."""
    from dataclasses import replace

    from markai.provenance import Claim, Tc260

    claim = Claim(provider, system, version, source_type=source_type)
    return replace(claim, tc260=Tc260(tc260_producer, claim.id)) if tc260_producer else claim


def named_type(path: Path) -> str | None:
    """Return the media type that a file's name says, for what has no signature of its own."""
    from markai.provenance.media import SUFFIXES

    return SUFFIXES.get(path.suffix.lower())


def write(signed: "Signed", target: Path) -> Row:
    """Write the file and, where there is one, its sidecar first: a file without it would look unsigned."""
    beside = target.with_name(target.name + ".c2pa") if signed.sidecar is not None else None
    if beside is not None and signed.sidecar is not None:
        write_atomically(beside, signed.sidecar)
    write_atomically(target, signed)
    names = {"manifest_id": signed.manifest_id, "time_stamped": signed.time_stamped}
    return {"sidecar": str(beside) if beside else None, "mime": signed.mime, **names}


def in_words(row: Row) -> str:
    """Return the line for one file."""
    if row["status"] == "exists":
        return f"exists  {shown(row['output'])}"
    beside = f" and {shown(row['sidecar'])}" if row["sidecar"] else ""
    return f"signed  {shown(row['file'])} -> {shown(row['output'])}{beside}"
