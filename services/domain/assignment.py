"""Sticky random assignment: which arm of an experiment a unit belongs to.

Stands in the experiment stage of the loop: the sandbox asks for an arm after a bid is accepted and stores
the share with the task. The hash is GrowthBook's version 2 (FNV-1a, 32 bit, applied twice, 10,000 buckets),
so any of its public clients reproduces our arms once the salt is revealed. It never draws randomness: the
secret salt is passed in, committed to at the start and revealed at the end of the experiment.

FNV is not a cryptographic hash: someone who sees some tens of arms can solve for the salt's effect on it.
What keeps agents from choosing tasks by arm is the unit: it ends with random digits that are drawn at the
award, after the bids; the salt only delays them.
"""

import hashlib

BUCKETS = 10_000
SALT_DIGITS_LEAST = 32
CONTROL = 0
TREATMENT = 1

_FNV_OFFSET = 0x811C9DC5
_FNV_PRIME = 0x01000193
_MASK_32 = 0xFFFFFFFF
_HEX_DIGITS = frozenset("0123456789abcdef")


def fnv32a(text: str) -> int:
    """Return the 32-bit FNV-1a hash of `text` over its UTF-16 code units, as the JavaScript original does."""
    units: memoryview | bytes
    if text.isascii():
        units = text.encode("ascii")
    else:
        raw = text.encode("utf-16-le", "surrogatepass")
        units = memoryview(raw).cast("H")
    value = _FNV_OFFSET
    for unit in units:
        value = ((value ^ unit) * _FNV_PRIME) & _MASK_32
    return value


def bucket_of(salt: bytes | str, unit: str) -> int:
    """Return the bucket 0..9999 of `unit` under `salt`; a bytes salt stands for its lower-case hex text."""
    seed = salt.hex() if isinstance(salt, bytes) else salt
    return fnv32a(str(fnv32a(seed + unit))) % BUCKETS


def arm_of(salt: bytes | str, unit: str, treatment_share: float) -> int:
    """Return 1 (treatment) when the unit's bucket / 10,000 is below `treatment_share`, else 0 (control).

    The share is a fraction in [0, 1]; its resolution is one bucket (0.0001). Raising the share keeps every
    unit that was already treated in treatment. Raises ValueError for a share outside [0, 1] or an empty unit.
    Source: GrowthBook SDK specification, hash version 2.
    """
    if not 0.0 <= treatment_share <= 1.0:
        raise ValueError(f"treatment_share must lie in [0, 1], got {treatment_share!r}")
    if not unit:
        raise ValueError("unit must not be empty: every empty unit would land in the same arm")
    return TREATMENT if bucket_of(salt, unit) / BUCKETS < treatment_share else CONTROL


def commitment(salt_hex: str) -> str:
    """Return the SHA-256 hex digest of the salt's hex text (ASCII), published before the first assignment.

    Anyone can check a revealed salt with `printf %s SALT | sha256sum`. Raises ValueError unless `salt_hex`
    is lower-case hex of at least 16 bytes, since a shorter salt can be found by trying them all.
    """
    if len(salt_hex) < SALT_DIGITS_LEAST or len(salt_hex) % 2 or set(salt_hex) - _HEX_DIGITS:
        raise ValueError("salt_hex must be lower-case hex of at least 16 bytes (32 digits)")
    return hashlib.sha256(salt_hex.encode("ascii")).hexdigest()


def opens(commitment_hex: str, salt_hex: str) -> bool:
    """Return whether a revealed salt is the one that was committed to."""
    return commitment(salt_hex) == commitment_hex
