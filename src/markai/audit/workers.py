"""Processes that examine files. One that dies, hangs or grows takes one file with it at most, and that has a row.

This module is what they import first: nothing in it may import NumPy before the number of threads is set.
"""

import logging
import os
import resource
import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from markai.errors import MarkaiError

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from markai.audit.examine import Settings
    from markai.audit.inputs import Item

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
AHEAD = 4  # files that a process has in hand, so that it never waits for the next
ATTEMPTS = 2  # the second time alone: somebody else may have killed the first process
PAGE = os.sysconf("SC_PAGE_SIZE")
MOST_STARTS = 5
START_S, GRACE_S = 60.0, 5.0  # to be there, and to be gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a process may take: bytes of memory, from how many on it is replaced when it is idle, seconds for a file."""

    memory: int = 6 << 30
    replaced_at: int = 1 << 30
    seconds: float = 600.0


class Task(NamedTuple):
    """An item with its number in the audit."""

    number: int
    item: "Item"


class Answer(NamedTuple):
    """What became of a task: the row as JSON, None where there is to be none; whether it was an earlier audit's."""

    task: Task
    stamp: str
    row: bytes | None
    reused: bool = False


class Setup(NamedTuple):
    """What a process needs to begin."""

    settings: "Settings"
    bounds: Bounds
    earlier: tuple[Path, Path] | None = None  # rows and index of an earlier audit


class Failed(NamedTuple):
    """An error that no other file would escape, to be raised again where the audit was started."""

    error: Exception


class Pool:
    """Processes that are given tasks in order and answer as they are done; use it as a context."""

    def __init__(self, setup: Setup, jobs: int) -> None:
        self.setup, self.jobs = setup, max(1, jobs)
        self._workers: list[_Worker] = []
        self._again: deque[Task] = deque()  # what a process had in hand that is no more
        self._attempts: dict[int, int] = {}
        self._failed_starts = 0  # one after the other

    def answers(self, tasks: Iterator[Task]) -> Iterator[Answer]:
        """Yield an answer for every task, in any order; no more tasks are taken than are soon worked on.

        Raises:
            RegistryError, MissingExtraError and others: where no file can be examined.
        """
        exhausted = False
        while True:
            exhausted = self._hand_out(tasks, exhausted)
            busy = [worker for worker in self._workers if worker.pending]
            if not busy:
                if exhausted and not self._again:
                    return
                continue
            for ready in wait([worker.connection for worker in busy], timeout=self._patience(busy)):
                yield from self._received(next(worker for worker in busy if worker.connection is ready))
            for worker in [each for each in self._workers if each.overdue(self.setup.bounds.seconds)]:
                yield from self._lost(worker, f"it took more than {self.setup.bounds.seconds:.0f} seconds")

    def _patience(self, busy: "list[_Worker]") -> float:
        left = min(worker.since + self.setup.bounds.seconds for worker in busy) - time.monotonic()
        return min(max(0.0, left) + 0.01, 3600.0)

    def _hand_out(self, tasks: Iterator[Task], exhausted: bool) -> bool:
        """Give every process work; the one with the least in hand first. Say whether there are no more tasks."""
        while True:
            worker = self._free()
            room = len(self._workers) < self.jobs
            if worker is None and not room:
                return exhausted
            if self._again:
                task = self._again.popleft()
            elif exhausted or (following := next(tasks, None)) is None:
                return True
            else:
                task = following
            if worker is None or (worker.pending and room):
                worker = _Worker(self.setup)
                self._workers.append(worker)
            worker.give(task)

    def _free(self) -> "_Worker | None":
        """Return the process with the least in hand that can be given more."""
        free = [worker for worker in self._workers if worker.takes(self._attempts)]
        return min(free, key=lambda each: len(each.pending), default=None)

    def _received(self, worker: "_Worker") -> Iterator[Answer]:
        try:
            answer = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._lost(worker, "the process died: out of memory, or a crash in native code")
            return
        if answer is None:
            worker.ready = True
            self._failed_starts = 0
            worker.begins()
            return
        if isinstance(answer, Failed):
            raise answer.error
        stamp, row, reused, retires = answer
        task = worker.done()
        self._attempts.pop(task.number, None)
        if retires:
            self._again.extendleft(reversed(worker.pending))
            self._drop(worker)
        yield Answer(task, stamp, row, reused)

    def _lost(self, worker: "_Worker", why: str) -> Iterator[Answer]:
        """Replace a process that died or hangs: the first task that it had in hand is to blame, the others are not.

        Where it has not even begun, no task is.
        """
        first, *others = worker.pending
        self._drop(worker)
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= MOST_STARTS:
                raise MarkaiError(f"the processes that examine files do not start ({why}) - free memory, or see stderr")
            self._again.extendleft(reversed([first, *others]))
            return
        self._again.extendleft(reversed(others))
        tried = self._attempts[first.number] = self._attempts.get(first.number, 0) + 1
        if tried < ATTEMPTS:
            self._again.appendleft(first)
            return
        del self._attempts[first.number]
        yield Answer(first, *_blamed(self.setup, first.item, why))

    def _drop(self, worker: "_Worker") -> None:
        self._workers.remove(worker)
        worker.stop()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers.clear()


class _Worker:
    """A process, and what it has in hand, in the order in which it works on it."""

    def __init__(self, setup: Setup) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=serve, args=(theirs, setup), daemon=True)
        self.process.start()
        theirs.close()
        self.pending: deque[Task] = deque()
        self.ready = False
        self.since = time.monotonic() + START_S  # when it began with what it has in hand: not before it is there

    def takes(self, suspected: dict[int, int]) -> bool:
        """Say whether it can be given one more; to a file that may kill it nothing is added."""
        return len(self.pending) < AHEAD and not any(task.number in suspected for task in self.pending)

    def begins(self) -> None:
        """Take the time from now on."""
        self.since = time.monotonic()

    def give(self, task: Task) -> None:
        """Send it one more task."""
        if not self.pending:
            self.since = max(self.since, time.monotonic())
        self.pending.append(task)
        with suppress(OSError):  # it died: reading from it will say so
            self.connection.send(task.item)

    def done(self) -> Task:
        """Return the task that it has answered."""
        self.begins()
        return self.pending.popleft()

    def overdue(self, seconds: float) -> bool:
        """Say whether it has been at the same file for longer than that."""
        return bool(self.pending) and time.monotonic() - self.since > seconds

    def stop(self) -> None:
        """End it."""
        self.connection.close()
        self.process.kill()  # it holds nothing that could be left half-written
        self.process.join(GRACE_S)
        self.process.close()


def _blamed(setup: Setup, item: "Item", why: str) -> tuple[str, bytes]:
    import markai.audit.rules as rules
    from markai.audit.examine import judged, unexamined
    from markai.audit.lines import encoded
    from markai.audit.reading import stamp

    row = unexamined(item.path, "unreadable", f"it could not be examined: {why}")
    return stamp(item), encoded(judged(row, rules.load(setup.settings.regimes), setup.settings.load_policy()))


# In the process


def serve(connection: Connection, setup: Setup) -> None:
    """Examine what comes in until nothing does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; who started this decides
    os.environ.update(ONE_THREAD)
    logging.getLogger("markai").setLevel(logging.ERROR)  # what there is to say of keys was said already
    from markai.audit.examine import FATAL, Examiner
    from markai.audit.lines import encoded
    from markai.audit.reading import stamp
    from markai.audit.since import Earlier

    try:
        examiner = Examiner(setup.settings, Earlier(*setup.earlier) if setup.earlier else None)
        _bound(setup.bounds)
        connection.send(None)
        while True:
            item = connection.recv()
            reused, mark = examiner.reused, stamp(item)
            row = examiner.examine(item)
            retires = _resident() > setup.bounds.replaced_at
            connection.send((mark, None if row is None else encoded(row), examiner.reused > reused, retires))
    except (EOFError, BrokenPipeError, ConnectionResetError):  # whoever started this is gone
        return
    except (MarkaiError, *FATAL) as error:
        with suppress(OSError):
            connection.send(Failed(error))


def _bound(bounds: Bounds) -> None:
    """Bound the memory of this process, beyond what its libraries have taken already."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = bounds.memory if hard == resource.RLIM_INFINITY else min(bounds.memory, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    with suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)


def _resident() -> int:
    """Return how many bytes of memory this process holds."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * PAGE
