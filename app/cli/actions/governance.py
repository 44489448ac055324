"""`nacre review approve | refuse`: a person's decision on a GATED change, bound to what they looked at.

Stands over `services.proposal_system`. On a terminal it shows everything again and has the hash confirmed;
elsewhere the hash must be given. It never decides on something that nobody looked at.
"""

import sys
from typing import Any

from app.cli.actions import reading
from app.cli.actions.operating import OPERATOR, check_line, opened_platform
from app.cli.actions.screen import say_item, say_note
from app.cli.actions.vote_words import question
from services import proposal_system
from services.domain.errors import ConflictError, InvalidValueError, NotFoundError
from services.store import views
from services.store.tx import Tx

HASH_LENGTH = 64
TYPED_LENGTH = 8


def decide_review(
    database: str | None,
    proposal_id: int,
    *,
    is_approved: bool,
    reviewer: str,
    reason: str,
    shown_sha256: str | None,
    as_json: bool,
) -> int:
    """Decide a review once, on the hash that was given or is confirmed now."""
    check_line("--reviewer", reviewer)
    if shown_sha256 is not None and not _is_hash(shown_sha256):
        msg = f"--shown must be all {HASH_LENGTH} hex digits; `nacre review show {proposal_id}` prints them"
        raise InvalidValueError(msg, field="--shown")
    with opened_platform(database) as platform:
        if shown_sha256 is None:
            with platform.store.read() as tx:
                item = _pending(tx, proposal_id)
            shown_sha256 = _confirmed(item, proposal_id)
        with platform.store.write(actor=OPERATOR) as tx:
            decision = proposal_system.decide_review(
                tx,
                proposal_id=proposal_id,
                shown_sha256=shown_sha256,
                is_approved=is_approved,
                reviewer=reviewer,
                reason=reason,
            )
    answer = {"proposal_id": proposal_id, "decision": str(decision), "shown_sha256": shown_sha256}
    return say_item(answer, {}, as_json=as_json)


def _is_hash(text: str) -> bool:
    return len(text) == HASH_LENGTH and all(digit in "0123456789abcdef" for digit in text)


def _pending(tx: Tx, proposal_id: int) -> dict[str, Any]:
    item = views.get_review(tx, proposal_id)
    if item is None:
        msg = f"proposal {proposal_id} was never laid before a person; `nacre review gates` lists what was"
        raise NotFoundError(msg, field="proposal_id", code="review_missing")
    return item


def _confirmed(item: dict[str, Any], proposal_id: int) -> str:
    """Show everything and return its hash once a person has typed its first digits."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        msg = f"say what was looked at: --shown with the hash that `nacre review show {proposal_id}` prints"
        raise InvalidValueError(msg, field="--shown", code="shown_missing")
    say_item(reading.KINDS["review"].in_words(item), reading.SECTIONS, as_json=False)
    say_note(question(item))
    shown = str(item["shown_sha256"])
    if sys.stdin.readline().strip().lower() != shown[:TYPED_LENGTH]:
        msg = "that is not the hash of what was shown; nothing was decided"
        raise ConflictError(msg, field="--shown", code="review_unconfirmed")
    return shown
