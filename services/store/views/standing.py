"""Read model of one agent's standing: its rung, the evidence against it, and the way back when suspended.

Stands in the store beside the market's queries (L4). Everything here follows from the agent's recorded
outcomes and the registered limits; it never moves a standing.
"""

from services.domain.clock import seconds
from services.domain.demotion import LADDER, e_value, failures_left, next_step
from services.domain.parameters import PLATFORM_PARAMETERS
from services.domain.reputation import AgentCounts
from services.domain.states import OutcomeKind, Standing
from services.domain.track_record import SURVIVAL_ALPHA, SURVIVAL_RATE
from services.store.sql import Row, find, find_all, rows
from services.store.tables import account, agent, agent_outcome, parameter, review_item
from services.store.tx import Tx
from services.store.views.paging import JsonObject, at

APPEAL = "appeal"
ACTS = (OutcomeKind.SUSPENDED, OutcomeKind.REINSTATED)
DEFAULTS = {item.name: item.default for item in PLATFORM_PARAMETERS}
ACTS_SHOWN = 20


def get_standing(tx: Tx, agent_id: int) -> JsonObject | None:
    """Return an agent's standing with what would move it, or None when nobody has this id."""
    row = find(tx, agent, id=agent_id)
    if row is None:
        return None
    counts = _counts(row)
    is_suspended = counts.standing is Standing.SUSPENDED
    limits = _limits(tx)
    return {
        "agent_id": row["id"],
        "name": row["name"],
        "standing": row["standing"],
        "vouched": row["is_vouched"],
        "settled_jobs": counts.settled_jobs,
        "verified_jobs": counts.verified_jobs,
        "next_step": _next(counts),
        "demotion": {
            "against_rate": SURVIVAL_RATE,
            "e_value": e_value(counts),
            "suspends_at": 1 / SURVIVAL_ALPHA,
            "successes": counts.trial_successes,
            "failures": counts.trial_failures,
            "failures_left": failures_left(counts.trial_successes, counts.trial_failures),
        },
        "crashes": {"in_a_row": counts.consecutive_crashes, "limit": int(limits["market.crash_limit"])},
        "suspension": _suspension(row, limits) if is_suspended else None,
        "bond_microcredits": _bond(tx, agent_id),
        "appeal": _appeal(tx, agent_id),
        "acts": _acts(tx, agent_id),
    }


def ladder(standing: str) -> list[JsonObject]:
    """Return the rungs in order, each `passed`, `here` or `ahead`; a suspended agent stands on none."""
    place = LADDER.index(Standing(standing)) if standing in LADDER else -1
    return [
        {"standing": str(rung), "is": "here" if number == place else "passed" if number < place else "ahead"}
        for number, rung in enumerate(LADDER)
    ]


def _counts(row: Row) -> AgentCounts:
    return AgentCounts(
        Standing(row["standing"]),
        settled_jobs=row["settled_jobs"],
        verified_jobs=row["verified_jobs"],
        trial_successes=row["trial_successes"],
        trial_failures=row["trial_failures"],
        consecutive_crashes=row["consecutive_crashes"],
    )


def _limits(tx: Tx) -> dict[str, float]:
    names = ("market.crash_limit", "market.suspension_seconds", "market.reinstatement_microcredits")
    stored = {row["name"]: row["value"] for row in find_all(tx, parameter, order_by="name", name=names)}
    return {name: float(stored.get(name, DEFAULTS[name])) for name in names}


def _next(counts: AgentCounts) -> JsonObject | None:
    step = next_step(counts)
    return None if step is None else {"standing": str(step.standing), "verified_jobs": step.verified_jobs}


def _suspension(row: Row, limits: dict[str, float]) -> JsonObject:
    since_us = row["suspended_at_us"]
    wait_us = seconds(limits["market.suspension_seconds"])
    return {
        "since": at(since_us),
        "may_return_at": at(None if since_us is None else since_us + wait_us),
        "stake_microcredits": int(limits["market.reinstatement_microcredits"]),
    }


def _bond(tx: Tx, agent_id: int) -> int:
    held = find(tx, account, owner=f"bond:{agent_id}")
    return int(held["balance"]) if held else 0


def _appeal(tx: Tx, agent_id: int) -> JsonObject | None:
    """Return the newest appeal; its reason stays with the operators."""
    found = find_all(tx, review_item, kind=APPEAL, subject=f"agent:{agent_id}")
    if not found:
        return None
    last = found[-1]
    return {
        "item_id": last["id"],
        "opened_at": at(last["opened_at_us"]),
        "decided_at": at(last["closed_at_us"]),
    }


def _acts(tx: Tx, agent_id: int) -> list[JsonObject]:
    """Return the newest acts on the standing; their reasons stand in the ledger."""
    statement = (
        agent_outcome.select()
        .where(agent_outcome.c.agent_id == agent_id, agent_outcome.c.kind.in_(ACTS))
        .order_by(agent_outcome.c.id.desc())
        .limit(ACTS_SHOWN)
    )
    return [{"kind": row["kind"], "at": at(row["recorded_at_us"])} for row in rows(tx, statement)]
