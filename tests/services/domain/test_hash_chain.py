"""The Merkle tree against the public RFC 6962 vectors and a reference written from the RFC's text."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.hash_chain import (
    EMPTY_ROOT,
    Frontier,
    checkpoint_body,
    consistency_proof,
    from_hex,
    inclusion_proof,
    leaf_hash,
    node_hash,
    nodes_read,
    parse_checkpoint,
    root_at,
    root_of,
    to_hex,
    verify_consistency,
    verify_inclusion,
)
from tests.proofs.merkle_probes import LEAVES, ROOTS

HASHES = [leaf_hash(leaf) for leaf in LEAVES]


def tree_of(hashes):
    """Return the nodes that appending these leaf hashes keeps, as a function of (level, index)."""
    frontier, nodes = Frontier(), {}
    for index, leaf in enumerate(hashes):
        nodes[0, index] = leaf
        nodes |= {(level, index >> level): node for level, node in frontier.completed_by(leaf)}
        frontier = frontier.append(leaf)
    return lambda level, index: nodes[level, index]


TREE = tree_of(HASHES)


def reference_root(hashes: list[bytes]) -> bytes:
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    left, right = reference_root(hashes[:k]), reference_root(hashes[k:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def reference_path(m: int, hashes: list[bytes]) -> list[bytes]:
    if len(hashes) == 1:
        return []
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    if m < k:
        return [*reference_path(m, hashes[:k]), reference_root(hashes[k:])]
    return [*reference_path(m - k, hashes[k:]), reference_root(hashes[:k])]


def reference_subproof(m: int, hashes: list[bytes], *, is_whole: bool) -> list[bytes]:
    if m == len(hashes):
        return [] if is_whole else [reference_root(hashes)]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    if m <= k:
        return [*reference_subproof(m, hashes[:k], is_whole=is_whole), reference_root(hashes[k:])]
    return [*reference_subproof(m - k, hashes[k:], is_whole=False), reference_root(hashes[:k])]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_public_vectors(size):
    assert to_hex(root_of(HASHES[:size])) == ROOTS[size]
    assert to_hex(root_at(size, TREE)) == ROOTS[size]
    assert to_hex(reference_root(HASHES[:size])) == ROOTS[size]


def test_the_frontier_has_every_root_on_its_way():
    frontier = Frontier()
    for size in range(8):
        assert to_hex(frontier.root()) == ROOTS[size]
        frontier = frontier.append(HASHES[size])
    assert (frontier.size, frontier.hashes) == (8, (from_hex(ROOTS[8]),))


def test_a_frontier_restored_from_its_parts_goes_on():
    frontier = Frontier()
    for leaf in HASHES[:5]:
        frontier = frontier.append(leaf)
    again = Frontier(frontier.size, frontier.hashes)
    assert to_hex(again.append(HASHES[5]).root()) == ROOTS[6]
    with pytest.raises(ValueError, match="cannot have"):
        Frontier(6, frontier.hashes[:1])


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_any_tree_has_the_reference_root(leaves):
    hashes = [leaf_hash(leaf) for leaf in leaves]
    assert root_of(hashes) == root_at(len(hashes), tree_of(hashes)) == reference_root(hashes)


@pytest.mark.parametrize("size", range(1, 18))
def test_inclusion_proofs_are_the_reference_and_fit_nothing_else(size):
    hashes = [leaf_hash(bytes([number])) for number in range(size)]
    root = root_of(hashes)
    for index in range(size):
        proof = inclusion_proof(index, size, tree_of(hashes))
        assert proof == reference_path(index, hashes)
        assert verify_inclusion(hashes[index], index, size, proof, root)
        for other in range(-1, size + 1):
            if other != index:
                assert not verify_inclusion(hashes[index], other, size, proof, root)
        assert not verify_inclusion(leaf_hash(b"other"), index, size, proof, root)
        assert not verify_inclusion(hashes[index], index, size, proof, EMPTY_ROOT)
        assert not verify_inclusion(hashes[index], index, size, [*proof, EMPTY_ROOT], root)
        assert not verify_inclusion(hashes[index], index, size, proof[:-1], root) or size == 1
        for place in range(len(proof)):
            assert not verify_inclusion(hashes[index], index, size, flipped(proof, place), root)


@pytest.mark.parametrize("size", range(1, 18))
def test_consistency_proofs_are_the_reference_and_fit_nothing_else(size):
    hashes = [leaf_hash(bytes([number])) for number in range(size)]
    root = root_of(hashes)
    for old_size in range(1, size + 1):
        old_root = root_of(hashes[:old_size])
        proof = consistency_proof(old_size, size, tree_of(hashes))
        assert proof == reference_subproof(old_size, hashes, is_whole=True)
        assert verify_consistency(old_size, size, old_root, root, proof)
        assert not verify_consistency(old_size, size, EMPTY_ROOT, root, proof)
        assert not verify_consistency(old_size, size, old_root, EMPTY_ROOT, proof)
        assert not verify_consistency(old_size, size, old_root, root, [*proof, EMPTY_ROOT])
        assert not verify_consistency(size + 1, size, old_root, root, proof)
        if proof:
            assert not verify_consistency(old_size, size, old_root, root, proof[:-1])
            assert not verify_consistency(old_size, size, old_root, root, [])
        for place in range(len(proof)):
            assert not verify_consistency(old_size, size, old_root, root, flipped(proof, place))


def flipped(proof: list[bytes], place: int) -> list[bytes]:
    changed = bytes([proof[place][0] ^ 1]) + proof[place][1:]
    return [*proof[:place], changed, *proof[place + 1 :]]


def test_every_tree_extends_the_empty_one_and_only_with_its_root():
    root = from_hex(ROOTS[3])
    assert consistency_proof(0, 3, TREE) == []
    assert verify_consistency(0, 3, EMPTY_ROOT, root, [])
    assert not verify_consistency(0, 3, root, root, [])
    assert not verify_consistency(0, 3, EMPTY_ROOT, root, [EMPTY_ROOT])
    assert verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])
    assert not verify_consistency(-1, 3, EMPTY_ROOT, root, [])


def test_a_fork_is_not_consistent():
    fork = [*HASHES[:4], leaf_hash(b"forged"), *HASHES[5:]]
    proof = consistency_proof(6, 8, tree_of(fork))
    assert not verify_consistency(6, 8, from_hex(ROOTS[6]), root_of(fork), proof)


def test_proofs_hold_in_a_large_tree_and_read_a_few_nodes_only():
    node_at = tree_of(leaf_hash(number.to_bytes(4)) for number in range(5_000))
    sizes = [1, 2, 3, 127, 128, 129, 1000, 2047, 2048, 2049, 4095, 4096, 4097, 4999, 5000]
    for old_size, size in pairwise(sizes):
        proof = consistency_proof(old_size, size, node_at)
        roots = root_at(old_size, node_at), root_at(size, node_at)
        assert verify_consistency(old_size, size, *roots, proof)
        proof = inclusion_proof(size - 1, size, node_at)
        assert verify_inclusion(leaf_hash((size - 1).to_bytes(4)), size - 1, size, proof, roots[1])
    assert len(nodes_read(lambda kept: inclusion_proof(2_500, 5_000, kept))) <= 2 * (5_000).bit_length()
    assert nodes_read(lambda kept: inclusion_proof(2, 6, kept)) == {(0, 3), (1, 0), (1, 2)}


def test_leaf_and_node_cannot_be_confused():
    left, right = HASHES[:2]
    assert leaf_hash(left + right) != node_hash(left, right)
    assert leaf_hash(b"") != EMPTY_ROOT


def test_proofs_beyond_the_tree_are_refused():
    with pytest.raises(IndexError, match="not among the first 3"):
        inclusion_proof(3, 3, TREE)
    with pytest.raises(IndexError, match="not a prefix"):
        consistency_proof(4, 3, TREE)


@pytest.mark.parametrize("digits", ["", "00", ROOTS[1][:-1], ROOTS[1].upper(), ROOTS[1] + "00", "g" * 64])
def test_hex_has_one_form(digits):
    with pytest.raises(ValueError, match="64 lower-case"):
        from_hex(digits)
    assert from_hex(to_hex(HASHES[0])) == HASHES[0]
    with pytest.raises(ValueError, match="32 bytes"):
        to_hex(b"short")


def test_a_checkpoint_is_three_lines_and_reads_back():
    root = from_hex(ROOTS[8])
    body = checkpoint_body("nacre.example/ledger", 8, root)
    assert body == b"nacre.example/ledger\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n"
    assert parse_checkpoint(body) == ("nacre.example/ledger", 8, root)
    assert parse_checkpoint(body.decode()) == ("nacre.example/ledger", 8, root)
    signed = body + b"extension\n\n\xe2\x80\x94 nacre.example/ledger AAAA\n"
    assert parse_checkpoint(signed) == ("nacre.example/ledger", 8, root)


@pytest.mark.parametrize(
    "change",
    [
        (b"ledger\n", b"\n"),
        (b"\n8\n", b"\n08\n"),
        (b"\n8\n", b"\n-8\n"),
        (b"\n8\n", b"\n\xd9\xa8\n"),
        (b"\n8\n", b"\n\n"),
        (b"ledger", b"led\tger"),
        (b"=\n", b"\n"),
        (b"=\n", b"="),
        (b"=\n", b"=\r\n"),
        (b"yg=\n", b"yh=\n"),
        (b"Xcna", b"X*na"),
        (b"Xcna", b""),
        (b"ledger", b"\xff"),
    ],
)
def test_other_forms_of_checkpoint_are_refused(change):
    body = checkpoint_body("ledger", 8, from_hex(ROOTS[8]))
    changed = body.replace(*change)
    assert changed != body
    with pytest.raises(ValueError, match=r"\S"):
        parse_checkpoint(changed)


@pytest.mark.parametrize(("origin", "size", "root"), [("", 1, EMPTY_ROOT), ("a\nb", 1, EMPTY_ROOT),
                                                      ("a", -1, EMPTY_ROOT), ("a", 1, b"short")])  # fmt: skip
def test_a_checkpoint_that_could_not_be_read_is_not_written(origin, size, root):
    with pytest.raises(ValueError, match=r"\S"):
        checkpoint_body(origin, size, root)
