"""What the market's verbs answer over HTTP: each takes many items at once and answers every one of them.

Stands between the routes and the market (L4). One bid and a batch of five hundred go through the same verb.
A refused item leaves the others as they are. It never believes a result and never decides an award.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from app.api.idempotency import JsonObject, Verb
from app.api.platform import ApiPlatform
from services import meta_task_market
from services.domain.clock import SECOND_US, to_rfc3339
from services.domain.errors import NacreError, StaleTokenError
from services.domain.handoff import Handoff
from services.domain.parameter_kinds import read_number
from services.domain.states import TaskKind
from services.meta_task_market import Claim, Lease, NewBid, NewResult, Renewal, TaskTerms
from services.operations import production_config
from services.store import sql, tables, views
from services.store.tx import Tx

T = TypeVar("T")

LATE_RESULTS_KEPT = 20
"""How many late results of one agent for one task are kept; more would only be a way to fill the disk."""


@dataclass(frozen=True, slots=True)
class Posting:
    """A task to post whose payload has been checked; without a price its type's parameter holds."""

    requester_id: int | None
    type: str
    public: JsonObject
    private: JsonObject
    reserve_price_microcredits: int | None
    deadline_seconds: int
    workflow: str | None = None


class MarketVerbs:
    """The verbs over one platform."""

    def __init__(self, platform: ApiPlatform) -> None:
        self._platform = platform
        self.bid: Verb[NewBid] = Verb("bid", 201, place_bids)
        self.lease: Verb[Claim] = Verb("lease", 200, self.take_leases)
        self.heartbeat: Verb[Renewal] = Verb("heartbeat", 200, renew_leases)
        self.result: Verb[NewResult] = Verb("result", 200, submit_results, keep_late_results)
        self.post: Verb[Posting] = Verb("post", 201, post_tasks)
        self.post_briefly: Verb[Posting] = Verb("post", 201, post_tasks_briefly)

    def take_leases(self, tx: Tx, claims: Sequence[Claim]) -> list[JsonObject | NacreError]:
        """Take leases and answer with what the holder needs to begin."""
        return _answered(meta_task_market.take_leases(tx, claims), self.lease_answer)

    def lease_answer(self, lease: Lease) -> JsonObject:
        """Return a lease as it is shown to its holder.

        What the payload leaves open is filled with the value in force, so that both arms
        really run under their own.
        """
        kind = self._platform.task_types.get(lease.task_type)
        payload = lease.payload
        if kind is not None:
            read = {name: read_number(value["value"]) for name, value in lease.parameters.items()}
            values = {name: float(number) for name, number in read.items() if number is not None}
            payload = kind.with_values_in_force(lease.payload, values)
        return {
            "fencing_token": lease.fencing_token,
            "expires_at": to_rfc3339(lease.expires_at_us),
            "timeout_seconds": lease.timeout_seconds,
            "payload": payload,
            "parameters": lease.parameters,
        }


def place_bids(tx: Tx, bids: Sequence[NewBid]) -> list[JsonObject | NacreError]:
    """Place sealed bids."""
    return _answered(meta_task_market.place_bids(tx, bids), lambda bid_id: {"bid_id": bid_id})


def renew_leases(tx: Tx, renewals: Sequence[Renewal]) -> list[JsonObject | NacreError]:
    """Keep leases alive."""
    renewed = meta_task_market.renew_leases(tx, renewals)
    return _answered(renewed, lambda expires_at_us: {"expires_at": to_rfc3339(expires_at_us)})


def submit_results(tx: Tx, results: Sequence[NewResult]) -> list[JsonObject | NacreError]:
    """Hand results in; one that comes under an old token is refused."""
    states = meta_task_market.submit_results(tx, results)
    return _answered(states, lambda state: {"state": state.value})


def keep_late_results(tx: Tx, refused: Sequence[tuple[NewResult, NacreError]]) -> None:
    """Keep for the operator what was refused because it came under an old token.

    Only of agents that the task was awarded to at some time: nobody else can have a result of it.
    """
    late = [(result, refusal) for result, refusal in refused if isinstance(refusal, StaleTokenError)]
    if not late:
        return
    task_ids = sorted({result.task_id for result, _ in late})
    agent_ids = sorted({result.agent_id for result, _ in late})
    awards = sql.find_all(tx, tables.award, task_id=task_ids, agent_id=agent_ids)
    winners = {(row["task_id"], row["agent_id"]) for row in awards}
    for result, refusal in late:
        if (result.task_id, result.agent_id) in winners:
            _keep(tx, result, refusal)


def post_tasks(tx: Tx, postings: Sequence[Posting]) -> list[JsonObject | NacreError]:
    """Post tasks and answer with the life of each."""
    posted = _post(tx, postings)
    lives = views.get_new_tasks(tx, [found for found in posted if isinstance(found, int)])
    return _answered(posted, lambda task_id: lives[task_id])


def post_tasks_briefly(tx: Tx, postings: Sequence[Posting]) -> list[JsonObject | NacreError]:
    """Post tasks and answer with the id of each."""
    return _answered(_post(tx, postings), lambda task_id: {"task_id": task_id})


def _post(tx: Tx, postings: Sequence[Posting]) -> list[int | NacreError]:
    unpriced = {item.type for item in postings if item.reserve_price_microcredits is None}
    prices = {
        name: int(production_config.number(tx, f"{name}.reserve_price_microcredits")) for name in unpriced
    }
    terms = [
        TaskTerms(
            kind=TaskKind.USER,
            type=item.type,
            public=item.public,
            private=item.private,
            requester_id=item.requester_id,
            reserve_price_microcredits=(
                prices[item.type]
                if item.reserve_price_microcredits is None
                else item.reserve_price_microcredits
            ),
            deadline_us=item.deadline_seconds * SECOND_US,
            workflow=item.workflow,
        )
        for item in postings
    ]
    return meta_task_market.post_tasks(tx, terms)


def _keep(tx: Tx, result: NewResult, error: StaleTokenError) -> None:
    """Keep a refused result once, and not more than so many of one agent for one task."""
    handoff: Handoff = result.handoff
    kept = sql.find_all(
        tx,
        tables.late_result,
        limit=LATE_RESULTS_KEPT,
        task_id=result.task_id,
        agent_id=result.agent_id,
    )
    is_known = any(
        row["fencing_token"] == result.fencing_token and row["handoff"] == handoff.to_payload()
        for row in kept
    )
    if not is_known and len(kept) < LATE_RESULTS_KEPT:
        meta_task_market.keep_late_result(
            tx,
            agent_id=result.agent_id,
            task_id=result.task_id,
            fencing_token=result.fencing_token,
            handoff=handoff,
            reason=error.code,
        )


def _answered(
    outcomes: Sequence[T | NacreError], shown: Callable[[T], JsonObject]
) -> list[JsonObject | NacreError]:
    """Return every outcome as it is shown, refusals as they are."""
    return [outcome if isinstance(outcome, NacreError) else shown(outcome) for outcome in outcomes]
