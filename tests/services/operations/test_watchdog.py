"""The watchdog recounts the market by other code: each planted difference is found, named, and told once."""

import ast
import sqlite3
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.domain.budget import Resource
from services.domain.states import EndReason
from services.operations import budget_governor, watchdog
from services.operations.budget_governor import HoldTerms
from services.store import invariants, sql, tables
from services.store.tx import Tx
from tests.architecture.source_tree import ROOT
from tests.services.meta_task_market import market_invariants

DAY_SECONDS = 24 * 3_600
EVERY_INVARIANT = {
    *("M1", "M2", "M3", "M4", "M5"),
    *("A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8"),
    *("B1", "S1", "W1"),
}


@pytest.fixture
def lived(market):
    """A market in which everything has happened once: settled, refused, retried, lapsed, taken back, open."""
    requester, stranger = market.agent(), market.agent(is_vouched=False)
    workers = [market.agent() for _ in range(3)]
    for number in range(4):
        market.done(requester, workers[number % 3], is_good=number != 2)
    market.done(stranger, workers[0])
    market.cancel(market.post(requester), requester)
    market.cancel(market.awarded(requester, workers[1]), requester)
    failed = market.awarded(requester, workers[1])
    market.submit(
        workers[1], failed, market.lease(workers[1], failed).fencing_token, failed=EndReason.AGENT_ERROR
    )
    silent = market.awarded(requester, workers[2])
    market.lease(workers[2], silent)
    market.pass_seconds(400)
    market.expire()
    market.deliver()
    market.settled = market.done(requester, workers[0])
    market.submitted = market.awarded(requester, workers[1])
    market.submit(
        workers[1], market.submitted, market.lease(workers[1], market.submitted).fencing_token, is_good=True
    )
    market.leased = market.awarded(requester, workers[2])
    market.lease(workers[2], market.leased)
    market.open = market.post(requester)
    market.bid(workers[0], market.open)
    market.worker = workers[0]
    with market.write() as tx:
        budget_governor.hold(tx, HoldTerms(workers[0], Resource.TOKENS, 40))
        spent = budget_governor.hold(tx, HoldTerms(workers[1], Resource.TOKENS, 30))
        budget_governor.settle(tx, spent.hold_id, agent_id=workers[1], amount=20)
    assert market_invariants.breaches(market.platform.store) == []
    return market


@contextmanager
def spoilt(market, statement, *, is_kept=True):
    """Change rows behind the platform's back, past every rule of the database; yield the connection."""
    filled = statement.format(
        worker=market.worker,
        settled=market.settled,
        submitted=market.submitted,
        leased=market.leased,
        open=market.open,
    )
    with market.platform.store.engine.connect() as connection:
        raw = connection.connection.driver_connection
        if isinstance(raw, sqlite3.Connection):
            raw.execute("PRAGMA foreign_keys=OFF")
            raw.execute("PRAGMA ignore_check_constraints=ON")
        connection.exec_driver_sql(filled)
        if is_kept:
            connection.commit()
        yield connection
        connection.rollback()
        if isinstance(raw, sqlite3.Connection):
            raw.execute("PRAGMA foreign_keys=ON")
            raw.execute("PRAGMA ignore_check_constraints=OFF")


def copied(table, columns):
    """Return the statement that repeats a settled task's row under a new id."""
    rows = f"SELECT 99999, {columns} FROM {table} WHERE task_id = {{settled}}"
    return f"INSERT INTO {table} (id, {columns}) {rows}"


PLANTED = {
    "a transfer turns one unit into another": (
        "M1",
        "UPDATE account SET unit = 'tokens' WHERE owner = 'agent:{worker}'",
    ),
    "a balance grew by itself": (
        "M2",
        "UPDATE account SET balance = balance + 7 WHERE owner = 'agent:{worker}'",
    ),
    "money came from nowhere": ("M2", "UPDATE account SET balance = balance + 7 WHERE owner = 'treasury'"),
    "an account is under its floor": ("M3", "UPDATE account SET balance = -1 WHERE owner = 'agent:{worker}'"),
    "escrow is not the sum of the holds": (
        "M4",
        "UPDATE escrow SET amount = amount + 1 WHERE task_id = {open}",
    ),
    "a hold went too soon": ("M5", "UPDATE escrow SET state = 'returned' WHERE task_id = {leased}"),
    "a hold outlived its task": ("M5", "UPDATE escrow SET state = 'held' WHERE task_id = {settled}"),
    "a winner was paid twice": (
        "M5",
        copied("transfer", "kind, task_id, debit_account_id, credit_account_id, amount, created_at_us")
        + " AND kind = 'pay'",
    ),
    "a hold has no transfer": ("M5", "DELETE FROM transfer WHERE task_id = {open}"),
    "a lost stake was given back": ("M5", "UPDATE escrow SET state = 'returned' WHERE state = 'forfeited'"),
    "an award is missing": ("A1", "DELETE FROM award WHERE task_id = {settled}"),
    "an award counts for another attempt": (
        "A1",
        "UPDATE award SET attempt_number = 4 WHERE task_id = {leased}",
    ),
    "the price is not the rule's": (
        "A2",
        "UPDATE award SET price_microcredits = price_microcredits - 1 WHERE task_id = {settled}",
    ),
    "the winner is not the rule's": (
        "A2",
        "UPDATE award SET agent_id = agent_id - 1 WHERE task_id = {leased}",
    ),
    "the ask was another one": (
        "A2",
        "UPDATE bid SET ask_microcredits = ask_microcredits - 1 WHERE task_id = {settled}",
    ),
    "a bid came after the window": (
        "A3",
        "UPDATE bid SET placed_at_us = placed_at_us + 999999999999 WHERE task_id = {settled}",
    ),
    "a bid is the requester's own": ("A3", "UPDATE task SET requester_id = {worker} WHERE id = {open}"),
    "two leases are live": ("A4", "UPDATE attempt SET state = 'leased' WHERE state = 'lapsed'"),
    "the lease is gone": ("A4", "UPDATE attempt SET state = 'lapsed' WHERE task_id = {leased}"),
    "a result came outside its lease": (
        "A5",
        "UPDATE attempt SET submitted_at_us = allowed_until_us + 99000000 WHERE task_id = {settled}",
    ),
    "a result is another agent's": (
        "A5",
        "UPDATE attempt SET agent_id = agent_id - 1 WHERE task_id = {submitted}",
    ),
    "an ended task was opened again": ("A6", "UPDATE task SET state = 'bidding' WHERE id = {settled}"),
    "pay without verified work": ("A6", "UPDATE task SET paid_microcredits = 5 WHERE id = {open}"),
    "too many attempts": ("A6", "UPDATE task SET maximum_attempts = 0 WHERE id = {settled}"),
    "a task did not end": ("A7", "UPDATE task SET deadline_at_us = 1000 WHERE id = {submitted}"),
    "a result was verified, and never came": (
        "A8",
        "UPDATE attempt SET submitted_at_us = NULL WHERE task_id = {settled}",
    ),
    "a result counts twice": (
        "A8",
        copied("agent_outcome", "agent_id, kind, task_id, attempt_number, task_type, recorded_at_us"),
    ),
    "a budget is over its cap": ("B1", "UPDATE budget SET cap = 3"),
    "a budget has more than its cap": ("B1", "UPDATE budget SET cap = cap + 1"),
    "a budget's hold is gone": ("B1", "UPDATE escrow SET amount = 1 WHERE budget_hold_id IS NOT NULL"),
    "a budget's hold was resolved in part": (
        "B1",
        "UPDATE escrow SET state = 'paid' WHERE budget_hold_id IS NOT NULL",
    ),
    "a standing nobody earned": ("S1", "UPDATE agent SET standing = 'full' WHERE id = {worker}"),
    "a job too many": ("S1", "UPDATE agent SET settled_jobs = settled_jobs + 1 WHERE id = {worker}"),
    "a record is better than its outcomes": (
        "S1",
        "UPDATE agent_record SET success_weight = success_weight + 1 WHERE agent_id = {worker}",
    ),
    "evidence beyond the cap": ("S1", "UPDATE agent_counterparty SET weight = 9"),
    "open bids are miscounted": ("W1", "UPDATE agent SET open_bids = open_bids + 1 WHERE id = {worker}"),
}


def test_each_planted_difference_is_found_and_named(lived):
    missed = {}
    for what, (name, statement) in PLANTED.items():
        with spoilt(lived, statement, is_kept=False) as connection:
            tx = Tx(connection, lived.platform.store.clock.now_us(), "test", None, {})
            found = {breach.invariant for breach in watchdog.check_all(tx)}
        if name not in found:
            missed[what] = (name, found)
    assert missed == {}
    assert market_invariants.breaches(lived.platform.store) == [], "nothing of it was kept"
    assert {name for name, _ in PLANTED.values()} == EVERY_INVARIANT


def watch(market, job=watchdog.watch_tasks, name=watchdog.TASK_WATCH):
    """Run one tick of a watch as the cron runner does, and keep its answer with the tick."""
    with market.write(f"system:{name}") as tx:
        result = job(tx)
        sql.insert(
            tx, tables.cron_tick, job=name, due_at_us=tx.now_us, claimed_by="test", state="done", priority=1,
            budget_us=1, started_at_us=tx.now_us, ended_at_us=tx.now_us, result=result,
        )  # fmt: skip
    market.pass_seconds(60)
    return result


def items(market):
    return [
        (row["subject"], row["context"]["invariant"])
        for row in market.rows(tables.review_item, kind=watchdog.KIND)
    ]


def test_the_task_watch_sees_only_what_is_new_and_tells_a_difference_once(lived):
    first = watch(lived)
    assert (first["breaches"], first["tasks"]) == (0, len(lived.rows(tables.task)))
    watch(lived)
    assert watch(lived)["tasks"] == 0
    with spoilt(lived, "UPDATE award SET seed = 'ff', price_microcredits = 3 WHERE task_id = {leased}"):
        assert watch(lived)["tasks"] == 0, "nothing has happened to it"
        lived.cancel(lived.leased, None)
        assert watch(lived)["opened"] == 1
        assert items(lived) == [(f"A2 task {lived.leased}", "A2")]
        assert watch(lived)["opened"] == 0
        assert len(items(lived)) == 1


def test_the_task_watch_sees_a_task_that_does_not_end(lived):
    watch(lived)
    with spoilt(lived, "UPDATE task SET deadline_at_us = 1000 WHERE id = {submitted}"):
        watch(lived)
        assert (f"A7 task {lived.submitted}", "A7") in items(lived)


def test_after_a_pause_of_the_platform_nothing_is_called_overdue_before_the_sweep_could_run(lived):
    watch(lived)
    lived.pass_seconds(3 * DAY_SECONDS)
    assert watch(lived)["breaches"] == 0
    assert watch(lived)["breaches"] > 0, "by now it could have run"
    lived.expire()
    lived.deliver()


def test_the_task_watch_sees_a_late_bid_by_itself(lived):
    watch(lived)
    late = "UPDATE bid SET placed_at_us = placed_at_us + 999999999999 WHERE task_id = {open}"
    with spoilt(lived, late):
        watch(lived)
        assert (f"A3 task {lived.open}", "A3") in items(lived)


def test_the_task_watch_takes_up_a_long_history_bit_by_bit(lived, monkeypatch):
    monkeypatch.setattr(watchdog, "FEED_ROWS", dict.fromkeys(watchdog.FEED_ROWS, 4))
    seen = [watch(lived)["tasks"] for _ in range(40)]
    assert max(seen) <= 12
    assert seen[-1] == 0, "it has caught up"
    with lived.read() as tx:
        marks = invariants.last_result(tx, watchdog.TASK_WATCH)["marks"]
    assert all(start == end for start, end in marks.values())


def test_the_audit_tells_each_difference_of_the_books_once(lived):
    assert watch(lived, watchdog.audit_books, watchdog.BOOK_WATCH)["breaches"] == 0
    with spoilt(lived, "UPDATE account SET balance = balance + 7 WHERE owner = 'agent:{worker}'"):
        assert watch(lived, watchdog.audit_books, watchdog.BOOK_WATCH)["opened"] == 2
        assert watch(lived, watchdog.audit_books, watchdog.BOOK_WATCH)["opened"] == 0
        with lived.write("operator") as tx:
            sql.update(tx, tables.review_item, {"kind": watchdog.KIND}, closed_at_us=tx.now_us)
        assert watch(lived, watchdog.audit_books, watchdog.BOOK_WATCH)["opened"] == 0, "it is the same one"
    with spoilt(lived, "UPDATE account SET balance = balance + 1 WHERE owner = 'agent:{worker}'"):
        assert watch(lived, watchdog.audit_books, watchdog.BOOK_WATCH)["opened"] == 2, "this one is new"


def test_the_audit_folds_the_agents_whose_record_grew(lived):
    watch(lived, watchdog.audit_books, watchdog.BOOK_WATCH)
    assert watch(lived, watchdog.audit_books, watchdog.BOOK_WATCH)["agents"] <= len(lived.rows(tables.agent))
    with spoilt(lived, "UPDATE agent SET brier_sum = brier_sum + 1 WHERE id = {worker}"):
        watch(lived, watchdog.audit_books, watchdog.BOOK_WATCH)
        watch(lived, watchdog.audit_books, watchdog.BOOK_WATCH)
        assert (f"S1 agent {lived.worker}", "S1") in items(lived)


def test_what_checks_the_market_imports_nothing_of_it():
    checked = {
        "services.meta_task_market",
        "services.operations.accounts",
        "services.store.market",
        "services.store.money",
    }
    for name in (
        "services/operations/watchdog.py",
        "services/store/invariants.py",
        "services/domain/market_invariants.py",
        "services/domain/account_invariants.py",
    ):
        tree = ast.parse(Path(ROOT, name).read_text(encoding="utf-8"))
        found = {
            f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert not {one for one in found for forbidden in checked if f"{one}.".startswith(f"{forbidden}.")}
