"""`nacre market replay`: the awards of a task recomputed from bids and outcomes, as anybody could.

Stands over the read model of a replay, without a server and without writing. It never mends what it finds.
"""

from collections.abc import Mapping
from typing import Any

from app.cli.actions.opening import reading
from app.cli.actions.screen import cell, counted, say_json, say_line, say_note
from services.domain.errors import NotFoundError
from services.store import views


def replay(database: str | None, task_id: int, *, as_json: bool) -> int:
    """Recompute every award of a task and print what differs; return 0, or 1 when any is not confirmed."""
    with reading(database) as tx:
        found = views.replay_task(tx, task_id, is_operator=True)
    if found is None:
        msg = f"there is no task {task_id}"
        raise NotFoundError(msg, field="task")
    code = 0 if found["is_confirmed"] else 1
    if as_json:
        say_json(found)
        return code
    for award in found["awards"]:
        _say_award(award)
    return code


def _say_award(award: Mapping[str, Any]) -> None:
    """Print one award on a line, then each difference on its own; what is wrong goes to standard error."""
    number = award["attempt_number"]
    if award["problem"]:
        say_note(f"attempt {number}: {award['problem']}")
        return
    if award["is_confirmed"]:
        bids = counted(len(award["recomputed"]["draws"]), "bid")
        price = f"{award['price_microcredits']:,} micro-credits"
        say_line(
            f"attempt {number}: agent {award['agent_id']} at {price}, "
            f"by {award['rule']} from {bids}: confirmed"
        )
        return
    for one in award["differences"]:
        say_line(
            f"attempt {number}: {one['what']}: recorded {cell(one['recorded'])}, "
            f"recomputed {cell(one['recomputed'])}"
        )
    say_note(f"nacre: attempt {number} is not confirmed: {counted(len(award['differences']), 'difference')}")
