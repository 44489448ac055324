"""Invariants of accounts, budgets and agents, recounted from plain rows and sums.

Stands beside `market_invariants`, under the watchdog and the proofs: what is kept as a running figure (a
balance, a record, a count) must be what its history adds up to. It never mends a figure.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.domain.market_invariants import Breach, Row
from services.domain.reputation import AgentCounts, AgentState, Outcome, StandingRules, refold
from services.domain.states import OutcomeKind

FLOAT_ERROR: Final = 1e-9
"""Relative error at which two weights count as the same."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all the money there is.

    accounts: every account's row with `booked`, what its transfers add up to. lame_transfers: ids of those
    that move nothing, move to where they come from, or turn one unit into another. held: what the open holds
    add up to, in the unit of the account `escrow`.
    """

    accounts: Sequence[Row]
    lame_transfers: Sequence[int]
    held: int


@dataclass(frozen=True, slots=True)
class AgentLife:
    """An agent's row, its outcomes in the order of their ids, and what else is kept of it.

    records and counterparties: its rows in those tables. open_bids: its bids on tasks that still take bids.
    """

    agent: Row
    outcomes: Sequence[Row]
    records: Sequence[Row]
    counterparties: Sequence[Row]
    open_bids: int


def check_totals(totals: Totals, escrow_owner: str) -> list[Breach]:
    """Return every breach of M1 to M4."""
    found = [
        Breach("M1", f"transfer {number}", "what one side gives is not what the other gets")
        for number in totals.lame_transfers
    ]
    sums: Counter[str] = Counter()
    for row in totals.accounts:
        balance, booked = row["balance"], row["booked"]
        sums[row["unit"]] += balance
        if balance != booked:
            detail = f"its balance is {balance}, its transfers add up to {booked}"
            found.append(Breach("M2", f"account {row['owner']}", detail))
        if balance < 0 and not row["is_overdraft_allowed"]:
            found.append(Breach("M3", f"account {row['owner']}", f"its balance is {balance}"))
        if row["owner"] == escrow_owner and balance != totals.held:
            detail = f"its balance is {balance}, the open holds add up to {totals.held}"
            found.append(Breach("M4", f"account {row['owner']}", detail))
    found += [
        Breach("M2", f"unit {unit}", f"all balances together are {total}, not 0")
        for unit, total in sorted(sums.items())
        if total
    ]
    return found


def check_agent(life: AgentLife, rules: StandingRules) -> list[Breach]:
    """Return every breach of S1 and of W1 by what is kept of one agent."""
    subject = f"agent {life.agent['id']}"
    outcomes = [
        Outcome(OutcomeKind(row["kind"]), row["task_type"], row["requester_id"], row["confidence_percent"])
        for row in life.outcomes
    ]
    folded = refold(outcomes, rules, is_vouched=life.agent["is_vouched"])
    found = [Breach("S1", subject, detail) for detail in _unlike_counts(life.agent, folded)]
    found += [Breach("S1", subject, detail) for detail in _unlike_records(life.records, folded)]
    found += [Breach("S1", subject, detail) for detail in _unlike_evidence(life.counterparties, folded)]
    if life.agent["open_bids"] != life.open_bids:
        detail = f"{life.agent['open_bids']} open bids are kept, there are {life.open_bids}"
        found.append(Breach("W1", subject, detail))
    return found


def _unlike_counts(agent: Row, folded: AgentState) -> Iterator[str]:
    for name in AgentCounts.__dataclass_fields__:
        kept, expected = agent[name], getattr(folded, name)
        if not is_alike(kept, expected):
            yield f"its {name} is {kept}, its outcomes fold to {expected}"


def _unlike_records(rows: Sequence[Row], folded: AgentState) -> Iterator[str]:
    kept = {row["task_type"]: row for row in rows}
    names = ("success_weight", "failure_weight", "jobs", "verified")
    for task_type in sorted({*kept, *folded.records}):
        row, record = kept.get(task_type), folded.records.get(task_type)
        given = None if row is None else [row[name] for name in names]
        expected = None if record is None else [getattr(record, name) for name in names]
        if not are_alike(given, expected):
            yield f"its record for {task_type} is {given}, its outcomes fold to {expected}"


def _unlike_evidence(rows: Sequence[Row], folded: AgentState) -> Iterator[str]:
    kept = {(row["task_type"], row["requester_id"]): [row["weight"], row["at_job"]] for row in rows}
    expected = {key: [found.weight, found.at_job] for key, found in folded.counterparties.items()}
    for key in sorted({*kept, *expected}):
        if not are_alike(kept.get(key), expected.get(key)):
            task_type, requester_id = key
            place = f"its evidence of {task_type} from agent {requester_id}"
            yield f"{place} is {kept.get(key)}, its outcomes fold to {expected.get(key)}"


def are_alike(kept: Sequence[Any] | None, expected: Sequence[Any] | None) -> bool:
    """Tell whether two rows of figures are the same up to the rounding of floats."""
    if kept is None or expected is None:
        return kept is expected
    return all(is_alike(one, other) for one, other in zip(kept, expected, strict=True))


def is_alike(kept: Any, expected: Any) -> bool:
    """Tell whether two figures are the same up to the rounding of floats."""
    if isinstance(expected, float):
        return math.isclose(kept, expected, rel_tol=FLOAT_ERROR, abs_tol=FLOAT_ERROR)
    return bool(kept == expected)


def check_budgets(budgets: Sequence[Row], unlike_holds: Sequence[Row]) -> list[Breach]:
    """B1: in every scope, what is spent and reserved stays within the cap, and holds say what is reserved.

    budgets: rows of (id, name, cap, free, reserved, spent, held), the last what its open holds add up to.
    unlike_holds: parts of holds whose state or amount is not their hold's.
    """
    found = []
    for row in budgets:
        subject = f"budget {row['name']}"
        used = row["reserved"] + row["spent"]
        if used > row["cap"] or min(row["free"], row["reserved"], row["spent"]) < 0:
            detail = f"{row['spent']} spent, {row['reserved']} reserved, {row['free']} free"
            found.append(Breach("B1", subject, f"{detail}, and its cap is {row['cap']}"))
        elif used + row["free"] != row["cap"]:
            detail = f"what is used and free adds up to {used + row['free']}"
            found.append(Breach("B1", subject, f"{detail}, its cap is {row['cap']}"))
        if row["reserved"] != row["held"]:
            detail = f"{row['reserved']} is reserved, its open holds add up to {row['held']}"
            found.append(Breach("B1", subject, detail))
    found += [
        Breach(
            "B1", f"budget hold {row['id']}", f"it is {row['state']} ({row['amount']}), a part of it is not"
        )
        for row in unlike_holds
    ]
    return found
