"""When a failed delivery is tried again, and what is kept of its error.

Stands in the bus (L2) beside delivering. It never draws a random number: the spread of the pauses comes from
the delivery's own id, so that a history can be told again.
"""

import hashlib

from services.domain.clock import SECOND_US

MAXIMUM_ATTEMPTS = 16
FIRST_RETRY_US = SECOND_US // 2
LONGEST_RETRY_US = 600 * SECOND_US
SPREAD_PARTS = 4
"""A pause is shortened by up to one part of so many, so that what failed together is not retried together."""
FAILURE_TEXT_LIMIT = 2_000


def retry_delay_us(attempts: int, delivery_id: int) -> int:
    """Return the pause after `attempts` failures, in microseconds.

    It doubles from 0.5 s up to 10 min, less up to a quarter of itself; how much less is fixed by the
    delivery's id and the number of the attempt.
    """
    longest_us = min(LONGEST_RETRY_US, FIRST_RETRY_US << min(max(0, attempts - 1), 32))
    drawn = hashlib.blake2b(f"{delivery_id}:{attempts}".encode(), digest_size=4).digest()
    return longest_us - (longest_us // SPREAD_PARTS * int.from_bytes(drawn) >> 32)


def failure_text(error: BaseException) -> str:
    """Return what is kept of an error: type and message, cut, without characters a database refuses."""
    text = f"{type(error).__name__}: {error}"[:FAILURE_TEXT_LIMIT]
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
