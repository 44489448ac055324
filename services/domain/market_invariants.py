"""The market's invariants, recounted from plain rows: what must be true of every task at any instant.

Stands beside the market (L4), under the watchdog and the proofs. It recounts by other code than the market's
own: it knows rows and the pure award rule, and nothing of the verbs that wrote the rows. It never mends.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from services.domain.clock import SECOND_US, to_rfc3339
from services.domain.states import (
    TASK_ENDS,
    AttemptState,
    EndReason,
    EscrowState,
    OutcomeKind,
    TaskKind,
    TaskState,
)

Row = Mapping[str, Any]

RESERVE: Final = "reserve"
STAKE: Final = "stake"

AT_WORK: Final = {TaskState.LEASED: AttemptState.LEASED, TaskState.SUBMITTED: AttemptState.SUBMITTED}
"""States of a task in which one attempt is live, with the state of that attempt."""
STAKED: Final = (TaskState.AWARDED, *AT_WORK)
"""States in which the winner's stake is held."""
MOVES: Final[Mapping[TaskState, frozenset[TaskState]]] = {
    TaskState.BIDDING: frozenset({TaskState.AWARDED, TaskState.CANCELLED, TaskState.EXPIRED}),
    TaskState.AWARDED: frozenset(
        {TaskState.LEASED, TaskState.BIDDING, TaskState.FAILED, TaskState.CANCELLED}
    ),
    TaskState.LEASED: frozenset(
        {TaskState.SUBMITTED, TaskState.BIDDING, TaskState.FAILED, TaskState.CANCELLED}
    ),
    TaskState.SUBMITTED: frozenset(
        {TaskState.SETTLED, TaskState.BIDDING, TaskState.FAILED, TaskState.CANCELLED}
    ),
    **{state: frozenset() for state in TASK_ENDS},
}
"""The diagram: where each state may lead in one move."""
COUNTED: Final = {
    AttemptState.VERIFIED: OutcomeKind.VERIFIED,
    AttemptState.LAPSED: OutcomeKind.CRASHED,
}
"""What an attempt's end is in its agent's record; a failed one counts when the failure was the agent's, a
lapsed one unless it is excused (`EndReason.PLATFORM_AWAY`)."""
OWN_FAILURES: Final = frozenset(
    {EndReason.TIMED_OUT, EndReason.VERIFICATION_FAILED, EndReason.AGENT_ERROR, EndReason.NOT_SUPPORTED}
)


AWAY_US: Final = 20 * SECOND_US
"""Two sweeps of the market further apart than this mean that the platform was away in between."""


@dataclass(frozen=True, slots=True, order=True)
class Breach:
    """One invariant that does not hold: its name, what it does not hold of, and how."""

    invariant: str
    subject: str
    detail: str

    def __str__(self) -> str:
        """Return all three as one line."""
        return f"{self.invariant} {self.subject}: {self.detail}"


@dataclass(frozen=True, slots=True)
class TaskRules:
    """Times that the rows are held to, in microseconds.

    seen_at_us: a task is overdue when its deadline and its grace had passed by then. lease_grace_us: added to
    a lease before it is taken away. deadline_grace_us: work that was leased in time may end so late.
    """

    seen_at_us: int
    lease_grace_us: int
    deadline_grace_us: int


@dataclass(frozen=True, slots=True)
class Purses:
    """Ids of the accounts through which the money of tasks flows."""

    escrow_id: int
    treasury_id: int
    by_agent: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class TaskLife:
    """A task's row and everything that happened to it; awards and attempts in the order of their numbers.

    sweeps: by id of an attempt that was excused, the instants at which the market was swept: the last one
    before its lease and those up to its end. An attempt whose sweeps are no longer kept is not in it.
    """

    task: Row
    bids: Sequence[Row] = ()
    awards: Sequence[Row] = ()
    attempts: Sequence[Row] = ()
    holds: Sequence[Row] = ()
    transfers: Sequence[Row] = ()
    outcomes: Sequence[Row] = ()
    sweeps: Mapping[int, Sequence[int]] = field(default_factory=dict)

    @property
    def state(self) -> TaskState:
        """Return the task's state."""
        return TaskState(self.task["state"])

    @property
    def award(self) -> Row | None:
        """Return the award of the task's present attempt, or None."""
        number = self.task["attempt_count"]
        return next((row for row in self.awards if row["attempt_number"] == number), None)


Recompute = Callable[[Row, Row], tuple[int, int] | None]
"""(award, task) → (agent id, price) that the rule picks from what the award recorded; None for nobody."""
Told = Iterator[tuple[str, str]]


def check_life(life: TaskLife, rules: TaskRules, purses: Purses, recompute: Recompute) -> list[Breach]:
    """Return every breach of A1 to A8 and M5 that one task's rows show."""
    subject = f"task {life.task['id']}"
    found = (
        *check_awards(life, recompute),
        *check_bids(life),
        *check_attempts(life, rules),
        *check_excuses(life, rules),
        *check_state(life),
        *check_end(life, rules),
        *check_outcomes(life),
        *check_holds(life),
        *check_flows(life, purses),
    )
    return [Breach(invariant, subject, detail) for invariant, detail in found]


def check_awards(life: TaskLife, recompute: Recompute) -> Told:
    """A1: one award for each attempt. A2: the one that the rule picks from the bids and the seed recorded."""
    task = life.task
    numbers = [row["attempt_number"] for row in life.awards]
    expected = list(range(1, task["attempt_count"] + 1))
    if numbers != expected:
        yield "A1", f"the awards are numbered {numbers}, not {expected}"
    asks = {row["agent_id"]: row for row in life.bids}
    tried: set[int] = set()
    for award in life.awards:
        place = f"award {award['id']}"
        for bid in award["inputs"]["bids"]:
            placed = asks.get(bid["agent_id"])
            if placed is None or placed["ask_microcredits"] != bid["ask_microcredits"]:
                yield "A2", f"{place} recorded a bid of agent {bid['agent_id']} that was never placed so"
            elif placed["placed_at_us"] > award["awarded_at_us"]:
                yield "A3", f"{place} was decided on bid {placed['id']}, which came later"
        yield from _passed_over(life, award, place)
        picked = recompute(award, task)
        if picked != (award["agent_id"], award["price_microcredits"]):
            given = (award["agent_id"], award["price_microcredits"])
            yield "A2", f"{place} says (agent, price) {given}, the rule picks {picked}"
        if award["price_microcredits"] > task["reserve_price_microcredits"]:
            yield "A2", f"{place} pays more than the reserve price"
        if award["agent_id"] in tried:
            yield "A1", f"{place} went to an agent that had been tried before"
        tried.add(award["agent_id"])


def _passed_over(life: TaskLife, award: Row, place: str) -> Told:
    """A2: every bid that was there is among what the award judged or left out for a reason."""
    inputs = award["inputs"]
    if "excluded" not in inputs:
        return
    seen = {one["agent_id"] for one in (*inputs["bids"], *inputs["excluded"])}
    for bid in life.bids:
        if bid["placed_at_us"] < award["awarded_at_us"] and bid["agent_id"] not in seen:
            yield "A2", f"{place} passed over bid {bid['id']} of agent {bid['agent_id']}"


def check_bids(life: TaskLife) -> Told:
    """A3: no bid after the window closed, none before the task was posted, none on one's own task."""
    for bid in life.bids:
        if not life.task["posted_at_us"] <= bid["placed_at_us"] < life.task["bids_close_at_us"]:
            at, closed = to_rfc3339(bid["placed_at_us"]), to_rfc3339(life.task["bids_close_at_us"])
            yield "A3", f"bid {bid['id']} came at {at}, the window closed at {closed}"
        if bid["agent_id"] == life.task["requester_id"]:
            yield "A3", f"bid {bid['id']} is the requester's own"


def check_attempts(life: TaskLife, rules: TaskRules) -> Told:
    """A4: one live lease. A5: work in was that of the award's agent, in time. A8: taken once."""
    live = [row for row in life.attempts if row["state"] in AT_WORK.values()]
    expected = [AT_WORK[life.state]] if life.state in AT_WORK else []
    if [row["state"] for row in live] != expected:
        yield "A4", f"it is {life.state}, its live attempts are {[str(row['state']) for row in live]}"
    verified = [row["id"] for row in life.attempts if row["state"] == AttemptState.VERIFIED]
    if len(verified) > 1:
        yield "A8", f"attempts {verified} were all verified"
    winners = {row["attempt_number"]: row for row in life.awards}
    newest = max((row["number"] for row in life.attempts), default=0)
    for row in life.attempts:
        place = f"attempt {row['id']}"
        award = winners.get(row["number"])
        if award is None or award["agent_id"] != row["agent_id"]:
            yield "A5", f"{place} is of agent {row['agent_id']}, to whom number {row['number']} never went"
        if row["number"] < newest and row["state"] in (*AT_WORK.values(), AttemptState.VERIFIED):
            yield "A5", f"{place} is {row['state']}, and a later attempt was made"
        if row["submitted_at_us"] is None:
            if row["state"] in (AttemptState.SUBMITTED, AttemptState.VERIFIED):
                yield "A8", f"{place} is {row['state']}, and nothing was handed in"
        elif not row["leased_at_us"] <= row["submitted_at_us"] <= latest_us(row, rules):
            yield "A5", f"{place} was taken at {to_rfc3339(row['submitted_at_us'])}, outside its lease"


def check_excuses(life: TaskLife, rules: TaskRules) -> Told:
    """A8: only a lapsed attempt is excused, and only where the platform was away when its time ran out.

    Sweeps are kept for some days; of what is older nothing can be told, and nothing is.
    """
    for row in life.attempts:
        if row["reason"] != EndReason.PLATFORM_AWAY:
            continue
        place = f"attempt {row['id']}"
        if row["state"] != AttemptState.LAPSED or row["submitted_at_us"] is not None:
            yield "A8", f"{place} is {row['state']}, and excused as if it had run out of time"
        sweeps = life.sweeps.get(row["id"])
        if sweeps is not None and not was_away(row, sweeps, rules):
            yield "A8", f"{place} is excused, and the platform was there all the time"


def was_away(attempt: Row, sweeps: Sequence[int], rules: TaskRules) -> bool:
    """Tell whether a gap between two sweeps covers the end of the time allowed; sweeps rise."""
    first_us, last_us = int(attempt["leased_at_us"]), int(attempt["allowed_until_us"])
    return any(
        until_us - from_us > AWAY_US
        and first_us < until_us
        and from_us < last_us + rules.lease_grace_us
        and last_us <= until_us
        for from_us, until_us in pairwise(sweeps)
    )


def latest_us(attempt: Row, rules: TaskRules) -> int:
    """Return the last instant at which this attempt's result may be taken."""
    return int(attempt["allowed_until_us"]) + rules.lease_grace_us


def check_state(life: TaskLife) -> Told:
    """A6: what the diagram demands of a task in its state."""
    task, count = life.task, len(life.attempts)
    is_over = life.state in TASK_ENDS
    if not is_over == (task["ended_at_us"] is not None) == (task["end_reason"] is not None):
        yield "A6", f"it is {life.state}, ended at {task['ended_at_us']} for reason {task['end_reason']}"
    if not 0 <= task["attempt_count"] <= task["maximum_attempts"]:
        yield "A6", f"{task['attempt_count']} attempts of {task['maximum_attempts']} were made"
    if life.state in STAKED and (life.award is None or life.award["agent_id"] != task["awarded_agent_id"]):
        yield "A6", f"it is {life.state} to agent {task['awarded_agent_id']}, who did not win it"
    if life.state is TaskState.BIDDING and task["awarded_agent_id"] is not None:
        yield "A6", f"it takes bids, and agent {task['awarded_agent_id']} is down as its winner"
    if life.state in (TaskState.BIDDING, TaskState.AWARDED):
        expected = task["attempt_count"] - (life.state is TaskState.AWARDED)
        if count != expected:
            yield "A6", f"it is {life.state} for the {task['attempt_count']}. time after {count} attempts"
    is_verified = any(row["state"] == AttemptState.VERIFIED for row in life.attempts)
    if is_verified != (life.state is TaskState.SETTLED):
        yield "A6", f"it is {life.state}, and an attempt {'was' if is_verified else 'was not'} verified"
    if (task["end_reason"] == EndReason.VERIFIED) != (life.state is TaskState.SETTLED):
        yield "A6", f"it is {life.state} for the reason {task['end_reason']}"
    yield from _check_pay(life)


def _check_pay(life: TaskLife) -> Told:
    """A6: the price is paid for verified work, and for nothing else."""
    paid, price = life.task["paid_microcredits"] or 0, life.award["price_microcredits"] if life.award else 0
    if paid != (price if life.state is TaskState.SETTLED else 0):
        yield "A6", f"it is {life.state}, its price is {price}, and {paid} was paid"


def check_end(life: TaskLife, rules: TaskRules) -> Told:
    """A7: it has ended once its deadline and the grace after it have passed.

    An investigation whose result is in ends with the lap that it began.
    """
    if life.task["kind"] == TaskKind.META and life.state is TaskState.SUBMITTED:
        return
    due_us = life.task["deadline_at_us"] + rules.deadline_grace_us
    if life.state not in TASK_ENDS and due_us < rules.seen_at_us:
        yield "A7", f"it is {life.state}, and its deadline was {to_rfc3339(life.task['deadline_at_us'])}"


def check_outcomes(life: TaskLife) -> Told:
    """A8: each attempt that ended counts once in its agent's record, as what it was."""
    found = Counter((row["attempt_number"], row["agent_id"], row["kind"]) for row in life.outcomes)
    expected: Counter[tuple[int, int, str]] = Counter()
    for row in life.attempts:
        is_excused = row["reason"] == EndReason.PLATFORM_AWAY
        kind: OutcomeKind | None = None if is_excused else COUNTED.get(row["state"])
        if row["state"] == AttemptState.FAILED and row["reason"] in OWN_FAILURES:
            kind = OutcomeKind.FAILED
        if kind is not None:
            expected[row["number"], row["agent_id"], kind] += 1
    for entry in sorted((found - expected) + (expected - found)):
        number, agent_id, told = entry
        yield "A8", f"attempt {number} of agent {agent_id} is recorded {found[entry]} times as {told}"


def check_holds(life: TaskLife) -> Told:
    """M5: the reserve is held until the task ends, a stake until its attempt ends; then each is resolved."""
    reserve = {(RESERVE, 0): life.task["reserve_price_microcredits"]}
    stakes = {(STAKE, row["attempt_number"]): row["stake_microcredits"] for row in life.awards}
    amounts = {(row["purpose"], row["attempt_number"]): row["amount"] for row in life.holds}
    if amounts != reserve | stakes or len(amounts) != len(life.holds):
        yield "M5", f"it holds or held {amounts}, not {reserve | stakes}"
    is_over = life.state in TASK_ENDS
    for row in life.holds:
        is_current = row["purpose"] == STAKE and row["attempt_number"] == life.task["attempt_count"]
        is_due = not is_over if row["purpose"] == RESERVE else is_current and life.state in STAKED
        if (row["state"] == EscrowState.HELD) != is_due:
            yield "M5", f"hold {row['id']} ({row['purpose']}) is {row['state']} while it is {life.state}"
    for row in life.holds:
        allowed = _resolutions(life, row)
        if row["state"] not in allowed:
            wanted = " or ".join(str(state) for state in allowed)
            yield "M5", f"hold {row['id']} ({row['purpose']}) is {row['state']}, not {wanted}"


def _resolutions(life: TaskLife, hold: Row) -> tuple[EscrowState, ...]:
    """Return the states in which this hold may be."""
    held = (EscrowState.HELD,)
    if hold["purpose"] == RESERVE:
        if life.state is TaskState.SETTLED:
            return (EscrowState.PAID,)
        if life.state is TaskState.CANCELLED and life.award is not None:
            return (EscrowState.RETURNED, EscrowState.PAID)
        return (EscrowState.RETURNED,) if life.state in TASK_ENDS else held
    attempt = next((row for row in life.attempts if row["number"] == hold["attempt_number"]), None)
    if attempt is None:
        return held if life.state is TaskState.AWARDED else (EscrowState.RETURNED,)
    if attempt["state"] in AT_WORK.values():
        return held
    if attempt["state"] == AttemptState.VERIFIED or attempt["reason"] == EndReason.PLATFORM_AWAY:
        return (EscrowState.RETURNED,)
    is_lost = attempt["state"] == AttemptState.LAPSED or attempt["reason"] in OWN_FAILURES
    return (EscrowState.FORFEITED,) if is_lost else (EscrowState.RETURNED,)


def check_flows(life: TaskLife, purses: Purses) -> Told:
    """M5: into escrow went each hold once, out of it each resolved one once, to whom its state says."""
    into: Counter[int] = Counter()
    out: Counter[int] = Counter()
    for row in life.transfers:
        if row["credit_account_id"] == purses.escrow_id:
            into[row["debit_account_id"]] += row["amount"]
        if row["debit_account_id"] == purses.escrow_id:
            out[row["credit_account_id"]] += row["amount"]
    held: Counter[int] = Counter()
    for row in life.holds:
        held[row["source_account_id"]] += row["amount"]
    winner = purses.by_agent.get(life.award["agent_id"], 0) if life.award else 0
    due = _due(life, purses, winner)
    for found, expected, way in ((into, held, "into"), (out, due, "out of")):
        for account_id in sorted(set(found) | set(expected)):
            if found[account_id] != expected[account_id]:
                detail = f"{found[account_id]} of account {account_id} went {way} escrow"
                yield "M5", f"{detail}, not {expected[account_id]}"


def _due(life: TaskLife, purses: Purses, winner: int) -> Counter[int]:
    """Return what each account is due from the holds that are resolved; `winner` is an account."""
    due: Counter[int] = Counter()
    for row in life.holds:
        if row["state"] == EscrowState.RETURNED:
            due[row["source_account_id"]] += row["amount"]
        elif row["state"] == EscrowState.FORFEITED:
            due[purses.treasury_id] += row["amount"]
        elif row["state"] == EscrowState.PAID:
            paid = _paid(life)
            due[winner] += paid
            due[row["source_account_id"]] += row["amount"] - paid
    return due


def _paid(life: TaskLife) -> int:
    """Return what the winner is due from the reserve: the price, or a fee when the task was taken back.

    The fee is what was paid as one, at most the price, and no less than it once a result was in.
    """
    price = int(life.award["price_microcredits"]) if life.award else 0
    if life.state is not TaskState.CANCELLED or any(
        row["number"] == life.task["attempt_count"] and row["submitted_at_us"] is not None
        for row in life.attempts
    ):
        return price
    return min(price, sum(int(row["amount"]) for row in life.transfers if row["kind"] == "pay"))


def lives(
    tasks: Iterable[Row],
    parts: Mapping[str, Iterable[Row]],
    sweeps: Mapping[int, Sequence[int]] | None = None,
) -> list[TaskLife]:
    """Return the tasks with their parts (`bids`, `awards`, …), in the order in which they come."""
    by_task: dict[str, dict[int, list[Row]]] = {}
    for name, rows in parts.items():
        grouped = by_task.setdefault(name, {})
        for row in rows:
            grouped.setdefault(row["task_id"], []).append(row)
    return [
        TaskLife(
            task,
            **{name: grouped.get(task["id"], ()) for name, grouped in by_task.items()},
            sweeps=sweeps or {},
        )
        for task in tasks
    ]
