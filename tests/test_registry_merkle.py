"""The log's tree: known answers of RFC 6962, proofs of every size, and what must not verify."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markai.provenance.registry import merkle
from markai.provenance.registry.merkle import EMPTY_ROOT, Frontier, leaf_hash, node_hash

# The leaves and roots that Certificate Transparency's implementations are tested with.
LEAVES = [
    bytes.fromhex(each)
    for each in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
INCLUSION = {  # (index, size): path
    (0, 1): (),
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
}
CONSISTENCY = {  # (old, new): path
    (1, 1): (),
    (1, 8): INCLUSION[0, 8],
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}


def grown(leaves: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The stored hashes of a tree in order, and its roots from that of no leaves on."""
    tree, stored = Frontier(), []
    roots = [tree.root]
    for leaf in leaves:
        stored += tree.append(leaf_hash(leaf))
        roots.append(tree.root)
    return stored, roots


def path(stored: list[bytes], ranges: list[merkle.Range]) -> list[bytes]:
    return merkle.range_hashes(ranges, lambda positions: {at: stored[at] for at in positions})


def directly(leaves: list[bytes]) -> bytes:
    """The root as RFC 9162, 2.1.1 defines it."""
    if len(leaves) <= 1:
        return leaf_hash(leaves[0]) if leaves else hashlib.sha256().digest()
    middle = 1
    while 2 * middle < len(leaves):
        middle *= 2
    return node_hash(directly(leaves[:middle]), directly(leaves[middle:]))


def test_known_roots() -> None:
    assert [root.hex() for root in grown(LEAVES)[1]] == list(ROOTS)


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_known_inclusion_proofs(index: int, size: int) -> None:
    known = INCLUSION[index, size]
    stored, roots = grown(LEAVES)
    assert [each.hex() for each in path(stored, merkle.inclusion_ranges(index, size))] == list(known)
    proof = list(map(bytes.fromhex, known))
    assert merkle.verify_inclusion(leaf_hash(LEAVES[index]), index, size, proof, roots[size])


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_known_consistency_proofs(old: int, new: int) -> None:
    known = CONSISTENCY[old, new]
    stored, roots = grown(LEAVES)
    assert [each.hex() for each in path(stored, merkle.consistency_ranges(old, new))] == list(known)
    assert merkle.verify_consistency(old, new, roots[old], roots[new], list(map(bytes.fromhex, known)))


@given(st.integers(0, 200))
def test_the_root_is_that_of_the_definition(size: int) -> None:
    leaves = [bytes([number]) for number in range(size)]
    assert grown(leaves)[1][-1] == directly(leaves)


MANY = [number.to_bytes(2, "big") for number in range(300)]
STORED, MANY_ROOTS = grown(MANY)


@given(st.data())
def test_every_inclusion_proof_verifies_and_no_changed_one_does(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(MANY)))
    index = data.draw(st.integers(0, size - 1))
    proof = path(STORED, merkle.inclusion_ranges(index, size))
    leaf, root = leaf_hash(MANY[index]), MANY_ROOTS[size]
    assert merkle.verify_inclusion(leaf, index, size, proof, root)
    assert not merkle.verify_inclusion(leaf_hash(b"another"), index, size, proof, root)
    assert not merkle.verify_inclusion(leaf, index, size, [*proof, bytes(32)], root)
    assert not merkle.verify_inclusion(leaf, index, size, proof, MANY_ROOTS[size - 1])
    other = data.draw(st.integers(0, size))
    assert merkle.verify_inclusion(leaf, other, size, proof, root) == (other == index)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        assert not merkle.verify_inclusion(leaf, index, size, [*proof[:at], bytes(32), *proof[at + 1 :]], root)
        assert not merkle.verify_inclusion(leaf, index, size, proof[:at] + proof[at + 1 :], root)


@given(st.data())
def test_every_consistency_proof_verifies_and_no_changed_one_does(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, len(MANY)))
    old = data.draw(st.integers(0, new))
    proof = path(STORED, merkle.consistency_ranges(old, new))
    before, after = MANY_ROOTS[old], MANY_ROOTS[new]
    assert merkle.verify_consistency(old, new, before, after, proof)
    assert not merkle.verify_consistency(old, new, before, after, [*proof, bytes(32)])
    assert not merkle.verify_consistency(old, new, bytes(32), after, proof)
    assert old == 0 or not merkle.verify_consistency(old, new, before, bytes(32), proof)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        assert not merkle.verify_consistency(old, new, before, after, [*proof[:at], bytes(32), *proof[at + 1 :]])
        assert not merkle.verify_consistency(old, new, before, after, proof[:at] + proof[at + 1 :])


def test_a_node_does_not_pass_for_a_leaf() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


def test_nothing_is_in_an_empty_tree_or_beyond_the_end() -> None:
    assert not merkle.verify_inclusion(leaf_hash(b""), 0, 0, [], EMPTY_ROOT)
    assert not merkle.verify_inclusion(leaf_hash(b""), 1, 1, [], leaf_hash(b""))
    assert not merkle.verify_inclusion(leaf_hash(b""), -1, 1, [], leaf_hash(b""))
    assert not merkle.verify_consistency(2, 1, MANY_ROOTS[2], MANY_ROOTS[1], [])
    assert not merkle.verify_consistency(3, 5, MANY_ROOTS[3], MANY_ROOTS[5], [])


def test_positions_are_the_order_of_completion() -> None:
    tree, at = Frontier(), 0
    for index in range(100):
        for level, _ in enumerate(tree.append(leaf_hash(bytes([index])))):
            assert merkle.position(level, index >> level) == at
            at += 1
