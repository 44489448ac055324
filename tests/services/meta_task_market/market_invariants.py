"""The market's invariants (design page, M1 to A8, S1), recounted from the rows by other code.

`check` raises AssertionError naming the invariant; it may be called between any two acts of any history.
"""

from collections import Counter, defaultdict

from services.domain.auction import SealedBid, decide_award
from services.domain.states import TASK_ENDS, AttemptState, EndReason, EscrowState, TaskState
from services.store import sql, tables
from services.store.tx import Store, Tx

COUNTED = {
    EndReason.VERIFIED,
    EndReason.VERIFICATION_FAILED,
    EndReason.TIMED_OUT,
    EndReason.AGENT_ERROR,
    EndReason.LEASE_LAPSED,
}
LIVE_ATTEMPT = {TaskState.LEASED: AttemptState.LEASED, TaskState.SUBMITTED: AttemptState.SUBMITTED}


def check(store: Store) -> None:
    """Check every invariant that can be read off the rows at one instant."""
    with store.read() as tx:
        tasks = {row["id"]: row for row in sql.find_all(tx, tables.task)}
        attempts = sql.find_all(tx, tables.attempt)
        check_money(tx, tasks)
        check_attempts(tasks, attempts)
        check_awards(tx, tasks)
        check_records(tx, attempts)


def check_money(tx: Tx, tasks) -> None:
    accounts = {row["id"]: row for row in sql.find_all(tx, tables.account)}
    sums: dict[int, int] = defaultdict(int)
    booked: dict[int, int] = defaultdict(int)
    for entry in sql.find_all(tx, tables.journal_entry):
        sums[entry["transfer_id"]] += entry["amount_microcredits"]
        booked[entry["account_id"]] += entry["amount_microcredits"]
    assert not any(sums.values()), "M1: a transfer does not balance"
    for row in accounts.values():
        assert row["balance_microcredits"] == booked[row["id"]], f"M2: {row['owner']} is misstated"
        floor_holds = row["is_overdraft_allowed"] or row["balance_microcredits"] >= 0
        assert floor_holds, f"M3: {row['owner']} is under its floor"
    assert sum(row["balance_microcredits"] for row in accounts.values()) == 0, "M2: money came from nowhere"
    escrow = next(row for row in accounts.values() if row["owner"] == "escrow")
    held = [row for row in sql.find_all(tx, tables.escrow) if row["state"] == EscrowState.HELD]
    assert escrow["balance_microcredits"] == sum(row["amount_microcredits"] for row in held), "M4"
    expected = Counter()
    for task in tasks.values():
        if task["state"] not in TASK_ENDS:
            expected[task["id"], "reserve", 0] = 1
        if task["state"] in (TaskState.AWARDED, *LIVE_ATTEMPT):
            expected[task["id"], "stake", task["attempt_count"]] = 1
    found = Counter((row["task_id"], row["purpose"], row["attempt_number"]) for row in held)
    assert found == expected, "M5: a hold outlived its task, or went too soon"


def check_attempts(tasks, attempts) -> None:
    live = defaultdict(list)
    for row in attempts:
        if row["state"] in LIVE_ATTEMPT.values():
            live[row["task_id"]].append(row["state"])
    for task in tasks.values():
        expected = [LIVE_ATTEMPT[task["state"]]] if task["state"] in LIVE_ATTEMPT else []
        assert live[task["id"]] == expected, f"A4: task {task['id']} is {task['state']}, not as its attempts"
        is_over = task["state"] in TASK_ENDS
        assert is_over == (task["ended_at_us"] is not None) == (task["end_reason"] is not None), "A6"
        assert task["attempt_count"] <= task["maximum_attempts"], "A6: too many attempts"


def check_awards(tx: Tx, tasks) -> None:
    placed = defaultdict(set)
    for bid in sql.find_all(tx, tables.bid):
        placed[bid["task_id"]].add((bid["agent_id"], bid["ask_microcredits"]))
        assert bid["agent_id"] != tasks[bid["task_id"]]["requester_id"], "a bid on one's own task"
    for award in sql.find_all(tx, tables.award):
        bids = [
            SealedBid(**{name: value for name, value in bid.items() if name not in ("theta", "score")})
            for bid in award["inputs"]["bids"]
        ]
        task = tasks[award["task_id"]]
        again = decide_award(
            bids,
            value_microcredits=task["reserve_price_microcredits"],
            stake_microcredits=award["stake_microcredits"],
            seed=award["seed"],
            cooling=award["inputs"]["cooling"],
        )
        assert again is not None, "A2"
        assert (again.agent_id, again.price_microcredits) == (
            award["agent_id"],
            award["price_microcredits"],
        ), "A2: the award is not what the rule picks from the recorded bids"
        assert {(bid.agent_id, bid.ask_microcredits) for bid in bids} <= placed[award["task_id"]], "A2"
        assert award["price_microcredits"] <= task["reserve_price_microcredits"]
    for task in tasks.values():
        paid = task["paid_microcredits"] or 0
        assert (paid > 0) == (task["state"] == TaskState.SETTLED), "pay without verified success"


def check_records(tx: Tx, attempts) -> None:
    settled = Counter(row["agent_id"] for row in attempts if row["reason"] in COUNTED)
    verified = Counter(row["agent_id"] for row in attempts if row["state"] == AttemptState.VERIFIED)
    for agent in sql.find_all(tx, tables.agent):
        counted = (settled[agent["id"]], verified[agent["id"]])
        assert (agent["settled_jobs"], agent["verified_jobs"]) == counted, "S1: standing is not the fold"
