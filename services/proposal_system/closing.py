"""How a proposal ends: without an experiment, or with one, whose verdict scores the voters' forecasts.

Stands under filing, voting and reviewing. It never decides which end.
"""

from services.domain.bet import Verdict
from services.domain.errors import NotFoundError
from services.domain.events import Event, EventType
from services.domain.states import ProposalState
from services.event_bus import publish
from services.operations import review_queue
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx


def get_proposal(tx: Tx, proposal_id: int) -> Row:
    """Return a proposal's row, held; raise NotFoundError when there is none."""
    row = sql.find(tx, tables.proposal, lock=True, id=proposal_id)
    if row is None:
        msg = f"there is no proposal {proposal_id}"
        raise NotFoundError(msg, field="proposal_id")
    return row


def close(tx: Tx, proposal: Row, state: ProposalState, reason: str) -> None:
    """End a proposal without an experiment; a vote that could never reach three ballots goes to a person."""
    where = {"id": proposal["id"]}
    times = {"decided_at_us": proposal["decided_at_us"] or tx.now_us, "ended_at_us": tx.now_us}
    sql.update(tx, tables.proposal, where, state=state, end_reason=reason[:120], **times)
    if proposal["electorate"] < proposal["rules"]["minimum_ballots"]:
        subject = f"proposal {proposal['id']}: {proposal['electorate']} electors cannot decide"
        context = {"proposal_id": proposal["id"]}
        review_queue.open_item(tx, kind="electorate_too_small", subject=subject, context=context)
    facts = {"proposal_id": proposal["id"], "state": str(state), "meta_task_id": proposal["meta_task_id"]}
    publish(tx, Event(EventType.PROPOSAL_CLOSED, f"proposal:{proposal['id']}", facts))


def finish(tx: Tx, proposal_id: int, state: ProposalState, reason: str) -> None:
    """Close a tested proposal, and score every forecast (Brier) by whether the experiment won.

    An invalid experiment says nothing about a forecast: none is scored.
    """
    where = {"id": proposal_id, "state": ProposalState.TESTING}
    sql.update(tx, tables.proposal, where, state=state, ended_at_us=tx.now_us, end_reason=reason[:120])
    experiment = sql.find(tx, tables.experiment, proposal_id=proposal_id)
    if experiment is None or experiment["verdict"] in (None, Verdict.INVALID):
        return
    won = 1.0 if experiment["verdict"] == Verdict.WIN else 0.0
    for ballot in sql.find_all(tx, tables.ballot, proposal_id=proposal_id):
        if ballot["forecast_percent"] is not None:
            brier = (ballot["forecast_percent"] / 100 - won) ** 2
            sql.update(tx, tables.ballot, {"id": ballot["id"]}, brier=brier)
