"""``Marked``: what a marker made of one picture or text."""

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from markai.detection import Detection
from markai.files import staged
from markai.provenance import Claim
from markai.provenance.media import sidecar_paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """What ``Marker.mark`` made.

    ``data`` is the file, with its manifest inside; where its format holds none, ``sidecar`` is the manifest, to lie
    beside it as NAME.c2pa. ``payload`` is what the mark carries, ``record_id`` names the record in the registry (None
    without one), ``manifest`` and ``manifest_id`` the manifest. ``earlier`` is the mark that was in the picture before,
    where one of the same key was noticed.
    """

    data: bytes = field(repr=False)
    payload: bytes
    method: str
    key_id: str
    mime: str
    claim: Claim
    manifest: bytes = field(repr=False)
    manifest_id: str
    sidecar: bytes | None = field(default=None, repr=False)
    record_id: str | None = None
    time_stamped: bool = False
    earlier: Detection | None = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, and its sidecar where there is one, whole or not at all.

        Raises:
            OutputError: if it cannot be written.
        """
        with ExitStack() as stack:
            self.stage(Path(path), stack)

    def stage(self, path: Path, stack: ExitStack) -> None:
        """Write the file beside its name; it gets its name, after its sidecar, when the stack is left."""
        stack.enter_context(staged(path, self.data))
        if self.sidecar is not None:
            stack.enter_context(staged(sidecar_paths(path)[0], self.sidecar))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without the file and the manifest."""
        names = ("method", "key_id", "mime", "manifest_id", "record_id", "time_stamped")
        return {
            "payload": self.payload.hex(),
            **{name: getattr(self, name) for name in names},
            "sha256": sha256(self.data).hexdigest(),
            "claim": self.claim.to_dict(),
            "earlier": self.earlier and self.earlier.to_dict() | {"coverage": None},
        }
