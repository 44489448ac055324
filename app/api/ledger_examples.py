"""Examples of what the ledger's routes answer, from which their descriptions are made.

Stand beside `app.api.examples`.
"""

from app.api.answers import JsonObject
from app.api.examples import AT, ENTRY, HASH, TIMEOUT

SHOWN_ENTRY: JsonObject = {
    **ENTRY,
    "corrections": [{"index": 20, "at": AT, "actor": "operator", "reason": "the cause was the new source"}],
}
CONFIG: JsonObject = {"size": 15, "at": AT, "config": {TIMEOUT: "1.8"}, "config_sha256": HASH}
KEPT_CHECKPOINT: JsonObject = {
    "size": 15,
    "root": HASH,
    "signed_at": AT,
    "note": "nacre\n15\n…\n\n— nacre …\n",
}
BLOB: JsonObject = {
    "sha256": HASH,
    "kind": "reason",
    "text": "the source answers within 2 s",
    "base64": None,
    "erased_at": None,
}
ERASED: JsonObject = {"erased": [{"sha256": HASH, "kind": "reason", "ledger_index": 21}]}
CORRECTED: JsonObject = {"ledger_index": 20}
