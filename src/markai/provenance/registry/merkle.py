"""The Merkle tree of RFC 6962 and RFC 9162, as pure functions: hashes, proofs and what verifies them.

A leaf hashes to SHA-256(0x00 || data) and a node to SHA-256(0x01 || left || right), so that neither can pass for the
other. A tree of n leaves splits at the largest power of two below n; its complete subtrees never change again. Each is
named by (level, index): it covers the leaves from index * 2^level on, 2^level of them. Stored in the order in which
appending completes them, subtree (level, index) is number :func:`position`.

Who verifies a proof needs this module and a tree head from a place that the registry's owner cannot rewrite.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()

Range = tuple[int, int]  # leaves from the first up to, not including, the second
Subtree = tuple[int, int]  # level, index


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf.

    >>> leaf_hash(b"").hex()[:16]
    '6e340b9cffb37a98'
    """
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over two."""
    return hashlib.sha256(b"\1" + left + right).digest()


def position(level: int, index: int) -> int:
    """Return which of all complete subtrees this is, counted from 0 in the order of completion.

    >>> [position(0, 0), position(0, 1), position(1, 0), position(0, 2), position(0, 3), position(1, 1), position(2, 0)]
    [0, 1, 2, 3, 4, 5, 6]
    """
    last = ((index + 1) << level) - 1
    return 2 * last - last.bit_count() + level


def subtrees(leaves: Range) -> list[Subtree]:
    """Return the complete subtrees that a range of a tree consists of, from left to right.

    The range must be one that occurs in a tree: it starts at a multiple of the smallest power of two not below its
    length.

    >>> subtrees((0, 7)), subtrees((4, 7))
    ([(2, 0), (1, 2), (0, 6)], [(1, 2), (0, 6)])
    """
    start, end = leaves
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
    return found


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the hash of a range from those of its complete subtrees; of none, that of the empty tree."""
    if not hashes:
        return EMPTY_ROOT
    total = hashes[-1]
    for left in reversed(hashes[:-1]):
        total = node_hash(left, total)
    return total


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Return the ranges whose hashes prove that leaf ``index`` is in the tree of ``size`` (RFC 9162, 2.1.3.1).

    >>> inclusion_ranges(3, 7)
    [(2, 3), (0, 2), (4, 7)]
    """
    start, end = 0, size
    ranges = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[Range]:
    """Return the ranges whose hashes prove that a tree grew from ``old`` leaves to ``new`` (RFC 9162, 2.1.4.1).

    >>> consistency_ranges(3, 7)
    [(2, 3), (3, 4), (0, 2), (4, 7)]
    """
    if old == 0:
        return []
    start, end, known = 0, new, True
    ranges = []
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, known = middle, False
    return ([] if known else [(start, end)]) + ranges[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether ``path`` proves that the leaf of hash ``leaf`` is number ``index`` of the tree (RFC 9162, 2.1.3.2).

    >>> verify_inclusion(leaf_hash(b"only"), 0, 1, [], leaf_hash(b"only"))
    True
    """
    if not 0 <= index < size:
        return False
    at, last, total = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            total = node_hash(sibling, total)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            total = node_hash(total, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and hmac.compare_digest(total, root)


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether ``path`` proves that the first tree is the beginning of the second (RFC 9162, 2.1.4.2).

    A tree of no leaves is the beginning of every other, and proves nothing.

    >>> verify_consistency(0, 1, EMPTY_ROOT, leaf_hash(b"only"), [])
    True
    """
    if not 0 <= old <= new:
        return False
    if old in (0, new):
        same = old < new or hmac.compare_digest(old_root, new_root)
        return not path and same and (old > 0 or hmac.compare_digest(old_root, EMPTY_ROOT))
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not hashes:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and hmac.compare_digest(first, old_root) and hmac.compare_digest(second, new_root)


@dataclass
class Frontier:
    """The right edge of a tree: enough to append to it and to tell its root, log2(size) hashes.

    >>> tree = Frontier()
    >>> [len(tree.append(leaf_hash(data))) for data in (b"a", b"b", b"c", b"d")]
    [1, 2, 1, 3]
    >>> tree.size, len(tree.hashes), tree.root.hex()[:16]
    (4, 1, '33376a3bd63e9993')
    """

    size: int = 0
    hashes: list[bytes] = field(default_factory=list)  # of subtrees((0, size))

    def append(self, leaf: bytes) -> list[bytes]:
        """Add a leaf and return what it completes: its own hash, then those of the nodes above, upwards."""
        completed = [leaf]
        filled = self.size
        while filled & 1:
            completed.append(node_hash(self.hashes.pop(), completed[-1]))
            filled >>= 1
        self.hashes.append(completed[-1])
        self.size += 1
        return completed

    @property
    def root(self) -> bytes:
        """The root of the tree as it is now."""
        return fold(self.hashes)


Lookup = Callable[[Sequence[int]], "dict[int, bytes]"]


def range_hashes(ranges: Iterable[Range], lookup: Lookup) -> list[bytes]:
    """Return the hash of each range; ``lookup`` gives the stored hashes at some positions, all in one call.

    Raises:
        KeyError: if one of them is not stored.
    """
    parts = [[position(*subtree) for subtree in subtrees(each)] for each in ranges]
    stored = lookup([at for positions in parts for at in positions])
    return [fold([stored[at] for at in positions]) for positions in parts]


def _split(size: int) -> int:
    """Return the largest power of two that is less than ``size``."""
    return 1 << (size - 1).bit_length() - 1
