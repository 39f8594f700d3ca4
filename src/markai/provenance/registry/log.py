"""The log's stored hashes: appending in step with the records, roots and proofs. Of a tree's nodes each is a row."""

from collections.abc import Sequence

from sqlalchemy import Connection, Select, func, insert, select

from markai.errors import RegistryError
from markai.provenance.registry.merkle import Frontier, Range, position, range_hashes, subtrees
from markai.provenance.registry.schema import nodes, records

DAMAGED = "the registry's log does not fit its records - run Registry.check() and restore a backup"


def log_size(connection: Connection) -> int:
    """Return how many records there are."""
    return 1 + int(connection.scalar(select(func.coalesce(func.max(records.c.number), -1))) or 0)


def load_frontier(connection: Connection, leaves: int) -> Frontier:
    """Return the right edge of the tree over the first records.

    Raises:
        RegistryError: if one of its hashes is missing.
    """
    at = [position(*subtree) for subtree in subtrees((0, leaves))]
    stored = _stored(connection, at)
    return Frontier(leaves, [stored[each] for each in at])


def append_leaves(connection: Connection, tree: Frontier, leaves: Sequence[bytes]) -> None:
    """Append leaves to a tree that was loaded in the same transaction, and store the hashes that they complete.

    Raises:
        RegistryError: if the stored hashes do not end where the tree does.
    """
    at = position(0, tree.size)
    if connection.scalar(select(func.coalesce(func.max(nodes.c.position), -1))) != at - 1:
        raise RegistryError(DAMAGED)
    completed = [node for leaf in leaves for node in tree.append(leaf)]
    rows = [{"position": at + offset, "hash": node} for offset, node in enumerate(completed)]
    connection.execute(insert(nodes), rows)


def load_ranges(connection: Connection, ranges: Sequence[Range]) -> list[bytes]:
    """Return the hash of each range of leaves.

    Raises:
        RegistryError: if a hash is missing.
    """
    return range_hashes(ranges, lambda positions: _stored(connection, positions))


def nodes_between(first: int, last: int) -> "Select[tuple[int, bytes]]":
    """Return the query for the stored hashes from one position up to, not including, another."""
    return (
        select(nodes.c.position, nodes.c.hash)
        .where(nodes.c.position >= first, nodes.c.position < last)
        .order_by(nodes.c.position)
    )


def _stored(connection: Connection, positions: Sequence[int]) -> dict[int, bytes]:
    query = select(nodes.c.position, nodes.c.hash).where(nodes.c.position.in_(positions))
    found = {row.position: bytes(row.hash) for row in connection.execute(query)}
    if len(found) != len(set(positions)):
        raise RegistryError(DAMAGED)
    return found
