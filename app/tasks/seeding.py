"""Seeds derived from what is known: every draw of a tool or verifier can be repeated from its inputs. A
verifier's draws depend on a seed the platform holds back and on the result itself, so nobody can prepare
for them. Never used for secrets.
"""

import hashlib
import json
from typing import Any


def derived_seed(purpose: str, *parts: Any) -> int:
    """A 63-bit seed from a purpose and JSON values (finite floats allowed), the same on every machine."""
    text = json.dumps([purpose, *parts], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
