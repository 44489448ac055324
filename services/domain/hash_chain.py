"""The Merkle tree of RFC 6962 / RFC 9162 (SHA-256), its proofs, and the C2SP checkpoint text.

Stands under the evolution ledger: the root after each entry commits to every entry before it. One
structure only. It computes on hashes; it never reads entries, stores anything or holds a signing key.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()  # RFC 9162 section 2.1.1: the root of no leaves

NodeAt: TypeAlias = Callable[[int, int], bytes]
"""Gives the root of a whole subtree by (level, index): 2**level leaves from leaf index * 2**level on."""

_LEAF_PREFIX = b"\x00"
_NODE_PREFIX = b"\x01"
_HEX_DIGITS = frozenset("0123456789abcdef")
_CHECKPOINT_LINES = 3


def leaf_hash(data: bytes) -> bytes:
    """Return the 32-byte hash of one leaf's exact bytes: SHA-256(00 || data)."""
    return hashlib.sha256(_LEAF_PREFIX + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the 32-byte hash of an inner node: SHA-256(01 || left || right)."""
    return hashlib.sha256(_NODE_PREFIX + left + right).digest()


def to_hex(digest: bytes) -> str:
    """Return a 32-byte hash as 64 lower-case hex digits; raises ValueError for another length."""
    if len(digest) != HASH_BYTES:
        raise ValueError(f"a hash has {HASH_BYTES} bytes, got {len(digest)}")
    return digest.hex()


def from_hex(text: str) -> bytes:
    """Return the 32 bytes of 64 lower-case hex digits; raises ValueError for anything else."""
    if len(text) != 2 * HASH_BYTES or not _HEX_DIGITS.issuperset(text):
        raise ValueError("a hash is 64 lower-case hex digits")
    return bytes.fromhex(text)


@dataclass(frozen=True, slots=True)
class Frontier:
    """The least state that can append: the roots of the complete subtrees of `size` leaves, largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise ValueError(f"a frontier of {self.size} leaves cannot have {len(self.hashes)} subtree roots")

    def append(self, leaf: bytes) -> "Frontier":
        """Return the frontier with one more leaf hash (32 bytes); O(log size)."""
        kept = len(self.hashes)
        node, carry = leaf, self.size
        while carry & 1:
            kept -= 1
            node = node_hash(self.hashes[kept], node)
            carry >>= 1
        return Frontier(self.size + 1, (*self.hashes[:kept], node))

    def completed_by(self, leaf: bytes) -> list[tuple[int, bytes]]:
        """Return (level, root) of each subtree that one more leaf completes; level from 1."""
        found: list[tuple[int, bytes]] = []
        node, carry = leaf, self.size
        for hashed in reversed(self.hashes):
            if not carry & 1:
                break
            node = node_hash(hashed, node)
            found.append((len(found) + 1, node))
            carry >>= 1
        return found

    def root(self) -> bytes:
        """Return the 32-byte root of all leaves so far; `EMPTY_ROOT` for none."""
        if not self.hashes:
            return EMPTY_ROOT
        node = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            node = node_hash(left, node)
        return node


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf *hashes* (not leaf data); `EMPTY_ROOT` for none."""
    frontier = Frontier()
    for leaf in leaves:
        frontier = frontier.append(leaf)
    return frontier.root()


def inclusion_proof(index: int, size: int, node_at: NodeAt) -> list[bytes]:
    """Return PATH(index, D[size]) of RFC 9162 section 2.1.3.1; IndexError unless 0 <= index < size."""
    if not 0 <= index < size:
        raise IndexError(f"entry {index} is not among the first {size}")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(_range_root(middle, end, node_at))
            end = middle
        else:
            proof.append(_range_root(start, middle, node_at))
            start = middle
    proof.reverse()
    return proof


def consistency_proof(old_size: int, size: int, node_at: NodeAt) -> list[bytes]:
    """Return PROOF(old_size, D[size]) of RFC 9162 section 2.1.4.1; empty when old_size is 0 or size.

    Raises IndexError unless 0 <= old_size <= size.
    """
    if not 0 <= old_size <= size:
        raise IndexError(f"{old_size} leaves are not a prefix of {size}")
    if old_size in (0, size):
        return []
    proof: list[bytes] = []
    start, end = 0, size
    while end != old_size:
        middle = start + _split(end - start)
        if old_size <= middle:
            proof.append(_range_root(middle, end, node_at))
            end = middle
        else:
            proof.append(_range_root(start, middle, node_at))
            start = middle
    if start:  # the old tree is not itself a subtree here, so its last part must be given
        proof.append(_range_root(start, end, node_at))
    proof.reverse()
    return proof


def root_at(size: int, node_at: NodeAt) -> bytes:
    """Return the root of the first `size` leaves; `EMPTY_ROOT` for none."""
    return _range_root(0, size, node_at) if size else EMPTY_ROOT


def nodes_read(read: Callable[[NodeAt], object]) -> set[tuple[int, int]]:
    """Return the (level, index) of every node that `read` asks for: O(log size) of them for a proof.

    So what a proof needs can be fetched at once, before it is assembled by the very same `read`.
    """
    found: set[tuple[int, int]] = set()

    def note(level: int, index: int) -> bytes:
        found.add((level, index))
        return EMPTY_ROOT

    read(note)
    return found


def _range_root(start: int, end: int, node_at: NodeAt) -> bytes:
    """Return MTH(D[start:end]); `start` is a multiple of the largest power of two within the range."""
    width = end - start
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return node_at(level, start >> level)
    middle = start + _split(width)
    return node_hash(_range_root(start, middle, node_at), _range_root(middle, end, node_at))


def _split(width: int) -> int:
    """Return the largest power of two smaller than `width` (at least 2): where RFC 9162 splits a tree."""
    return 1 << ((width - 1).bit_length() - 1)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether `proof` shows leaf hash `leaf` at `index` under the `root` of `size` leaves.

    Source: RFC 9162 section 2.1.3.2. Never raises: what cannot be a proof is False.
    """
    if not 0 <= index < size:
        return False
    position, last, node = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = node_hash(step, node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            node = node_hash(node, step)
        position >>= 1
        last >>= 1
    return last == 0 and node == root


def verify_consistency(
    old_size: int, size: int, old_root: bytes, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Tell whether `proof` shows that `root` of `size` leaves extends `old_root` of `old_size`.

    Source: RFC 9162 section 2.1.4.2. Never raises. Every tree extends the empty one (`EMPTY_ROOT`,
    no proof).
    """
    if not 0 <= old_size <= size:
        return False
    if old_size in (0, size):
        return not proof and old_root == (root if old_size == size else EMPTY_ROOT)
    steps = list(proof)
    if old_size & (old_size - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        return False
    position, last = old_size - 1, size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old_node = node = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old_node = node_hash(step, old_node)
            node = node_hash(step, node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            node = node_hash(node, step)
        position >>= 1
        last >>= 1
    return last == 0 and old_node == old_root and node == root


def checkpoint_body(origin: str, size: int, root: bytes) -> bytes:
    """Return the note text of a checkpoint: origin, size, root in base64, one a line.

    Source: c2sp.org/tlog-checkpoint. This is what the log's Ed25519 key signs. Raises
    ValueError for an empty origin or one with control characters, a negative size, or a root not of 32 bytes.
    """
    if not origin or any(character < " " or character == "\x7f" for character in origin):
        raise ValueError("a checkpoint's origin is one non-empty line")
    if size < 0:
        raise ValueError(f"a log cannot have {size} entries")
    to_hex(root)
    return f"{origin}\n{size}\n{base64.b64encode(root).decode('ascii')}\n".encode()


def parse_checkpoint(text: str | bytes) -> tuple[str, int, bytes]:
    """Return (origin, size, root) of a checkpoint body or of a signed note that carries one.

    Extension lines and signatures are skipped, not checked. Raises ValueError for another form.
    """
    content = text.decode("utf-8") if isinstance(text, bytes) else text
    lines = content.partition("\n\n")[0].split("\n")
    if content.count("\n") < _CHECKPOINT_LINES or len(lines) < _CHECKPOINT_LINES:
        raise ValueError("a checkpoint has three whole lines: origin, size, root")
    origin, size_text, root_text = lines[:_CHECKPOINT_LINES]
    if not (size_text.isascii() and size_text.isdigit()) or str(int(size_text)) != size_text:
        raise ValueError(f"a checkpoint's size is a plain decimal number, got {size_text[:40]!r}")
    try:
        root = base64.b64decode(root_text, validate=True)
    except binascii.Error:
        raise ValueError("a checkpoint's root is standard base64") from None
    size = int(size_text)
    if checkpoint_body(origin, size, root) != f"{origin}\n{size_text}\n{root_text}\n".encode():
        raise ValueError("a checkpoint's root has one base64 spelling")
    return origin, size, root
