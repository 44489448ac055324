"""Money: every transfer balances, each hold is resolved once, nothing is half done when funds are short."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from services.domain.errors import ConflictError, InsufficientFundsError
from services.domain.states import EscrowState
from services.operations import accounts
from services.operations.accounts import RESERVE, STAKE, TREASURY, agent_account
from services.store import market as stored
from services.store import sql, tables
from tests.plugins.platforms import RESERVE as PRICE
from tests.plugins.platforms import broken_books

GRANT = 100_000_000_000


@pytest.fixture
def books_balance(market):
    """Check after the test what must hold after every test."""
    yield
    with market.read() as tx:
        assert broken_books(tx) == []
        owners = sql.find_all(tx, tables.account)
    assert sum(row["balance"] for row in owners) == 0
    short = {row["owner"] for row in owners if row["balance"] < 0}
    assert short <= {TREASURY, "budget:issuer:microcredits"}


pytestmark = pytest.mark.usefixtures("books_balance")


@pytest.fixture
def task_id(market, requester):
    return market.post(requester)


def act(market, verb, **arguments):
    with market.write() as tx:
        return verb(tx, **arguments)


def keep_books(market, verb, **arguments):
    """Do one thing to the books in a transaction of its own, the task held as the market's verbs hold it."""
    with market.write() as tx:
        stored.locked_tasks(tx, [arguments["task_id"]])
        owners = [arguments[name] for name in ("source", "to") if name in arguments]
        books = accounts.open_books(tx, owners, task_ids=[arguments["task_id"]])
        getattr(books, verb)(**arguments)
        books.write()


def move(market, debit, credit, amount):
    return act(market, accounts.move, kind="test", debit=debit, credit=credit, amount_microcredits=amount)


def hold(market, task_id, source, amount, number=1):
    keep_books(
        market, "hold", task_id=task_id, purpose=STAKE, attempt_number=number, source=source,
        amount_microcredits=amount,
    )  # fmt: skip


def test_a_transfer_moves_money_and_writes_both_sides(market, requester, worker):
    move(market, agent_account(requester), agent_account(worker), 30)
    assert (market.balance(requester), market.balance(worker)) == (GRANT - 30, GRANT + 30)
    owners = {row["id"]: row["owner"] for row in market.rows(tables.account)}
    transfer = market.rows(tables.transfer)[-1]
    sides = [owners[transfer[f"{side}_account_id"]] for side in ("debit", "credit")]
    assert (sides, transfer["amount"]) == ([agent_account(requester), agent_account(worker)], 30)


def test_nothing_to_move_is_no_transfer(market, requester, worker):
    before = len(market.rows(tables.transfer))
    move(market, agent_account(requester), agent_account(worker), 0)
    assert len(market.rows(tables.transfer)) == before


def test_a_floor_is_a_floor(market, requester, worker):
    before = len(market.rows(tables.transfer))
    with pytest.raises(InsufficientFundsError) as refusal:
        move(market, agent_account(requester), agent_account(worker), GRANT + 1)
    assert refusal.value.arguments == {
        "account": agent_account(requester),
        "amount_microcredits": GRANT + 1,
    }
    assert (market.balance(requester), market.balance(worker)) == (GRANT, GRANT)
    assert len(market.rows(tables.transfer)) == before


def test_only_the_treasury_goes_below_zero(market, requester):
    minted = market.balance(TREASURY)
    move(market, TREASURY, agent_account(requester), 10)
    assert market.balance(TREASURY) == minted - 10 < 0
    overdrawn = [row["owner"] for row in market.rows(tables.account) if row["is_overdraft_allowed"]]
    assert overdrawn == [TREASURY]


def test_money_to_nobody_is_not_taken_from_somebody(market, requester):
    with pytest.raises(LookupError, match="agent:999"):
        move(market, agent_account(requester), "agent:999", 10)
    assert market.balance(requester) == GRANT


def test_holding_pays_the_winner_and_returns_the_rest(market, requester, worker, task_id):
    assert market.balance(requester) == GRANT - PRICE
    keep_books(
        market, "pay", task_id=task_id, purpose=RESERVE, attempt_number=0,
        to=agent_account(worker), amount_microcredits=400_000,
    )  # fmt: skip
    assert market.balance(worker) == GRANT + 400_000
    assert market.balance(requester) == GRANT - 400_000
    assert market.row(tables.escrow, task_id=task_id)["state"] == EscrowState.PAID


def test_more_than_is_held_is_not_paid(market, worker, task_id):
    with pytest.raises(InsufficientFundsError, match="holds 1000000"):
        keep_books(
            market, "pay", task_id=task_id, purpose=RESERVE, attempt_number=0,
            to=agent_account(worker), amount_microcredits=PRICE + 1,
        )  # fmt: skip
    assert market.row(tables.escrow, task_id=task_id)["state"] == EscrowState.HELD


def test_a_stake_that_is_lost_goes_to_the_treasury(market, worker, task_id):
    before = market.balance(TREASURY)
    hold(market, task_id, agent_account(worker), 50_000)
    keep_books(market, "forfeit", task_id=task_id, purpose=STAKE, attempt_number=1)
    assert market.balance(TREASURY) == before + 50_000
    assert market.balance(worker) == GRANT - 50_000


@pytest.mark.parametrize("first", ["pay", "give_back", "forfeit"])
@pytest.mark.parametrize("second", ["pay", "give_back", "forfeit"])
def test_a_hold_is_resolved_exactly_once(market, worker, task_id, first, second):
    def resolve(verb):
        more = {"to": agent_account(worker), "amount_microcredits": 1} if verb == "pay" else {}
        keep_books(market, verb, task_id=task_id, purpose=RESERVE, attempt_number=0, **more)

    resolve(first)
    with pytest.raises(ConflictError, match="is not held"):
        resolve(second)


def test_a_hold_nobody_made_is_not_resolved(market, task_id):
    with pytest.raises(ConflictError, match="the stake of task"):
        keep_books(market, "forfeit", task_id=task_id, purpose=STAKE, attempt_number=1)


def test_a_hold_without_funds_leaves_nothing(market, worker, task_id):
    with pytest.raises(InsufficientFundsError):
        hold(market, task_id, agent_account(worker), GRANT + 1)
    with pytest.raises(InsufficientFundsError, match="has no account"):
        hold(market, task_id, "agent:999", 1)
    assert market.rows(tables.escrow, purpose=STAKE) == []


def test_an_account_is_opened_once(market, requester):
    act(market, accounts.open_account, owner=agent_account(requester))
    assert market.balance(requester) == GRANT
    assert market.balance("nobody") == 0


def test_thirty_two_callers_cannot_spend_more_than_there_is(market, task_id):
    """Reserve-first spends exactly 100 where check-then-add spends more."""
    with market.write() as tx:
        accounts.open_account(tx, "poor")
        accounts.move(tx, kind="test", debit=TREASURY, credit="poor", amount_microcredits=100)

    def spend(number):
        try:
            hold(market, task_id, "poor", 7, number)
        except InsufficientFundsError:
            return 0
        return 7

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(spend, range(1, 33))) == 98
    assert market.balance("poor") == 2


def test_paying_and_holding_at_the_same_time_do_not_block_each_other_for_good(market, requester, worker):
    """Money flows both ways between the same two accounts through escrow: a lock order is kept."""
    tasks = [market.post(requester) for _ in range(12)]

    def pay_or_hold(number):
        if number % 2:
            hold(market, tasks[0], agent_account(worker), 1_000, number)
            return
        keep_books(
            market, "pay", task_id=tasks[number // 2], purpose=RESERVE, attempt_number=0,
            to=agent_account(worker), amount_microcredits=1,
        )  # fmt: skip

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(pay_or_hold, range(24)))
    assert market.balance(worker) == GRANT + 12 - 12 * 1_000
