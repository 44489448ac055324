"""Probes of the Merkle tree's proofs, written from RFC 6962 section 2.1 and RFC 9162 section 2.1.

The eight leaves and their roots are the public ones of certificate transparency. `probes` returns each by
name with whether it came out as it must; what a proof is, is defined here once more, straight from the text.
"""

import hashlib

from services.domain.hash_chain import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_at,
    root_of,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [
    bytes.fromhex(digits)
    for digits in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657",
                   "606162636465666768696a6b6c6d6e6f")
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SHORT = b"\x01" * 31


def mth(leaves):
    """Return MTH(D) of RFC 6962 section 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m, leaves):
    """Return PATH(m, D) of section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m, leaves, *, is_whole):
    """Return SUBPROOF(m, D, b) of section 2.1.2."""
    if m == len(leaves):
        return [] if is_whole else [mth(leaves)]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if m <= k:
        return [*subproof(m, leaves[:k], is_whole=is_whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], is_whole=False), mth(leaves[:k])]


def kept_tree():
    """Return node(level, index) of the eight leaves as the append keeps them."""
    frontier, nodes = Frontier(), {}
    for index, leaf in enumerate(map(leaf_hash, LEAVES)):
        nodes[0, index] = leaf
        nodes |= {(level, index >> level): node for level, node in frontier.completed_by(leaf)}
        frontier = frontier.append(leaf)
    return lambda level, index: nodes[level, index]


def bent(proof):
    """Return ways to bend a proof, by name; none of them may pass."""
    found = {"an extra node": [*proof, EMPTY_ROOT], "an extra node in front": [EMPTY_ROOT, *proof]}
    if proof:
        found |= {"its last node missing": proof[:-1], "its first node missing": proof[1:]}
        found["a node of 31 bytes"] = [SHORT, *proof[1:]]
        found["a flipped bit"] = [bytes([proof[0][0] ^ 1]) + proof[0][1:], *proof[1:]]
    if len(proof) > 1:
        found["its nodes the other way round"] = proof[::-1]
    return found


def inclusion_probes(tree, size, index):
    """Yield the probes of one leaf in one tree."""
    where = f"inclusion of {index} in {size}"
    leaf, root, proof = (
        leaf_hash(LEAVES[index]),
        bytes.fromhex(ROOTS[size]),
        inclusion_proof(index, size, tree),
    )
    yield f"{where}: the RFC's path", proof == path(index, LEAVES[:size])
    yield f"{where}: holds", verify_inclusion(leaf, index, size, proof, root)
    for name, wrong in bent(proof).items():
        yield f"{where}: {name}", not verify_inclusion(leaf, index, size, wrong, root)
    others = [other for other in range(-1, size + 1) if other != index]
    fit = [other for other in others if verify_inclusion(leaf, other, size, proof, root)]
    yield f"{where}: no other index", not fit
    yield f"{where}: another root", not verify_inclusion(leaf, index, size, proof, EMPTY_ROOT)
    yield f"{where}: a leaf of 31 bytes", not verify_inclusion(SHORT, index, size, proof, root)
    yield f"{where}: the data is no hash", not verify_inclusion(LEAVES[index], index, size, proof, root)


def consistency_probes(tree, old, size):
    """Yield the probes of one tree that grew into another."""
    where = f"{old} grown into {size}"
    old_root, root = bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[size])
    proof = consistency_proof(old, size, tree)
    yield f"{where}: the RFC's proof", proof == subproof(old, LEAVES[:size], is_whole=True)
    yield f"{where}: holds", verify_consistency(old, size, old_root, root, proof)
    for name, wrong in bent(proof).items():
        yield f"{where}: {name}", not verify_consistency(old, size, old_root, root, wrong)
    yield f"{where}: another old root", not verify_consistency(old, size, EMPTY_ROOT, root, proof)
    yield f"{where}: another root", not verify_consistency(old, size, old_root, EMPTY_ROOT, proof)
    yield f"{where}: backwards", old == size or not verify_consistency(size, old, root, old_root, proof)
    swapped = verify_consistency(old, size, root, old_root, proof)
    yield f"{where}: roots exchanged", old == size or not swapped


def probes():
    """Return every probe as (name, whether it came out as it must)."""
    tree, hashes = kept_tree(), [leaf_hash(leaf) for leaf in LEAVES]
    found = []
    for size, root in enumerate(ROOTS):
        roots = {mth(LEAVES[:size]).hex(), root_of(hashes[:size]).hex(), root_at(size, tree).hex()}
        found.append((f"root of {size}", roots == {root}))
        for index in range(size):
            found += inclusion_probes(tree, size, index)
        for old in range(1, size + 1):
            found += consistency_probes(tree, old, size)
    root = bytes.fromhex(ROOTS[3])
    found.append(("nothing in an empty tree", not verify_inclusion(hashes[0], 0, 0, [], EMPTY_ROOT)))
    found.append(("size 0 with a root", not verify_consistency(0, 3, root, root, [])))
    found.append(("size 0 with a proof", not verify_consistency(0, 3, EMPTY_ROOT, root, [hashes[0]])))
    found.append(("a negative size", not verify_consistency(-1, 3, EMPTY_ROOT, root, [])))
    return found
