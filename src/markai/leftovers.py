"""What a killed marker left behind: files that were recorded get their names, the rest is removed."""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from markai.files import Leftover, leftovers, remove_leftovers
from markai.provenance import jumbf, verify
from markai.provenance.media import SIDECAR_SUFFIX, sidecar_paths

if TYPE_CHECKING:
    from markai.provenance.registry import Registry


def take_up(directory: Path, registry: "Registry | None") -> list[Path]:
    """Return the files that got their names: those whose record was written before the process was killed.

    A file that meanwhile has that name stays as it is.

    Raises:
        RegistryError: if the registry fails.
    """
    waiting = {each.name: each for each in leftovers(directory) if each.name}
    named = []
    for name, each in waiting.items():
        if registry is None or name is None or name.endswith(SIDECAR_SUFFIX):
            continue
        target = directory / name
        beside = sidecar_paths(target)[0]
        sidecar = waiting.get(beside.name)
        with suppress(FileNotFoundError):  # another process takes it up
            if not target.exists() and _is_recorded(each, sidecar.path if sidecar else beside, registry):
                if sidecar and not beside.exists():
                    sidecar.path.rename(beside)
                each.path.rename(target)
                named.append(target)
    remove_leftovers(directory)
    return named


def _is_recorded(leftover: Leftover, sidecar: Path, registry: "Registry") -> bool:
    """Whether the registry has a record of this very file, whose manifest is in it or beside it."""
    data = leftover.path.read_bytes()
    labels = [verify(data).manifest_id, *(jumbf.labels(sidecar.read_bytes())[-1:] if sidecar.is_file() else [])]
    records = [registry.find_manifest(label) for label in labels if label]
    return any(record is not None and record.sha256 == sha256(data).digest() for record in records)
