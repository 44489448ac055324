"""Read model of a replay: a task's awards recomputed from bids and outcomes, with what comes out otherwise.

Stands in the store beside the task's whole life (L4), under `nacre market replay` and the API. It gathers
rows; `services.domain.award_replay` decides what they say. It never changes anything.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import BindParameter, bindparam, case, func, or_, select

from services.domain.auction import ENTRY_WINDOW
from services.domain.award_replay import (
    AwardReplay,
    PlacedBid,
    RecordedAward,
    ReplaySources,
    outcome_mark,
    outcome_of,
    replay_award,
)
from services.domain.clock import SECOND_US
from services.domain.errors import ConflictError
from services.domain.reputation import JOB_KINDS, Outcome
from services.domain.states import OutcomeKind
from services.store import sql
from services.store.sql import Row
from services.store.tables import (
    account,
    agent,
    agent_outcome,
    attempt,
    award,
    bid,
    escrow,
    parameter_change,
    task,
    transfer,
)
from services.store.tx import Tx
from services.store.views.paging import JsonObject, at
from services.store.views.tasks import are_bids_open

STAKE, HOLD_STAKE = "stake", "hold_stake"
OUTCOMES_HIGHEST = 20_000
"""Most outcomes that are folded for whoever asks over the API."""
SETTLING_US = 60 * SECOND_US
MARK: BindParameter[int] = bindparam("mark")
AGENTS: BindParameter[int] = bindparam("agent_ids", expanding=True)
OUTCOMES = (
    select(
        agent_outcome.c.agent_id,
        agent_outcome.c.kind,
        agent_outcome.c.task_type,
        agent_outcome.c.requester_id,
        agent_outcome.c.confidence_percent,
    )
    .where(agent_outcome.c.agent_id.in_(AGENTS), agent_outcome.c.id <= MARK)
    .order_by(agent_outcome.c.agent_id, agent_outcome.c.id)
)
OUTCOMES_OF_BIDDERS = (
    select(func.count())
    .select_from(agent_outcome)
    .join(bid, bid.c.agent_id == agent_outcome.c.agent_id)
    .where(bid.c.task_id == bindparam("task_id"))
)
VOUCHED = select(agent.c.id).where(agent.c.id.in_(AGENTS), agent.c.is_vouched)
REQUESTER = agent.alias("requester")
AWARDS_BEFORE = (
    select(award.c.is_unproven)
    .join(task, task.c.id == award.c.task_id)
    .join(REQUESTER, REQUESTER.c.id == task.c.requester_id, isouter=True)
    .where(award.c.id < bindparam("award_id"), or_(task.c.requester_id.is_(None), REQUESTER.c.is_vouched))
    .order_by(award.c.id.desc())
    .limit(ENTRY_WINDOW)
)
WORK = (
    select(
        agent_outcome.c.id,
        agent_outcome.c.kind,
        func.row_number()
        .over(partition_by=agent_outcome.c.agent_id, order_by=agent_outcome.c.id)
        .label("job"),
    )
    .where(
        agent_outcome.c.id <= MARK,
        agent_outcome.c.kind.in_(JOB_KINDS),
        agent_outcome.c.requester_id.is_(None),
    )
    .subquery()
)
ENTRANT_OUTCOMES = select(WORK.c.kind).where(WORK.c.job <= bindparam("entry_jobs")).order_by(WORK.c.id)
SETTINGS = (
    select(parameter_change.c.name, parameter_change.c.value, parameter_change.c.changed_at_us)
    .where(
        parameter_change.c.name.like("market.%"), parameter_change.c.changed_at_us <= bindparam("until_us")
    )
    .order_by(parameter_change.c.name, parameter_change.c.version)
)
STAKED = (
    select(transfer.c.id)
    .join(account, account.c.id == transfer.c.debit_account_id)
    .where(
        transfer.c.task_id == bindparam("task_id"),
        transfer.c.kind == HOLD_STAKE,
        transfer.c.created_at_us == bindparam("at_us"),
        account.c.owner == bindparam("owner"),
    )
    .order_by(transfer.c.id)
)
BALANCES = (
    select(
        account.c.owner,
        func.sum(
            case((transfer.c.credit_account_id == account.c.id, transfer.c.amount), else_=-transfer.c.amount)
        ).label("balance"),
    )
    .join(
        transfer,
        or_(transfer.c.credit_account_id == account.c.id, transfer.c.debit_account_id == account.c.id),
    )
    .where(account.c.owner.in_(bindparam("owners", expanding=True)), transfer.c.id < bindparam("transfer_id"))
    .group_by(account.c.owner)
)


def replay_task(tx: Tx, task_id: int, *, is_operator: bool = False) -> JsonObject | None:
    """Return every award of a task, recomputed; None when there is no such task.

    Raises ConflictError for a task that was never awarded and, unless an operator asks, for one whose bids
    are sealed because it waits for its next award, or whose bidders have more than `OUTCOMES_HIGHEST`
    outcomes. The learned entrant rate takes a walk over all outcomes: it is recounted for operators alone.
    """
    found = sql.find(tx, task, id=task_id)
    if found is None:
        return None
    awards = sql.find_all(tx, award, order_by="attempt_number", task_id=task_id)
    if not awards:
        msg = f"task {task_id} has not been awarded; there is nothing to replay"
        raise ConflictError(msg, field="task_id", code="not_awarded")
    if not is_operator and not are_bids_open(tx, found):
        msg = f"the bids on task {task_id} are sealed until it is awarded again"
        raise ConflictError(msg, field="task_id", code="bids_sealed")
    if not is_operator:
        _check_length(tx, task_id)
    replays = [(row, replay_award(_sources(tx, found, row, is_whole=is_operator))) for row in awards]
    return {
        "task_id": task_id,
        "is_confirmed": all(replay.is_confirmed for _, replay in replays),
        "awards": [_shown(row, replay) for row, replay in replays],
    }


def _shown(row: Row, replay: AwardReplay) -> JsonObject:
    decision = replay.decision
    return {
        "attempt_number": row["attempt_number"],
        "agent_id": row["agent_id"],
        "rule": row["rule"],
        "seed": row["seed"],
        "price_microcredits": row["price_microcredits"],
        "awarded_at": at(row["awarded_at_us"]),
        "is_confirmed": replay.is_confirmed,
        "problem": replay.problem or None,
        "differences": [one._asdict() for one in replay.differences],
        "recomputed": None
        if decision is None
        else {
            "agent_id": decision.agent_id,
            "price_microcredits": decision.price_microcredits,
            "is_unproven": decision.is_unproven,
            "draws": [draw._asdict() for draw in decision.draws],
        },
    }


def _check_length(tx: Tx, task_id: int) -> None:
    count = int(sql.value(tx, OUTCOMES_OF_BIDDERS, task_id=task_id))
    if count > OUTCOMES_HIGHEST:
        msg = (
            f"the bidders on task {task_id} have {count} outcomes; over {OUTCOMES_HIGHEST} an operator "
            "replays the award: nacre market replay"
        )
        raise ConflictError(msg, field="task_id", code="replay_too_long")


def _sources(tx: Tx, found: Row, row: Row, *, is_whole: bool) -> ReplaySources:
    """Gather everything that one award is recomputed from; `is_whole` with the learned entrant rate."""
    bids = sql.find_all(tx, bid, task_id=found["id"])
    agents = [one["agent_id"] for one in bids]
    mark = outcome_mark(row["inputs"])
    entry_jobs = row["inputs"].get("entry_jobs")
    return ReplaySources(
        award=_recorded(tx, found, row),
        bids=[
            PlacedBid(one["id"], one["agent_id"], one["ask_microcredits"], one["placed_at_us"])
            for one in bids
        ],
        outcomes={} if mark is None else _outcomes(tx, agents, mark),
        vouched=frozenset(one["id"] for one in sql.listed(tx, VOUCHED, agent_ids=agents)),
        tried=frozenset(
            one["agent_id"]
            for one in sql.find_all(tx, attempt, order_by="number", task_id=found["id"])
            if one["number"] < row["attempt_number"]
        ),
        settings=_settings(tx, row["awarded_at_us"]),
        newest_unproven=[
            bool(one["is_unproven"]) for one in sql.listed(tx, AWARDS_BEFORE, award_id=row["id"])
        ],
        entrant_outcomes=[
            one["kind"] == OutcomeKind.VERIFIED
            for one in sql.listed(tx, ENTRANT_OUTCOMES, mark=mark, entry_jobs=entry_jobs)
        ]
        if is_whole and mark is not None and isinstance(entry_jobs, int)
        else None,
        balances=_balances(tx, found["id"], row, agents),
    )


def _recorded(tx: Tx, found: Row, row: Row) -> RecordedAward:
    held = sql.find(tx, escrow, task_id=found["id"], purpose=STAKE, attempt_number=row["attempt_number"])
    fixed = (found["effective_values"] or {}).get(f"{found['type']}.award_rule")
    return RecordedAward(
        task_id=found["id"],
        task_type=found["type"],
        attempt_number=row["attempt_number"],
        agent_id=row["agent_id"],
        rule=row["rule"],
        seed=row["seed"],
        price_microcredits=row["price_microcredits"],
        stake_microcredits=row["stake_microcredits"],
        is_unproven=bool(row["is_unproven"]),
        awarded_at_us=row["awarded_at_us"],
        value_microcredits=found["reserve_price_microcredits"],
        escrow_microcredits=None if held is None else held["amount"],
        rule_fixed=None if fixed is None else int(fixed["value"]),
        inputs=row["inputs"],
    )


def _outcomes(tx: Tx, agent_ids: Sequence[int], mark: int) -> dict[int, list[Outcome]]:
    """Return the outcomes of these agents up to the mark, in order; an empty list for one without any."""
    found: dict[int, list[Outcome]] = {agent_id: [] for agent_id in agent_ids}
    for row in sql.listed(tx, OUTCOMES, agent_ids=list(agent_ids), mark=mark):
        found[row["agent_id"]].append(outcome_of(row))
    return found


def _balances(tx: Tx, task_id: int, row: Row, agent_ids: Collection[int]) -> Mapping[int, int] | None:
    """Return what the bidders had just before the stake was held; None where no stake was."""
    owners = {f"agent:{agent_id}": agent_id for agent_id in agent_ids}
    staked = sql.listed(
        tx, STAKED, task_id=task_id, at_us=row["awarded_at_us"], owner=f"agent:{row['agent_id']}"
    )
    if not staked:
        return None
    balances = dict.fromkeys(agent_ids, 0)
    for one in sql.listed(tx, BALANCES, owners=list(owners), transfer_id=staked[0]["id"]):
        balances[owners[one["owner"]]] = int(one["balance"])
    return balances


def _settings(tx: Tx, awarded_at_us: int) -> dict[str, list[str]]:
    """Return the values of the market's settings in force around an instant, the one at the instant first.

    A transaction tells the time at which it began, so what was changed within a minute of the award may have
    been seen or not.
    """
    found: dict[str, list[str]] = {}
    before: dict[str, str] = {}
    for one in sql.listed(tx, SETTINGS, until_us=awarded_at_us + SETTLING_US):
        name, value, changed_at_us = one["name"], one["value"], one["changed_at_us"]
        values = found.setdefault(name, [])
        if changed_at_us <= awarded_at_us - SETTLING_US:
            values.clear()
        if changed_at_us <= awarded_at_us:
            before[name] = value
        values.append(value)
    return {name: [before.get(name, values[0]), *values] for name, values in found.items()}
