"""Runs a plan: processes, progress, what is done already, and processes that die."""

import contextlib
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Protocol, TypeVar

from markai.bench import methods, rows, work
from markai.bench.calibration import strength_for
from markai.bench.plan import Plan
from markai.bench.rows import Id, Row
from markai.bench.timing import ONE_THREAD
from markai.bench.units import Emit, Unit

Advance = Callable[[int, int], object]  # rows done, rows in all
AnyUnit = TypeVar("AnyUnit", bound=Unit)
DoneBy = TypeVar("DoneBy", bound=Unit, contravariant=True)
TICK_S = 0.3
READERS = {"cli", "report", "showcase.py", "statistics.py", "summary.py"}  # they make no rows
ALONE = "time"  # this kind of unit runs by itself: the other core would be heard
# What a figure may depend on, where it is installed.
PACKAGES = (
    *("markai", "numpy", "scipy", "pillow", "opencv-python-headless", "pywavelets", "imagecodecs", "scikit-image"),
    *("onnxruntime", "torch", "diffusers", "invisible-watermark", "blind-watermark", "trustmark", "ssimulacra2"),
    *("tokenizers", "transformers"),
)


class Planned(Protocol):
    """What a header tells of a plan."""

    @property
    def settings(self) -> Any:
        """What decides every row."""

    @property
    def entries(self) -> Sequence[Any]:
        """The methods."""


class Job(Protocol[DoneBy]):
    """What all units of a run have in common; it goes to every process."""

    def run(self, unit: DoneBy, emit: Emit) -> None:
        """Do a unit and hand over its rows one by one."""


def run(
    plan: Plan, path: Path, jobs: int = 1, advance: Advance | None = None, *, retry_errors: bool = False
) -> tuple[Row, list[Row]]:
    """Run what is missing of a plan and return the header and all rows.

    Raises:
        OutputError: if the file cannot be written, or holds another run.
        MethodError: if a method or an attack is unknown.
        MissingExtraError: if a method needs a package that is not installed.
    """
    units = plan.units()
    for entry in plan.entries:  # a wrong name is one error, not one for every row
        methods.load(entry.name)

    def begin(there: dict[Id, Row]) -> work.Job:
        return work.Job(plan.settings, dict(_strengths(plan, path, there)), plan.sources)

    return carry_out(units, begin, header(plan), path, jobs, advance, retry_errors=retry_errors)


def carry_out(
    units: Sequence[AnyUnit],
    begin: Callable[[dict[Id, Row]], Job[AnyUnit]],
    first: Row,
    path: Path,
    jobs: int = 1,
    advance: Advance | None = None,
    *,
    retry_errors: bool = False,
) -> tuple[Row, list[Row]]:
    """Do what is missing of units and return the header and all rows; ``begin`` gets the rows that are there.

    Raises:
        OutputError: if the file cannot be written, or holds a run with another header than ``first``.
    """
    with rows.opened(path, first, retry_errors=retry_errors) as there:
        job = begin(there)
        left = [unit for unit in (each.without(set(there)) for each in units) if unit.wanted]
        total = sum(len(unit.wanted) for unit in units)
        shown = _Progress(path, total - sum(len(unit.wanted) for unit in left), total, advance or (lambda *_: None))
        together = [unit for unit in left if unit.kind != ALONE]
        _in_processes(together, job, path, min(jobs, max(1, len(together))), shown)
        for unit in left:
            if unit.kind == ALONE:
                job.run(unit, partial(rows.append, path))
                shown.update()
    return rows.read(path)


def header(plan: Planned) -> Row:
    """Return the first line of a file: what every row in it depends on, and the machine."""
    return {
        "kind": "run",
        "settings": plan.settings.to_dict(),
        "versions": versions(plan.entries),
        "machine": machine(),
    }


def versions(entries: Iterable[Any] = ()) -> dict[str, str]:
    """Return the versions of the packages that figures depend on, and a digest of our own source."""
    owners = packages_distributions()
    plugins = [name for entry in entries for name in owners.get(entry.name.partition(":")[0].partition(".")[0], [])]
    found = {}
    for name in dict.fromkeys((*PACKAGES, *plugins)):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found | {"source": _source_digest()}


def machine() -> dict[str, Any]:
    """Return the processor, the memory and the system."""
    model = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": (model or [platform.processor()])[0],
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 2**30),
        "python": platform.python_version(),
        "platform": platform.platform(aliased=True, terse=True),
    }


def _source_digest() -> str:
    """Return a digest of the package's own code; rows of an earlier state of it must not be taken up."""
    import hashlib

    import markai

    root = Path(markai.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*")):
        if file.suffix in {".py", ".cpp", ".hpp"} and not READERS & {*file.relative_to(root).parts}:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _strengths(plan: Plan, path: Path, there: dict[Id, Row]) -> Iterator[tuple[str, float]]:
    """Find the strength of each entry that is to have a PSNR, or take it from the file."""
    for entry in plan.entries:
        if entry.psnr is None:
            continue
        before = there.get(("strength", entry.label, "", "", 0))
        if before is None:
            before = {"kind": "strength", "method": entry.label}
            before |= strength_for(entry, plan.sources, plan.settings)
            rows.append(path, before)
        yield entry.label, before["strength"]


class _Progress:
    """Counts the rows in the file, whoever wrote them."""

    def __init__(self, path: Path, done: int, total: int, advance: Advance) -> None:
        self.path, self.done, self.total, self.advance = path, done, total, advance
        self.position = path.stat().st_size
        self.advance(done, total)

    def update(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self.position)
            fresh = file.read()
        self.position += len(fresh)
        self.done += fresh.count(b"\n")
        self.advance(self.done, self.total)


def _in_processes(units: Sequence[AnyUnit], job: Job[AnyUnit], path: Path, jobs: int, shown: _Progress) -> None:
    """Work in processes. When one dies, what was in hand is tried again one by one, to find which unit kills."""
    waiting, suspects = list(units), list[AnyUnit]()
    while waiting or suspects:
        alone = bool(suspects)
        batch = [suspects.pop(0)] if alone else waiting
        lost = _through_a_pool(batch, job, path, 1 if alone else jobs, shown)
        if alone:
            for unit in lost:
                _blame(unit, path)
        else:
            suspects, waiting = lost[:jobs], lost[jobs:]  # begun in this order, so these were in hand
        shown.update()


def _through_a_pool(
    units: Sequence[AnyUnit], job: Job[AnyUnit], path: Path, jobs: int, shown: _Progress
) -> list[AnyUnit]:
    """Return the units that were not finished because a process died, in the order in which they were begun."""
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_prepare)
    pending: dict[Future[None], AnyUnit] = {}
    lost: list[AnyUnit] = []
    try:
        try:
            for unit in units:
                pending[pool.submit(_run_unit, unit, job, path)] = unit
        except BrokenProcessPool:
            lost = list(units[len(pending) :])
        unfinished: list[AnyUnit] = []
        left = set(pending)
        while left:
            done, left = wait(left, timeout=TICK_S, return_when=FIRST_COMPLETED)
            for future in done:
                if isinstance(future.exception(), BrokenProcessPool):
                    unfinished.append(pending[future])
                else:
                    future.result()
            shown.update()
        order = {unit: number for number, unit in enumerate(units)}
        return _still_open([*sorted(unfinished, key=order.__getitem__), *lost], path)
    finally:
        pool.shutdown(cancel_futures=True)


def _still_open(units: list[AnyUnit], path: Path) -> list[AnyUnit]:
    if not units:
        return []
    there = {rows.id_of(row) for row in rows.read(path)[1]}
    return [unit for unit in (each.without(there) for each in units) if unit.wanted]


def _blame(unit: Unit, path: Path) -> None:
    """Write down that this unit ends its process: killed for memory, or a crash in native code."""
    error = {"error": "the process died: out of memory, or a crash in native code"}

    def emit(row: Row) -> None:
        rows.append(path, row)

    for item in unit.wanted:
        emit(unit.head(item) | error)


def _run_unit(unit: AnyUnit, job: Job[AnyUnit], path: Path) -> None:
    parent = parent_process()
    assert parent

    def emit(row: Row) -> None:
        if os.getppid() != parent.pid:  # it was killed, and another run may be at the file already
            os._exit(1)
        rows.append(path, row)

    job.run(unit, emit)


def _prepare() -> None:
    """One thread for every process: there are as many processes as the user wants cores busy."""
    os.environ.update(ONE_THREAD)
    with contextlib.suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
