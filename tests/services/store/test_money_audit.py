"""The audit finds nothing in sound books and names whatever is written into them by hand."""

import pytest
from sqlalchemy import text

from services.domain.budget import Resource
from services.operations import budget_governor
from services.operations.budget_governor import HoldTerms
from services.store import tables
from services.store.views.money_audit import CHECKS, audit_money

HOLD = "(SELECT min(id) FROM budget_hold)"
FREE = "(SELECT min(id) FROM account WHERE owner LIKE 'budget%free')"
GRANT_MORE = """
UPDATE transfer SET amount = amount + 1
WHERE kind = 'grant' AND credit_account_id = (SELECT id FROM account WHERE owner = 'agent:1')
"""
PAY_TWICE = """
INSERT INTO transfer (kind, task_id, debit_account_id, credit_account_id, amount, created_at_us)
SELECT kind, task_id, debit_account_id, credit_account_id, amount, created_at_us
FROM transfer WHERE kind = 'pay'
"""
SETTLE_TOO = f"""
INSERT INTO transfer (kind, budget_hold_id, debit_account_id, credit_account_id, amount, created_at_us)
SELECT 'budget_settle', budget_hold_id, credit_account_id, debit_account_id, amount, created_at_us
FROM transfer WHERE budget_hold_id = {HOLD}
"""

SPOILINGS = [
    ("M1", "UPDATE account SET unit = 'tokens' WHERE owner = 'escrow'", "moves 1000000 from agent:"),
    ("M2", "UPDATE account SET balance = balance + 5 WHERE owner = 'agent:1'", "agent:1 says"),
    ("M2", "UPDATE account SET balance = balance + 5 WHERE owner = 'treasury'", "the treasury is short of"),
    ("M2", GRANT_MORE, "all other accounts hold"),
    ("M3", "UPDATE account SET balance = -1 WHERE owner = 'agent:1'", "agent:1 stands at -1"),
    ("M3", "UPDATE account SET is_overdraft_allowed = true WHERE owner = 'agent:1'", "may be overdrawn"),
    ("M4", "UPDATE account SET balance = balance - 1 WHERE owner = 'escrow'", "escrow stands at"),
    ("M4", "UPDATE escrow SET state = 'held' WHERE purpose = 'reserve'", "open holds add up to"),
    ("M5", "UPDATE escrow SET state = 'held' WHERE purpose = 'reserve' AND state = 'paid'", "more came out"),
    ("M5", "UPDATE escrow SET state = 'returned' WHERE state = 'held' AND task_id IS NOT NULL", "task "),
    ("M5", PAY_TWICE, "more came out than was resolved"),
    ("M5", f"UPDATE budget_hold SET state = 'voided' WHERE id = {HOLD}", "is voided, a part is held"),
    ("M5", SETTLE_TOO, "budget hold "),
    ("B1", "UPDATE budget SET cap = 1", "transfers add up to"),
    ("B1", f"UPDATE account SET balance = balance + 1 WHERE id = {FREE} + 1", "transfers add up to"),
    ("B1", "DELETE FROM escrow WHERE budget_hold_id IS NOT NULL", "are reserved, open holds say 0"),
    ("B1", "UPDATE transfer SET amount = 1 WHERE kind = 'budget_cap'", "exceed the cap 1"),
]  # fmt: skip


@pytest.fixture
def lived(market, requester, worker):
    """Books with settled, open and failed work, and budgets with open and settled holds."""
    market.done(requester, worker)
    market.done(requester, worker, is_good=False)
    market.awarded(requester, worker)
    for amount in (None, 40):
        with market.write() as tx:
            held = budget_governor.hold(tx, HoldTerms(worker, Resource.TOKENS, 100))
            if amount is not None:
                budget_governor.settle(tx, held.hold_id, agent_id=worker, amount=amount)
    return market


def audit(market):
    with market.read() as tx:
        return audit_money(tx)


def test_sound_books_pass_every_check(lived):
    found = audit(lived)
    assert found["ok"] is True
    assert [one["invariant"] for one in found["checks"]] == ["M1", "M2", "M3", "M4", "M5", "B1"]
    for one in found["checks"]:
        assert (one["ok"], one["differences"], one["differences_more"]) == (True, [], 0), one
        assert one["says"]
    counted = {one["invariant"]: one["checked"] for one in found["checks"]}
    accounts = len(lived.rows(tables.account))
    open_holds = [row for row in lived.rows(tables.escrow, state="held") if row["task_id"] is not None]
    assert counted == {
        "M1": len(lived.rows(tables.transfer)), "M2": accounts, "M3": accounts, "M4": len(open_holds),
        "M5": len(lived.rows(tables.escrow)), "B1": len(lived.rows(tables.budget)),
    }  # fmt: skip


def test_an_empty_platform_passes(market):
    assert audit(market)["ok"] is True


@pytest.mark.parametrize(("invariant", "spoiling", "told"), SPOILINGS)
def test_what_was_written_by_hand_is_named(lived, invariant, spoiling, told):
    with lived.write() as tx:
        assert tx.connection.execute(text(spoiling)).rowcount > 0
    found = audit(lived)
    assert found["ok"] is False
    check = next(one for one in found["checks"] if one["invariant"] == invariant)
    assert check["ok"] is False
    assert any(told in sentence for sentence in check["differences"]), check


def test_every_check_is_spoilt_by_some_test():
    assert {name for name, *_ in SPOILINGS} == {name for name, *_ in CHECKS}


def test_only_so_many_differences_are_told(lived):
    with lived.write() as tx:
        tx.connection.execute(text("UPDATE account SET balance = balance + 1"))
        for number in range(30):
            values = f"('extra:{number}', 'microcredits', 1, false)"
            tx.connection.execute(
                text(f"INSERT INTO account (owner, unit, balance, is_overdraft_allowed) VALUES {values}")
            )
    check = next(one for one in audit(lived)["checks"] if one["invariant"] == "M2")
    assert len(check["differences"]) == 20
    assert check["differences_more"] > 10
