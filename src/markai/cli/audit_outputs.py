"""What ``markai audit`` makes of an audit: on stdout, or in files, and the signed record of those."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from markai.cli.options import PASSWORD_VARIABLE
from markai.cli.sign import load_signer
from markai.files import write_atomically

FORMATS = ("table", "json", "ndjson", "csv", "sarif", "html")
NAMES = {"json": "audit.full.json", "csv": "audit.csv", "sarif": "audit.sarif", "html": "audit.html"}
RECORD = "audit.record.json"

Audit = dict[str, Any]


def write_outputs(audit: Audit, formats: Sequence[str], folder: Path | None, language: Any) -> list[Path]:
    """Write what was asked for, into a folder or on stdout; return the files. Rows and table always go to stdout."""
    written = []
    for name in formats:
        if name == "table":
            _table(audit, language)
        elif name == "ndjson":
            _rows(audit)
        elif folder is None:
            click.echo(RENDERED[name](audit, language), nl=False)
        else:
            path = folder / NAMES[name]
            write_atomically(path, RENDERED[name](audit, language))
            written.append(path)
    return written


def sign_record(audit: Audit, folder: Path, written: Sequence[Path], options: Audit) -> Path | None:
    """Write the record of an audit beside what it is of, where a key or a signer was given."""
    from markai.audit.record import load_key, write_record

    key_file, chain, private_key = options["record_key"], options["chain"], options["private_key"]
    if key_file is None and not options["manifest"]:
        return None
    password = os.environ.get(PASSWORD_VARIABLE)
    key = None if key_file is None else load_key(key_file, password.encode() if password else None)
    signer = load_signer(chain, private_key, options["tsa"], options["timestamp"]) if options["manifest"] else None
    path = folder / RECORD
    write_record(path, audit, [folder / "rows.ndjson", folder / "audit.json", *written], key=key, signer=signer)
    return path


def _table(audit: Audit, language: Any) -> None:
    from rich.console import Console

    from markai.audit.table import print_audit

    print_audit(audit, Console(), language=language)


def _rows(audit: Audit) -> None:
    from markai.audit.lines import line

    for row in audit["rows"]:
        sys.stdout.buffer.write(line(row))
    sys.stdout.buffer.flush()


def _json(audit: Audit, _: Any) -> bytes:
    from markai.audit.lines import document

    return document({name: value for name, value in audit.items() if name != "reused"})


def _csv(audit: Audit, language: Any) -> bytes:
    from markai.audit.columns import columns

    return columns(audit["rows"], language).encode("utf-8-sig", "backslashreplace")


def _sarif(audit: Audit, language: Any) -> bytes:
    from markai.audit.lines import encoded
    from markai.audit.sarif import sarif

    return encoded(sarif(audit, language=language), indent=1) + b"\n"


def _html(audit: Audit, language: Any) -> bytes:
    from markai.audit.report import html
    from markai.audit.thumbnails import from_files

    return html(audit, thumbnails=from_files(), language=language).encode("utf-8", "backslashreplace")


RENDERED: dict[str, Callable[[Audit, Any], bytes]] = {"json": _json, "csv": _csv, "sarif": _sarif, "html": _html}
