"""Walking the whole registry: does every record fit the log, and every node of the log its records?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from markai.errors import RegistryError
from markai.provenance.registry.log import nodes_between
from markai.provenance.registry.merkle import Frontier, position
from markai.provenance.registry.records import TreeHead
from markai.provenance.registry.rows import everything, record_of
from markai.provenance.registry.schema import nodes, records

PAGE = 1000  # records


@dataclass(frozen=True, slots=True)
class Check:
    """What :meth:`Registry.check` found; true where all is as it was written.

    ``head`` is the log's head, up to the first problem where there is one. ``problem`` says what is wrong, and
    ``index`` is the first record that it concerns, None where only a kept head can tell that some record is not what it
    was.

    >>> bool(Check(TreeHead(0, bytes(32)))), bool(Check(TreeHead(7, bytes(32)), "record 7 was deleted", 7))
    (True, False)
    """

    head: TreeHead
    problem: str | None = None
    index: int | None = None

    def __bool__(self) -> bool:
        return self.problem is None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"sound": bool(self), "problem": self.problem, "index": self.index, "head": self.head.to_dict()}


def check(connection: Connection, head: TreeHead | None) -> Check:
    """Return the first problem of the registry, if there is one; ``head`` is what it must have grown from.

    Raises:
        RegistryError: if the database fails.
    """
    tree = Frontier()
    problem = _against(head, tree)
    for page in _pages(connection):
        first, last = page[0].number, page[-1].number
        stored = dict(_hashes(connection, position(0, max(first, 0)), position(0, last + 1)))
        for row in page:
            problem = problem or _fault(row, tree, stored) or _against(head, tree)
            if problem:
                return Check(TreeHead(tree.size, tree.root), *problem)
    problem = problem or _loose_end(connection, tree, head)
    return Check(TreeHead(tree.size, tree.root), *(problem or ()))


Problem = tuple[str, int | None]


def _fault(row: "Row[Any]", tree: Frontier, stored: dict[int, bytes]) -> Problem | None:
    """Append the row's record to the tree, and say what does not fit."""
    number = row.number
    if number < tree.size:
        return f"record {number} was inserted: the log begins at 0", number
    if number > tree.size:
        return f"record {tree.size} was deleted", tree.size
    at = position(0, number)
    if at not in stored:
        return f"record {number} was inserted: the log does not know it", number
    try:
        leaf = record_of(row).leaf
    except RegistryError as error:
        return f"record {number} was altered: {error}", number
    if leaf != stored[at]:
        return f"record {number} was altered: it is not what the log has of it", number
    for level, node in enumerate(tree.append(leaf)):
        if stored.get(at + level) != node:
            return f"the log was altered above record {number}, at level {level}", number
    return None


def _against(head: TreeHead | None, tree: Frontier) -> Problem | None:
    if head is None or tree.size != head.size or tree.root == head.root:
        return None
    return f"the first {head.size} records are not those of the given head: the log was rewritten", None


def _loose_end(connection: Connection, tree: Frontier, head: TreeHead | None) -> Problem | None:
    last = connection.scalar(select(func.coalesce(func.max(nodes.c.position), -1)))
    if last != position(0, tree.size) - 1:
        return f"record {tree.size} was deleted: the log goes on", tree.size
    if head is not None and head.size > tree.size:
        return f"record {tree.size} was deleted: the given head has {head.size}", tree.size
    return None


def _pages(connection: Connection) -> "Iterator[Sequence[Row[Any]]]":
    query = everything.order_by(records.c.number).limit(PAGE)
    page = connection.execute(query).all()
    while page:
        yield page
        page = connection.execute(query.where(records.c.number > page[-1].number)).all()


def _hashes(connection: Connection, first: int, last: int) -> Iterator[tuple[int, bytes]]:
    return ((row.position, bytes(row.hash)) for row in connection.execute(nodes_between(first, last)))
