"""What a ledger entry is about: the names under which it is found again.

Stands between the append, which keeps the names beside the entry, and every page or report that lists the
entries of a proposal, an experiment or a parameter. It reads ids and names only, never texts.
"""

from collections.abc import Mapping
from typing import Any, Final

NUMBERED: Final = ("proposal", "experiment", "episode", "epoch")
NAMED: Final = ("agent", "proposer", "voter")
SUBJECT_LENGTH: Final = 120
FORMAT_SUBJECT: Final = "format"
"""The entries that state the ledger's format are found under this name."""


def subjects_of(payload: Mapping[str, Any]) -> list[str]:
    """Return the subjects of an entry, sorted: `proposal:3`, `experiment:7`, `parameter:…`, `agent:2`."""
    found = {f"{kind}:{payload[f'{kind}_id']}" for kind in NUMBERED if payload.get(f"{kind}_id") is not None}
    if "parameter" in payload:
        found.add(f"parameter:{payload['parameter']}")
    found |= {str(payload[name]) for name in NAMED if payload.get(name)}
    if "format" in payload:
        found.add(FORMAT_SUBJECT)
    if "corrects" in payload:
        found.add(f"entry:{payload['corrects']}")
    return sorted(name[:SUBJECT_LENGTH] for name in found)
