"""The deployment's own keys: the operator's API key, the Ed25519 key that signs ledger checkpoints, and the
key that the secrets of webhooks are derived from.

Made once, kept in the `var` directory readable by their owner only. It never prints or logs a key.
"""

import base64
import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

OPERATOR_KEY_FILE = "operator.key"
CHECKPOINT_KEY_FILE = "checkpoint.key"
WEBHOOK_KEY_FILE = "webhook.key"
WEBHOOK_KEY_BYTES = 32
SIGNER_NAME = "nacre"
ED25519_NOTE = b"\x01"


def new_operator_key() -> str:
    """Return a fresh operator key: 256 random bits behind `nop_`."""
    return "nop_" + secrets.token_urlsafe(32)


def new_agent_key() -> str:
    """Return a fresh agent key: 256 random bits behind `nac_`."""
    return "nac_" + secrets.token_urlsafe(32)


def _kept(path: Path, fresh: bytes) -> bytes:
    """Return the file's content, writing `fresh` with mode 0600 when there is none.

    The file appears whole under its name, so that of several processes starting at once all read one key.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(fresh)
            with suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
    return path.read_bytes()


def operator_key(var_directory: Path) -> str:
    """Return the deployment's operator key, made on the first call."""
    return _kept(var_directory / OPERATOR_KEY_FILE, new_operator_key().encode()).decode().strip()


def webhook_key(var_directory: Path) -> bytes:
    """Return the 32 bytes that the secrets of webhooks are derived from, made on the first call."""
    fresh = base64.b64encode(secrets.token_bytes(WEBHOOK_KEY_BYTES))
    return base64.b64decode(_kept(var_directory / WEBHOOK_KEY_FILE, fresh))


class CheckpointSigner:
    """Signs checkpoints as C2SP signed notes with Ed25519."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes_raw()

    @classmethod
    def from_directory(cls, var_directory: Path) -> "CheckpointSigner":
        """Return the deployment's signer, its key made on the first call."""
        fresh = Ed25519PrivateKey.generate().private_bytes_raw()
        raw = _kept(var_directory / CHECKPOINT_KEY_FILE, base64.b64encode(fresh))
        return cls(Ed25519PrivateKey.from_private_bytes(base64.b64decode(raw)))

    @property
    def verifier_key(self) -> str:
        """Return the public key in C2SP's form: name, key id, base64 of type and key."""
        encoded = base64.b64encode(ED25519_NOTE + self._public).decode()
        return f"{SIGNER_NAME}+{_key_id(self._public).hex()}+{encoded}"

    def sign_note(self, body: bytes) -> str:
        """Return the note: the body, an empty line, and the signature line."""
        signature = base64.b64encode(_key_id(self._public) + self._key.sign(body)).decode()
        return f"{body.decode()}\n\u2014 {SIGNER_NAME} {signature}\n"

    def has_signed(self, note: str) -> bool:
        """Tell whether a note bears a valid signature of this key."""
        return is_signed_by(note, self.verifier_key)


def _key_id(public: bytes) -> bytes:
    return hashlib.sha256(SIGNER_NAME.encode() + b"\n" + ED25519_NOTE + public).digest()[:4]


def is_signed_by(note: str, verifier_key: str) -> bool:
    """Tell whether a signed note carries a valid signature of this verifier key (C2SP form)."""
    name, _, encoded = verifier_key.split("+", 2)
    body, _, lines = note.partition("\n\n")
    public = base64.b64decode(encoded)[1:]
    if not lines.endswith("\n"):
        return False
    for line in lines.removesuffix("\n").split("\n"):
        dash, _, rest = line.partition(" ")
        signer, _, text = rest.partition(" ")
        if dash != "\u2014":
            return False
        if signer != name:
            continue
        try:
            raw = base64.b64decode(text, validate=True)
            if raw[:4] != _key_id(public) or base64.b64encode(raw).decode() != text:
                continue
            Ed25519PublicKey.from_public_bytes(public).verify(raw[4:], (body + "\n").encode())
        except (ValueError, InvalidSignature):
            continue
        return True
    return False
