"""The rules of webhooks: secrets and signatures after Standard Webhooks, when to try again, when to stop.

Stands under the record of webhooks and under the sender. A secret is derived from the platform's key and
never stored; what is signed is `id.timestamp.body`. It reads no clock and sends nothing.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from services.domain.clock import DAY_US, EPOCH, HOUR_US, SECOND_US

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 (the prefix that the specification gives every secret)
OLD_SECRET_US: Final = DAY_US
"""How long a message is also signed with the secret before the last rotation."""
BODY_BYTES_HIGHEST: Final = 262_144
RETRY_SECONDS: Final = (5, 30, 120, 600, 1_800, 3_600, 10_800, 21_600, 43_200)
"""The pause after each failed try of one delivery; about a day in all."""
ATTEMPTS_HIGHEST: Final = len(RETRY_SECONDS) + 1
QUIET_SECONDS_HIGHEST: Final = 600
"""The longest pause of a whole webhook after failures in a row, unless its receiver asks for a longer one."""
FAILURES_HIGHEST: Final = 20
"""Rounds of tries that failed in a row, after which a webhook is paused."""
RETRY_AFTER_US_HIGHEST: Final = 6 * HOUR_US
_DIGITS_HIGHEST: Final = 9
STATUS_GONE: Final = 410
STATUSES_DONE: Final = range(200, 300)
STATUSES_ELSEWHERE: Final = range(300, 400)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try: an HTTP status, or an error; `retry_after_us` as asked for."""

    status: int | None
    error: str | None = None
    retry_after_us: int | None = None

    @property
    def is_delivered(self) -> bool:
        """Tell whether the receiver took it."""
        return self.status in STATUSES_DONE and self.error is None

    @property
    def is_gone(self) -> bool:
        """Tell whether the receiver wants nothing any more."""
        return self.status == STATUS_GONE

    @property
    def said(self) -> str | None:
        """Return why it failed, in words; None where it did not."""
        if self.is_delivered:
            return None
        if self.error is not None:
            return self.error
        if self.status in STATUSES_ELSEWHERE:
            return f"the receiver answered {self.status}; redirects are not followed"
        return f"the receiver answered {self.status}"


def secret_text(platform_key: bytes, webhook_id: int, version: int) -> str:
    """Return the secret of a webhook: `whsec_` and base64 of HMAC-SHA256(key, id and version), 32 bytes."""
    message = f"nacre webhook {webhook_id} secret {version}".encode()
    return SECRET_PREFIX + base64.b64encode(hmac.new(platform_key, message, hashlib.sha256).digest()).decode()


def signatures(secrets: Iterable[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header `webhook-signature`: a `v1,…` per secret; `timestamp` in Unix seconds."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_signature(secret, signed)}" for secret in secrets)


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def message_id(webhook_id: int, event_id: int) -> str:
    """Return the header `webhook-id`: the same for every try and every replay of one event to one webhook."""
    return f"nacre_{webhook_id}_{event_id}" if event_id > 0 else f"nacre_{webhook_id}_ping{-event_id}"


def secret_versions(version: int, rotated_at_us: int | None, now_us: int) -> tuple[int, ...]:
    """Return the versions that sign now: the newest, and for a day after a rotation the one before it."""
    is_overlapping = rotated_at_us is not None and now_us < rotated_at_us + OLD_SECRET_US and version > 1
    return (version, version - 1) if is_overlapping else (version,)


def retry_delay_us(attempts: int, retry_after_us: int | None) -> int:
    """Return the pause after so many failed tries (from 1); longer if asked for, at most 6 h."""
    scheduled_us = RETRY_SECONDS[min(attempts, len(RETRY_SECONDS)) - 1] * SECOND_US
    return max(scheduled_us, min(retry_after_us or 0, RETRY_AFTER_US_HIGHEST))


def quiet_us(failures: int, retry_after_us: int | None) -> int:
    """Return how long a whole webhook rests after so many failed rounds (from 1) in a row."""
    scheduled_us = (
        min(RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1], QUIET_SECONDS_HIGHEST) * SECOND_US
    )
    return max(scheduled_us, min(retry_after_us or 0, RETRY_AFTER_US_HIGHEST))


def read_retry_after(text: str | None, now_us: int) -> int | None:
    """Return the pause in µs that a `Retry-After` header asks for; None where it says nothing clear.

    RFC 9110, 10.2.3: a number of seconds, or a date. Nothing negative, at most six hours.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        asked_us = int(text[:_DIGITS_HIGHEST]) * SECOND_US
    else:
        try:
            moment = parsedate_to_datetime(text)
            asked_us = int((moment - EPOCH).total_seconds()) * SECOND_US - now_us
        except (TypeError, ValueError, OverflowError):
            return None
    return max(0, min(asked_us, RETRY_AFTER_US_HIGHEST))
