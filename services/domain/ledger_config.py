"""Config = fold(ledger): the config that a row of entries adds up to, each held to its own hashes.

Stands beside the audit, which folds all entries; this folds only those that change the config, so that the
config at any size is cheap. It never reads a database, and never passes over an entry that does not fit.
"""

from collections.abc import Iterable
from typing import Final

from services.domain.ledger_history import CausalityError, LedgerHistory, config_hash
from services.domain.ledger_schema import EntryRefusedError, EntryType, read_entry, read_envelope

CONFIG_TYPES: Final = (
    EntryType.GENESIS,
    EntryType.REGISTERED,
    EntryType.PROMOTED,
    EntryType.ROLLED_BACK,
    EntryType.OVERRIDE,
)
"""The types of entries that may change the config."""


def fold_config(leaves: Iterable[bytes]) -> dict[str, str]:
    """Return the values by parameter after these leaves, the first of which is GENESIS; others are let pass.

    Raises CausalityError naming the first entry that is malformed, or whose value before, hash before or hash
    after is not that of the fold so far.
    """
    history = LedgerHistory({})
    for position, leaf in enumerate(leaves):
        try:
            envelope = read_envelope(leaf)
            if envelope["type"] in CONFIG_TYPES:
                _fold(history, envelope, is_first=position == 0)
        except (EntryRefusedError, CausalityError) as error:
            msg = f"entry {_index_of(leaf, position)}: {error}"
            raise CausalityError(msg) from error
    return dict(sorted(history.config.items()))


def _fold(history: LedgerHistory, envelope: dict[str, object], *, is_first: bool) -> None:
    entry = read_entry(envelope)
    payload = entry.payload
    if (entry.type is EntryType.GENESIS) != is_first:
        raise CausalityError("GENESIS is the first entry and no other")
    if is_first:
        history.config = dict(payload["config"])
        history.config_sha256 = config_hash(history.config)
    elif entry.type is EntryType.REGISTERED:
        history.change_config(payload, payload["parameter"], None, payload["value"])
    elif "parameter" in payload:
        history.change_config(payload, payload["parameter"], payload["from"], payload["to"])


def _index_of(leaf: bytes, position: int) -> int:
    try:
        return int(read_envelope(leaf)["index"])
    except EntryRefusedError:
        return position
