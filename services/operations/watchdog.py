"""The watchdog: recounts the market's invariants from its rows, in production and in every proof.

Stands beside the layers, run by the cron registry and by `nacre market check`. It knows rows and pure rules
only, never the market's own verbs or books: what is checked must not check itself. A breach goes to the
review queue, once; it never mends anything.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from services.domain.account_invariants import (
    AgentLife,
    Totals,
    check_agent,
    check_budgets,
    check_totals,
)
from services.domain.auction import LABELS, AwardTerms, SealedBid, decide_award
from services.domain.clock import MINUTE_US, seconds
from services.domain.market_invariants import Breach, Purses, Row, TaskLife, TaskRules, check_life, lives
from services.domain.reputation import StandingRules
from services.domain.states import EndReason
from services.operations import metric_watchdog, production_config
from services.operations.breaches import KIND, tell
from services.store import invariants
from services.store.tx import Tx

__all__ = ["BOOK_WATCH", "KIND", "TASK_WATCH", "audit_books", "check_all", "tell", "watch_tasks"]

TASK_WATCH: Final = "market_watchdog"
BOOK_WATCH: Final = "books_audit"
ESCROW: Final = "escrow"
TREASURY: Final = "treasury"

CHUNK: Final = 500
"""Tasks that are held in memory at a time."""
FEED_ROWS: Final = {"transfer": 5_000, "award": 1_000, "attempt": 1_000}
"""New rows of each table that one run of the task watch takes up: about 1,000 tasks, 0.4 s of work."""
LOOK_BACK_BIDS: Final = 1_000
BID_IDS: Final = 100_000
OVERDUE: Final = 100
SWEEP_US: Final = MINUTE_US
"""Added to a task's grace: the sweep that ends it comes round within this time."""
AUDITED_OUTCOMES: Final = 50_000
"""Outcomes that one audit folds at most (always those of one agent)."""
AUDITED_AGENTS: Final = 200
LAME_SHOWN: Final = 20
RULES: Final = {label: rule for rule, label in LABELS.items()}
EARLIER_RULE: Final = "cooled-thompson-second-score"
"""The label of awards that were made before their inputs told everything; they cannot be recomputed."""


def check_all(tx: Tx, *, seen_at_us: int | None = None) -> Iterator[Breach]:
    """Yield every breach that the rows of the whole market show; `tx` sees one instant.

    A task is overdue when it was so at `seen_at_us` (by default now), the last time that somebody looked.
    Cost: linear in everything there is; memory: one chunk of tasks or the record of one agent.
    """
    yield from check_books(tx)
    yield from metric_watchdog.check_all(tx)
    rules, task_id = task_rules(tx, tx.now_us if seen_at_us is None else seen_at_us), 0
    while found := invariants.task_ids_after(tx, task_id, CHUNK):
        yield from check_tasks(tx, found, rules)
        task_id = found[-1]
    agent_id = 0
    while found := invariants.agent_ids_after(tx, agent_id, CHUNK):
        yield from check_agents(tx, found)
        agent_id = found[-1]


def watch_tasks(tx: Tx) -> dict[str, object]:
    """Check the tasks that something happened to since the last run; bounded cost.

    Keeps its marks in the tick's answer. A run looks back to where the run before the last one ended, so
    that a row committed late is not passed over. A task is overdue when it was so at the last run already.
    """
    invariants.hold_snapshot(tx)
    before = invariants.last_result(tx, TASK_WATCH)
    marks, touched = _touched(tx, before.get("marks", {}))
    first_bid = int(before.get("bid_mark", 0))
    seen_at_us = int(before.get("at_us", 0))
    rules = task_rules(tx, seen_at_us)
    touched.update(invariants.tasks_with_late_bids(tx, first_bid, BID_IDS))
    due_us = rules.seen_at_us - rules.deadline_grace_us
    touched.update(invariants.overdue_tasks(tx, due_us, OVERDUE))
    found: list[Breach] = []
    for chunk in _chunks(sorted(touched)):
        found += check_tasks(tx, chunk, rules)
    told = tell(tx, found)
    highest = invariants.highest_bid(tx)
    return {
        "tasks": len(touched),
        "breaches": len(found),
        "opened": told,
        "marks": marks,
        "bid_mark": max(first_bid, min(first_bid + BID_IDS, highest) - LOOK_BACK_BIDS),
        "at_us": tx.now_us,
    }


def audit_books(tx: Tx) -> dict[str, object]:
    """Check all sums of money, and the agents whose record grew since the last run."""
    invariants.hold_snapshot(tx)
    before = invariants.last_result(tx, BOOK_WATCH)
    found = list(check_books(tx))
    mark = int(before.get("outcome_mark", 0))
    rows = invariants.outcomes_after(tx, mark, AUDITED_OUTCOMES)
    last_agent = int(before.get("agent_mark", 0))
    patrol = invariants.agent_ids_after(tx, last_agent, AUDITED_AGENTS // 4)
    grown = dict.fromkeys(row["agent_id"] for row in rows)
    agents = list(dict.fromkeys([*islice(grown, AUDITED_AGENTS), *patrol]))
    found += check_agents(tx, agents, outcomes_limit=AUDITED_OUTCOMES)
    return {
        "agents": len(agents),
        "breaches": len(found),
        "opened": tell(tx, found),
        "outcome_mark": rows[-1]["id"] if rows else mark,
        "agent_mark": patrol[-1] if patrol else 0,
    }


def check_books(tx: Tx) -> Iterator[Breach]:
    """Yield every breach of M1 to M4 and of B1."""
    totals = Totals(
        invariants.accounts_with_sums(tx),
        invariants.lame_transfers(tx, LAME_SHOWN),
        invariants.held_total(tx),
    )
    yield from check_totals(totals, ESCROW)
    yield from check_budgets(invariants.budgets_with_parts(tx), invariants.unlike_holds(tx, LAME_SHOWN))


def check_tasks(tx: Tx, task_ids: Sequence[int], rules: TaskRules) -> list[Breach]:
    """Return every breach of A1 to A8 and M5 by these tasks."""
    tasks, parts = invariants.tasks_of(tx, task_ids)
    agents = {row["agent_id"] for row in parts["awards"]}
    owners = {f"agent:{number}": number for number in agents}
    ids = invariants.account_ids(tx, (ESCROW, TREASURY, *owners))
    by_agent = {number: ids[owner] for owner, number in owners.items() if owner in ids}
    purses = Purses(ids.get(ESCROW, 0), ids.get(TREASURY, 0), by_agent)
    found: list[Breach] = []
    for life in lives(tasks, parts, _sweeps(tx, parts["attempts"])):
        found += _checked(life, rules, purses)
    return found


def _sweeps(tx: Tx, attempts: Iterable[Row]) -> dict[int, list[int]]:
    """Return by excused attempt when the market was swept meanwhile, as far as that is still known."""
    found: dict[int, list[int]] = {}
    for row in attempts:
        if row["reason"] == EndReason.PLATFORM_AWAY:
            sweeps = invariants.sweeps_of(tx, row["leased_at_us"], row["ended_at_us"] or tx.now_us)
            if sweeps is not None:
                found[row["id"]] = sweeps
    return found


def _checked(life: TaskLife, rules: TaskRules, purses: Purses) -> list[Breach]:
    """Check one task; rows that cannot even be read are a breach, not an error."""
    try:
        return check_life(life, rules, purses, recomputed)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        return [Breach("A6", f"task {life.task['id']}", f"its rows cannot be read: {error!r}")]


def recomputed(award: Row, task: Row) -> tuple[int, int] | None:
    """Return (agent id, price) that the award rule picks from what the award recorded (A2)."""
    if award["rule"] == EARLIER_RULE:
        return award["agent_id"], award["price_microcredits"]
    inputs: Mapping[str, Any] = award["inputs"]
    names = SealedBid.__dataclass_fields__
    bids = [SealedBid(**{name: bid[name] for name in names}) for bid in inputs["bids"]]
    terms = AwardTerms(
        rule=RULES[award["rule"]],
        value_microcredits=task["reserve_price_microcredits"],
        stake_microcredits=award["stake_microcredits"],
        seed=award["seed"],
        cooling=inputs["cooling"],
        quantile=inputs["quantile"],
        entrant_rate=inputs["entrant_rate"],
        entry_jobs=inputs["entry_jobs"],
        is_entry_full=inputs["is_entry_full"],
    )
    decision = decide_award(bids, terms)
    return None if decision is None else (decision.agent_id, decision.price_microcredits)


def check_agents(tx: Tx, agent_ids: Sequence[int], *, outcomes_limit: int | None = None) -> list[Breach]:
    """Return every breach of S1 and W1 by these agents, until so many outcomes were folded."""
    found: list[Breach] = []
    rules = standing_rules(tx)
    bids = invariants.open_bids(tx, agent_ids)
    folded = 0
    for row in invariants.agents_of(tx, agent_ids):
        if outcomes_limit is not None and folded and folded + row["settled_jobs"] > outcomes_limit:
            break
        outcomes, records, counterparties = invariants.record_of(tx, row["id"])
        folded += len(outcomes)
        life = AgentLife(row, outcomes, records, counterparties, bids.get(row["id"], 0))
        found += check_agent(life, rules)
    return found


def task_rules(tx: Tx, seen_at_us: int) -> TaskRules:
    """Return the times in force that tasks are held to; overdue is what was so at `seen_at_us`."""
    lease, grace = (
        seconds(production_config.number(tx, f"market.{name}_seconds"))
        for name in ("lease_grace", "deadline_grace")
    )
    return TaskRules(seen_at_us, lease, 2 * grace + SWEEP_US)


def standing_rules(tx: Tx) -> StandingRules:
    """Return the limits in force that the fold of outcomes reads."""
    names = ("market.crash_limit", "market.counterparty_jobs", "market.entry_jobs")
    limits = production_config.numbers(tx, names)
    return StandingRules(int(limits[names[0]]), limits[names[1]], int(limits[names[2]]))


def _touched(tx: Tx, marks: Mapping[str, Sequence[int]]) -> tuple[dict[str, list[int]], set[int]]:
    """Return the marks for the next run, and the tasks of the rows after the present ones.

    A mark is a pair: where to begin, and how far the last run came. Behind the newest rows there is nothing
    to look back for.
    """
    after: dict[str, list[int]] = {}
    touched: set[int] = set()
    for feed in invariants.FEEDS:
        start, end = marks.get(feed, (0, 0))
        rows = invariants.fed(tx, feed, start, FEED_ROWS[feed])
        touched.update(row["task_id"] for row in rows if row["task_id"] is not None)
        reached = rows[-1]["id"] if rows else start
        is_behind = len(rows) == FEED_ROWS[feed]
        after[feed] = [reached if is_behind else min(max(end, start), reached), max(end, reached)]
    return after, touched


def _chunks(task_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(task_ids), CHUNK):
        yield task_ids[start : start + CHUNK]
