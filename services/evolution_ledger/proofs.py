"""Proofs: head, inclusion, consistency, and the signed checkpoint.

Stands over the Merkle log; needs nobody's trust. It never writes an entry.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from services.domain.errors import InvalidValueError, LedgerBrokenError, NotFoundError
from services.domain.hash_chain import (
    NodeAt,
    checkpoint_body,
    consistency_proof,
    inclusion_proof,
    nodes_read,
    root_at,
)
from services.operations import audit_log
from services.store import ledger, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

T = TypeVar("T")


class Signer(Protocol):
    """Something that signs a checkpoint's body into a C2SP note."""

    def sign_note(self, body: bytes) -> str:
        """Return the body with its signature line."""
        ...


def head(tx: Tx) -> Row:
    """Return size and root of the ledger; raise NotFoundError before its first entry."""
    row = sql.find(tx, tables.ledger_head, id=audit_log.HEAD)
    if row is None:
        msg = "the ledger has not begun"
        raise NotFoundError(msg)
    return row


def inclusion(tx: Tx, index: int, size: int | None) -> dict[str, object]:
    """Return the RFC 6962 proof that entry `index` is in the tree of `size` entries (default: all)."""
    newest = head(tx)
    total = newest["size"] if size is None else size
    if not 0 <= index < total <= newest["size"]:
        msg = f"0 <= index < size <= {newest['size']} must hold"
        raise InvalidValueError(msg, field="size")

    def read(node_at: NodeAt) -> dict[str, object]:
        return {
            "index": index,
            "size": total,
            "leaf_hash": node_at(0, index).hex(),
            "root": root_at(total, node_at).hex(),
            "proof": [node.hex() for node in inclusion_proof(index, total, node_at)],
        }

    return from_tree(tx, read)


def consistency(tx: Tx, first: int, second: int) -> dict[str, object]:
    """Return the RFC 6962 proof that the tree of `first` entries is a prefix of that of `second`."""
    newest = head(tx)
    if not 0 < first <= second <= newest["size"]:
        msg = f"0 < from <= to <= {newest['size']} must hold"
        raise InvalidValueError(msg, field="to")

    def read(node_at: NodeAt) -> dict[str, object]:
        return {
            "from": first,
            "to": second,
            "from_root": root_at(first, node_at).hex(),
            "to_root": root_at(second, node_at).hex(),
            "proof": [node.hex() for node in consistency_proof(first, second, node_at)],
        }

    return from_tree(tx, read)


def from_tree(tx: Tx, read: Callable[[NodeAt], T]) -> T:
    """Return what `read` makes of the tree's nodes; it is run twice, and they are fetched in one query.

    Raises LedgerBrokenError where a node or leaf is missing.
    """
    kept = ledger.nodes(tx, nodes_read(read))

    def node_at(level: int, index: int) -> bytes:
        try:
            return kept[level, index]
        except KeyError:
            msg = f"node {index} of level {level} of the ledger's tree is missing"
            raise LedgerBrokenError(msg) from None

    return read(node_at)


def checkpoint(tx: Tx, signer: Signer) -> dict[str, object]:
    """Return the signed checkpoint of the whole ledger (C2SP note: origin, size, root)."""
    newest = head(tx)
    origin = sql.find(tx, tables.deployment, key="origin")
    name = "nacre" if origin is None else origin["value"]
    body = checkpoint_body(name, newest["size"], bytes.fromhex(newest["root"]))
    return {"origin": name, "size": newest["size"], "root": newest["root"], "note": signer.sign_note(body)}
