"""Statements add up: opening, transfers, totals, closing, the live balance, on any page in either order."""

import itertools

import pytest

from services.domain.clock import to_rfc3339
from services.domain.errors import InvalidValueError
from services.operations import accounts, budget_governor
from services.store import tables
from services.store.views import money

GRANT = 100_000_000_000


@pytest.fixture
def busy(market, requester, worker):
    """A market in which work was verified, refused, cancelled and is still open: (requester, worker)."""
    for is_good in (True, False, True):
        market.pass_seconds(10)
        market.done(requester, worker, is_good=is_good)
    market.cancel(market.post(requester), requester)
    market.awarded(requester, worker)
    market.done(worker, requester)
    return requester, worker


def statement(market, owner, **asked):
    with market.read() as tx:
        return money.statement(tx, owner, **asked)


def pages(market, owner, **asked):
    """Return every item of a statement, page by page."""
    items, cursor = [], None
    while True:
        page = statement(market, owner, cursor=cursor, **asked)
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items


def recount(market, owner):
    """Return (signed amounts by transfer id, counterparties) by plain Python over the rows."""
    kept = {row["id"]: row["owner"] for row in market.rows(tables.account)}
    mine = next(number for number, name in kept.items() if name == owner)
    found = {}
    for row in market.rows(tables.transfer):
        if row["credit_account_id"] == mine:
            found[row["id"]] = (row["amount"], kept[row["debit_account_id"]], row["kind"])
        if row["debit_account_id"] == mine:
            found[row["id"]] = (-row["amount"], kept[row["credit_account_id"]], row["kind"])
    return found


@pytest.mark.parametrize("oldest_first", [True, False])
@pytest.mark.parametrize("limit", [1, 3, 500])
@pytest.mark.parametrize("who", ["requester", "worker", "treasury", "escrow"])
def test_every_figure_adds_up(market, busy, who, limit, oldest_first):
    owner = {"requester": f"agent:{busy[0]}", "worker": f"agent:{busy[1]}"}.get(who, who)
    expected = recount(market, owner)
    told = statement(market, owner)
    items = pages(market, owner, limit=limit, oldest_first=oldest_first)
    in_order = items if oldest_first else items[::-1]
    assert [row["transfer_id"] for row in in_order] == sorted(expected)
    balance = 0
    for row in in_order:
        amount, counterparty, kind = expected[row["transfer_id"]]
        balance += amount
        assert (row["amount_microcredits"], row["counterparty"], row["kind"]) == (amount, counterparty, kind)
        assert row["balance_microcredits"] == balance
    assert told["opening_balance_microcredits"] == 0
    assert told["closing_balance_microcredits"] == balance == market.balance(owner)
    assert told["live_balance_microcredits"] == balance
    for total in told["totals"]:
        mine = [amount for amount, _, kind in expected.values() if kind == total["kind"]]
        assert total["transfers"] == len(mine)
        assert total["received_microcredits"] == sum(amount for amount in mine if amount > 0)
        assert total["paid_microcredits"] == -sum(amount for amount in mine if amount < 0)
        assert total["net_microcredits"] == sum(mine)
    assert {total["kind"] for total in told["totals"]} == {kind for *_, kind in expected.values()}


def test_periods_join_without_gap_or_overlap(market, busy):
    owner = f"agent:{busy[1]}"
    instants = sorted({row["created_at_us"] for row in market.rows(tables.transfer)})
    edges = [None, *instants[1::2], None]
    balance, seen = 0, []
    for begins, ends in itertools.pairwise(edges):
        part = statement(market, owner, from_us=begins, to_us=ends, oldest_first=True, limit=500)
        assert part["opening_balance_microcredits"] == balance
        balance = part["closing_balance_microcredits"]
        assert part["items"] == [] or part["items"][-1]["balance_microcredits"] == balance
        assert part["from"] == (None if begins is None else to_rfc3339(begins))
        seen += [row["transfer_id"] for row in part["items"]]
    assert seen == sorted(recount(market, owner))
    assert balance == market.balance(owner)


def test_an_end_before_the_beginning_is_refused(market, requester):
    with pytest.raises(InvalidValueError, match="ends after it begins") as refused:
        statement(market, f"agent:{requester}", from_us=10, to_us=9)
    assert refused.value.field == "query.to"


def test_nobody_has_no_statement(market):
    assert statement(market, "agent:999") is None


def test_an_empty_period_opens_and_closes_alike(market, requester):
    now_us = market.platform.store.clock.now_us()
    told = statement(market, f"agent:{requester}", from_us=now_us + 1)
    assert (told["opening_balance_microcredits"], told["closing_balance_microcredits"]) == (GRANT, GRANT)
    assert (told["items"], told["totals"], told["next_cursor"]) == ([], [], None)


@pytest.mark.parametrize("text", ["agent:{}", "{}", "agent_0"])
def test_an_account_is_found_by_what_people_write(market, requester, text):
    with market.read() as tx:
        assert money.find_account(tx, text.format(requester)) == f"agent:{requester}"
        assert money.find_account(tx, "treasury") == "treasury"
        assert money.find_account(tx, "nobody") is None
        assert money.find_account(tx, "9" * 90) is None


def test_accounts_are_listed_apart_from_those_of_budgets(market, requester):
    with market.write() as tx:
        budget_governor.PostingBudgets(tx, [(requester, None)]).write()
    with market.read() as tx:
        plain = money.list_accounts(tx, limit=500)["items"]
        of_budgets = money.list_accounts(tx, budgets=True, limit=500)["items"]
        assert money.find_account(tx, of_budgets[0]["account"]) is None
    balances = {row["account"]: row["balance"] for row in plain}
    assert set(balances) == {accounts.TREASURY, accounts.ESCROW, f"agent:{requester}"}
    assert balances[f"agent:{requester}"] == GRANT
    assert [row["floor"] for row in plain if row["account"] == "treasury"] == [None]
    assert sum(row["balance"] for row in of_budgets) == 0
    assert {row["account"].partition(":")[0] for row in of_budgets} == {"budget"}
