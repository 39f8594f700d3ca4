"""Runs an audit over any number of files: processes, rows on disk at once, what is done already, and progress."""

import datetime as dt
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import markai.audit.rules as rules
from markai import __version__
from markai.audit import since as earlier_audits
from markai.audit.examine import Settings
from markai.audit.inputs import Item, Selection, find, without_nested
from markai.audit.journal import Journal
from markai.audit.lines import Rows, encoded
from markai.audit.reading import stamp
from markai.audit.selftest import Settings as Trial
from markai.audit.selftest import self_test
from markai.audit.tally import totals
from markai.audit.workers import Bounds, Pool, Setup, Task
from markai.bench.runner import versions
from markai.errors import KeyFileError, OutputError
from markai.files import write_atomically

Audit = dict[str, Any]
Progress = Callable[[int], object]  # how many files are done

ROWS, SUMMARY, INDEX = "rows.ndjson", "audit.json", "since.npy"
FRESH = ("started", "command", "registry_head")  # what may differ in an audit that is taken up
# What the row of a content depends on besides: where one of these is another, nothing is taken from an earlier audit.
DECISIVE = (
    *("keys", "trust_sha256", "registry", "registry_head", "fpr", "thorough", "tokenizer_sha256", "max_pixels"),
    "versions",
)
USER = re.compile(r"//[^/@]*@")


def audit(
    inputs: Iterable[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    selection: Selection | None = None,
    jobs: int | None = None,
    since: str | os.PathLike[str] | None = None,
    bounds: Bounds | None = None,
    test: bool | Iterable[Path] = False,
    command: str = "",
    progress: Progress | None = None,
) -> Audit:
    """Audit files and return the audit; its ``rows`` are those in ``folder/rows.ndjson``, read as they are asked for.

    ``inputs`` are files and folders; they may be given one by one, such as by :func:`markai.audit.inputs.paths_in`.
    The rows are in their order and the same whatever the number of ``jobs`` (by default one per core). An audit that
    was killed goes on where it was when it is started again with the same settings and folder; one that was finished
    is made anew, of which only what changed is examined. ``since`` is the folder of another audit to go by like that:
    what has the same content there is not examined again. ``test`` measures how well the keys
    hold, on the pictures given or on drawn ones (see :mod:`markai.audit.selftest`).

    >>> _ = Path("note.txt").write_text("Nothing to see.")
    >>> found = audit(["note.txt"], "audit")
    >>> found["totals"]["by_verdict"]["unknown"], [row["path"] for row in found["rows"]]
    (1, ['note.txt'])

    Raises:
        OutputError: if the folder cannot be written, holds another audit, or ``since`` holds none.
        KeyFileError, PolicyError, RegistryError, MissingExtraError: if a setting cannot be used.
    """
    where = Path(folder)
    settings = settings or Settings()
    if test is not False and not settings.keys:
        raise KeyFileError("a self-test needs a key - pass the one that you mark with")
    listed = without_nested(os.fspath(each) for each in inputs) if isinstance(inputs, list | tuple) else inputs
    chosen = replace(selection or Selection(), leave_out=os.path.realpath(where))
    header = json.loads(json.dumps(_header(settings, chosen, listed, command)))
    before = _earlier(where, since, header)
    with Journal.open(where, header, FRESH) as journal, _base(where, before, journal.header) as base:
        reused = _examine(find(listed, chosen), journal, Setup(settings, bounds or Bounds(), base), jobs, progress)
        journal.write(where / ROWS)
        summary = _summary(journal.header, settings, Rows(where / ROWS), test)
        write_atomically(where / SUMMARY, encoded(summary, indent=1) + b"\n")
        journal.remove()
    return summary | {"rows": Rows(where / ROWS), "reused": reused}


def count(inputs: Iterable[str | os.PathLike[str]], selection: Selection | None = None) -> int:
    """Return how many files there may be to audit, for a display of progress; kinds are not looked at."""
    listed = without_nested(os.fspath(each) for each in inputs)
    return sum(1 for _ in find(listed, selection or Selection()))


def _examine(items: Iterator[Item], journal: Journal, setup: Setup, jobs: int | None, progress: Progress | None) -> int:
    done = reused = 0
    tell = progress or (lambda _: None)

    def left() -> Iterator[Task]:
        nonlocal done
        for number, item in enumerate(items):
            if journal.resumes and journal.reuse(number, item.path, stamp(item)):
                done += 1
                tell(done)
            else:
                yield Task(number, item)

    with Pool(setup, jobs or len(os.sched_getaffinity(0))) as pool:
        for answer in pool.answers(left()):
            journal.add(answer.task.number, answer.task.item.path, answer.stamp, answer.row)
            done, reused = done + 1, reused + answer.reused
            tell(done)
    return reused


def _earlier(where: Path, since: str | os.PathLike[str] | None, header: Audit) -> Path | None:
    """Return the folder of the earlier audit to go by: a finished one in the same folder is one, if it is the same."""
    if since is not None or not (where / SUMMARY).exists():
        return None if since is None else Path(since)
    before = _read_summary(where / SUMMARY)
    if differing := sorted(name for name, value in header["settings"].items() if before.get(name) != value):
        raise OutputError(
            f"{where} holds an audit with other settings ({', '.join(differing)}) - choose another folder"
        )
    return where


@contextmanager
def _base(where: Path, since: Path | None, header: Audit) -> Iterator[tuple[Path, Path] | None]:
    """Yield the rows and the index of an earlier audit, where they may be used at all."""
    if since is None:
        yield None
        return
    rows = earlier_audits.rows_of(since).path
    if not _comparable(since / SUMMARY, header):
        yield None
        return
    index = where / INDEX
    try:
        earlier_audits.Earlier.build(rows, index).close()
        yield rows, index
    finally:
        index.unlink(missing_ok=True)


def _comparable(summary: Path, header: Audit) -> bool:
    before = _read_summary(summary)
    now = header["settings"] | {"registry_head": header["registry_head"]}
    return all(before.get(name) == now.get(name) for name in DECISIVE)


def _read_summary(summary: Path) -> dict[str, Any]:
    """Return the settings of a finished audit."""
    try:
        return dict(json.loads(summary.read_bytes())["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{summary} cannot be read ({error}) - name the folder of a finished audit") from None


def _header(settings: Settings, selection: Selection, inputs: Iterable[Any], command: str) -> Audit:
    """Return what the journal begins with: everything that rows depend on."""
    return {
        "markai": __version__,
        "started": _now(),
        "command": command,
        "registry_head": _registry_head(settings.registry),
        "settings": {
            "inputs": inputs if isinstance(inputs, list) else "a list of files",
            **_described(settings),
            **selection.to_dict(),
            "limits": selection.limits.to_dict(),
            "versions": versions(),
        },
    }


def _registry_head(url: str | None) -> dict[str, Any] | None:
    """Return what the registry holds now: with more in it, the same content may have another row."""
    if url is None:
        return None
    from markai.provenance.registry import Registry

    with Registry.open(url, create=False) as registry:
        return registry.head().to_dict()


def _described(settings: Settings) -> dict[str, Any]:
    """Return settings as a report may show them: no secret among them. What cannot be used raises here."""
    rules.load(settings.regimes)
    settings.load_policy()
    settings.load_tokenizer()
    ring, trust = settings.load_ring(), settings.trust
    lists = {name: getattr(trust, name) for name in ("manifest", "tsa", "allowed")}
    return {
        "keys": [key.id for key in ring] if ring else [],
        "trust": {name: data.count(b"-----BEGIN") or data.count(b"\n") for name, data in lists.items() if data},
        "trust_sha256": hashlib.sha256(b"\0".join(lists.values())).hexdigest(),
        "registry": settings.registry and USER.sub("//", settings.registry).partition("?")[0],
        "regimes": list(settings.regimes),
        "policy": settings.policy_name if settings.policy is not None else None,
        "policy_sha256": settings.policy and hashlib.sha256(settings.policy).hexdigest(),
        "fpr": settings.fpr,
        "thorough": settings.thorough,
        "tokenizer_sha256": settings.tokenizer and hashlib.sha256(settings.tokenizer).hexdigest(),
        "max_pixels": settings.max_pixels,
    }


def _summary(header: Audit, settings: Settings, rows: Rows, test: bool | Iterable[Path]) -> Audit:
    """Return the audit without its rows: counts, the rules that were asked for, the self-test."""
    built_in, policy = rules.load(settings.regimes), settings.load_policy()
    summary: Audit = {
        **{name: header[name] for name in ("markai", "started", "command")},
        "finished": _now(),
        "settings": header["settings"] | {"registry_head": header["registry_head"]},
        "totals": totals(rows),
        "rules": [rule.to_dict() for rule in built_in],
        "regimes": rules.titles(settings.regimes) if settings.regimes else {},
        "selftest": _self_test(settings, test),
    }
    return summary | {"audit_rules": rules.evaluate_audit(built_in, summary, policy.declared())}


def _self_test(settings: Settings, test: bool | Iterable[Path]) -> dict[str, Any] | None:
    if test is False:
        return None
    ring = settings.load_ring()
    assert ring is not None
    return self_test(ring, None if test is True else list(test), Trial(fpr=settings.fpr))


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
