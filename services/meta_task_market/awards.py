"""The award: when a window has closed, the rule picks the winner from the sealed bids and a recorded seed.

Stands in layer 4 between bidding and the lease. The first award of a task also fixes the values in force for
it, arm included: after the bid, so that agents cannot choose tasks by arm. It never reads claimed confidence.
"""

from collections.abc import Callable

from services.domain.auction import RULE_NAME, AwardDecision, SealedBid, decide_award
from services.domain.clock import seconds
from services.domain.errors import ConflictError
from services.domain.events import Event, EventType
from services.domain.states import EndReason, Standing, TaskState
from services.event_bus import publish
from services.meta_task_market import settlement
from services.operations import accounts, assignments, production_config
from services.store import market, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

BATCH = 200


def award_due(tx: Tx, entropy: Callable[[int], bytes]) -> dict[str, int]:
    """Award every task whose window has closed; return how many were awarded and how many had no bids."""
    cooling = production_config.number(tx, "market.cooling")
    stake_percent = int(production_config.number(tx, "market.stake_percent"))
    window_us = seconds(production_config.number(tx, "market.bid_window_seconds"))
    awarded = unbid = 0
    due = market.due_windows(tx, BATCH)
    accounts.take_turn(tx)
    for task in due:
        stake = task["reserve_price_microcredits"] * stake_percent // 100
        bids = _eligible_bids(tx, task, stake)
        seed = entropy(16).hex()
        decision = decide_award(
            bids,
            value_microcredits=task["reserve_price_microcredits"],
            stake_microcredits=stake,
            seed=seed,
            cooling=cooling,
        )
        if decision is None:
            unbid += 1
            _wait_for_bids(tx, task, window_us)
        else:
            awarded += 1
            _grant(tx, task, bids, decision, seed, cooling)
    return {"awarded": awarded, "without_bids": unbid}


def _eligible_bids(tx: Tx, task: Row, stake: int) -> list[SealedBid]:
    """Return the bids that may win: not suspended, not tried before, able to put up the stake."""
    tried = market.tried_agents(tx, task["id"]) if task["attempt_count"] else set()
    bids = [
        row
        for row in market.bids_with_records(tx, task["id"], task["type"])
        if row["agent_id"] not in tried and row["standing"] != Standing.SUSPENDED
    ]
    owners = [accounts.agent_account(row["agent_id"]) for row in bids]
    balances = accounts.balances_microcredits(tx, owners) if owners else {}
    return [
        SealedBid(
            row["agent_id"],
            row["ask_microcredits"],
            row["type_successes"],
            row["type_failures"],
            row["all_successes"],
            row["all_failures"],
        )
        for row, owner in zip(bids, owners, strict=True)
        if balances[owner] >= stake
    ]


def _wait_for_bids(tx: Tx, task: Row, window_us: int) -> None:
    """Open another window, unless the deadline comes first."""
    closes = tx.now_us + window_us
    if closes >= task["deadline_at_us"]:
        settlement.end_unpaid(tx, task, TaskState.EXPIRED, EndReason.NO_BIDS, is_stake_lost=False)
        return
    sql.update(tx, tables.task, {"id": task["id"], "state": TaskState.BIDDING}, bids_close_at_us=closes)


def _grant(
    tx: Tx, task: Row, bids: list[SealedBid], decision: AwardDecision, seed: str, cooling: float
) -> None:
    number = task["attempt_count"] + 1
    values, is_holdout = task["effective_values"], task["is_holdout"]
    if values is None:
        fixed = assignments.resolve_for_task(tx, task, agent_id=decision.agent_id, award_seed=seed)
        values = {name: value.to_payload() for name, value in fixed.values.items()}
        is_holdout = fixed.is_holdout
    changed = sql.update(
        tx,
        tables.task,
        {"id": task["id"], "state": TaskState.BIDDING},
        state=TaskState.AWARDED,
        awarded_agent_id=decision.agent_id,
        awarded_at_us=tx.now_us,
        attempt_count=number,
        effective_values=values,
        is_holdout=is_holdout,
    )
    if not changed:
        msg = f"task {task['id']} was awarded by another process"
        raise ConflictError(msg)
    accounts.hold(
        tx,
        task_id=task["id"],
        purpose=accounts.STAKE,
        attempt_number=number,
        source=accounts.agent_account(decision.agent_id),
        amount_microcredits=decision.stake_microcredits,
    )
    sql.insert(
        tx,
        tables.award,
        task_id=task["id"],
        attempt_number=number,
        agent_id=decision.agent_id,
        rule=RULE_NAME,
        seed=seed,
        price_microcredits=decision.price_microcredits,
        stake_microcredits=decision.stake_microcredits,
        inputs=_inputs(bids, decision, cooling),
        awarded_at_us=tx.now_us,
    )
    facts = {"task_id": task["id"], "agent_id": decision.agent_id, "attempt_number": number}
    publish(tx.in_lap(task["lap_id"]), Event(EventType.TASK_AWARDED, f"task:{task['id']}", facts))


def _inputs(bids: list[SealedBid], decision: AwardDecision, cooling: float) -> dict[str, object]:
    """Return everything the rule saw, so that the award can be recomputed."""
    drawn = {agent_id: (theta, score) for agent_id, theta, score in decision.thetas}
    return {
        "cooling": cooling,
        "bids": [
            {
                "agent_id": bid.agent_id,
                "ask_microcredits": bid.ask_microcredits,
                "type_successes": bid.type_successes,
                "type_failures": bid.type_failures,
                "all_successes": bid.all_successes,
                "all_failures": bid.all_failures,
                "theta": drawn[bid.agent_id][0],
                "score": drawn[bid.agent_id][1],
            }
            for bid in bids
            if bid.agent_id in drawn
        ],
    }
