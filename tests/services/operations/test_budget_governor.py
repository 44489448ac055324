"""Budgets: reserve, settle, void, expire, each once; in every scope at once or in none; never over a cap."""

import pytest

from services.domain.budget import DAY, Resource, breaches, parse_key, workflow_key
from services.domain.clock import DAY_US, to_rfc3339
from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError, NotFoundError
from services.domain.states import BudgetHoldState, EscrowState, TaskKind
from services.operations import accounts, budget_governor
from services.operations.budget_governor import HoldTerms, PostingBudgets
from services.store import budgets, sql, tables
from tests.plugins.platforms import broken_books

TOKENS = Resource.TOKENS
TASK_CAP, AGENT_CAP, WORKFLOW_CAP, DAY_CAP = 50_000, 200_000, 500_000, 2_000_000
NO_BUDGET = ("budget_exhausted", "body.reserve_price_microcredits")


@pytest.fixture(autouse=True)
def books_balance(market):
    """Check after the test what must hold after every test."""
    yield
    with market.read() as tx:
        assert breaches(budgets.all_lines(tx)) == []
        assert budgets.recounted(tx) == budgets.all_lines(tx)
        assert broken_books(tx) == []
        for row in sql.find_all(tx, tables.account):
            is_issuer = row["owner"].startswith(budgets.ISSUER)
            assert row["balance"] >= 0 or is_issuer or row["owner"] == accounts.TREASURY, row["owner"]


def hold(market, agent_id, amount, resource=TOKENS, **more):
    with market.write() as tx:
        return budget_governor.hold(tx, HoldTerms(agent_id, resource, amount, **more))


def settle(market, held, agent_id, amount):
    with market.write() as tx:
        return budget_governor.settle(tx, held.hold_id, agent_id=agent_id, amount=amount)


def void(market, held, agent_id):
    with market.write() as tx:
        return budget_governor.void(tx, held.hold_id, agent_id=agent_id)


def expire(market):
    with market.write() as tx:
        return budget_governor.expire_due(tx)


def set_limit(market, text, amount, resource=TOKENS, reason="needed"):
    with market.write("operator") as tx:
        return budget_governor.set_limit(tx, parse_key(text), resource, amount, reason=reason)


def line(market, text, resource=TOKENS):
    with market.read() as tx:
        return next(
            one for one in budget_governor.standing(tx, [parse_key(text)]) if one.resource is resource
        )


def figures(market, text, resource=TOKENS):
    """Return (cap, reserved, spent) of a budget."""
    found = line(market, text, resource)
    return found.cap, found.reserved, found.spent


def own_task(market, requester, worker, *, workflow=None, **terms):
    """Return a task that the worker has just won."""
    task_id = market.awarded(requester, worker, **terms)
    with market.write() as tx:
        sql.update(tx, tables.task, {"id": task_id}, workflow=workflow)
    return task_id


@pytest.fixture
def requester(market):
    """An agent of the owner acme, whose workflows its tasks are in."""
    return market.agent(owner="acme")


def post(market, *postings):
    """Take postings (requester, workflow, amount) from the budgets; return "taken", or why not, for each."""
    told = []
    with market.write() as tx:
        taken = PostingBudgets(tx, [(who, workflow) for who, workflow, _ in postings])
        for posting in postings:
            try:
                taken.require(*posting)
            except ConflictError as refused:
                told.append((refused.code, refused.field))
            else:
                taken.take(*posting)
                told.append("taken")
        taken.write()
    return told


def test_a_hold_is_taken_from_every_scope_that_applies(market, requester, worker):
    task_id = own_task(market, requester, worker, workflow="report")
    held = hold(market, worker, 1_000, task_id=task_id)
    scopes = [str(one.key) for one in held.lines]
    assert scopes == [f"task:{task_id}", f"agent:{worker}", "workflow:acme/report", "day"]
    caps = (TASK_CAP, AGENT_CAP, WORKFLOW_CAP, DAY_CAP)
    for scope, cap in zip(scopes, caps, strict=True):
        assert figures(market, scope) == (cap, 1_000, 0)
    settle(market, held, worker, 400)
    for scope, cap in zip(scopes, caps, strict=True):
        assert figures(market, scope) == (cap, 0, 400)
    states = {row["state"] for row in market.rows(tables.escrow, budget_hold_id=held.hold_id)}
    assert states == {EscrowState.PAID}


def test_all_or_nothing(market, requester, worker):
    task_id = own_task(market, requester, worker)
    set_limit(market, "day", 999)
    with pytest.raises(ConflictError) as refused:
        hold(market, worker, 1_000, task_id=task_id)
    assert refused.value.code == "budget_exhausted"
    now_us = market.platform.store.clock.now_us()
    assert refused.value.arguments == {
        "scope": "day",
        "budget": "day",
        "resource": "tokens",
        "cap": 999,
        "reserved": 0,
        "spent": 0,
        "free": 999,
        "renews_at": to_rfc3339((now_us // DAY_US + 1) * DAY_US),
    }
    assert figures(market, f"task:{task_id}") == (TASK_CAP, 0, 0)
    assert figures(market, f"agent:{worker}") == (AGENT_CAP, 0, 0)
    assert market.rows(tables.budget_hold) == []


def test_the_first_scope_that_is_exhausted_is_named(market, requester, worker):
    task_id = own_task(market, requester, worker)
    with pytest.raises(ConflictError, match=f"task:{task_id}.*never renewed") as refused:
        hold(market, worker, AGENT_CAP + 1, task_id=task_id)
    assert refused.value.arguments["renews_at"] is None
    with pytest.raises(ConflictError, match=f"agent:{worker}"):
        hold(market, worker, AGENT_CAP + 1)


def test_voiding_gives_all_back(market, worker):
    held = hold(market, worker, 700)
    assert void(market, held, worker).returned == 700
    assert figures(market, "day") == (DAY_CAP, 0, 0)


def test_more_than_was_held_is_not_settled(market, worker):
    held = hold(market, worker, 700)
    with pytest.raises(InvalidValueError) as refused:
        settle(market, held, worker, 701)
    assert (refused.value.field, refused.value.code) == ("amount", "more_than_held")
    assert refused.value.arguments == {"held": 700}
    settle(market, held, worker, 700)
    assert figures(market, "day") == (DAY_CAP, 0, 700)


@pytest.mark.parametrize("first", ["settle", "void", "expire"])
@pytest.mark.parametrize("second", ["settle", "void"])
def test_a_hold_is_resolved_exactly_once(market, worker, first, second):
    held = hold(market, worker, 10, expires_in_seconds=60)
    acts = {
        "settle": lambda: settle(market, held, worker, 4),
        "void": lambda: void(market, held, worker),
        "expire": lambda: (market.pass_seconds(60), expire(market)),
    }
    acts[first]()
    with pytest.raises(ConflictError) as refused:
        acts[second]()
    assert refused.value.code == "hold_resolved"
    assert figures(market, "day")[2] == (4 if first == "settle" else 0)
    assert expire(market) == {"expired": 0}


def test_a_hold_past_its_time_limit_is_not_settled_even_before_it_is_swept(market, worker):
    held = hold(market, worker, 10, expires_in_seconds=60)
    market.pass_seconds(59.999)
    assert expire(market) == {"expired": 0}
    market.pass_seconds(0.001)
    for act in (lambda: settle(market, held, worker, 1), lambda: void(market, held, worker)):
        with pytest.raises(ConflictError) as refused:
            act()
        assert refused.value.code == "hold_expired"
    assert expire(market) == {"expired": 1}
    assert figures(market, f"agent:{worker}") == (AGENT_CAP, 0, 0)
    assert market.row(tables.budget_hold, id=held.hold_id)["state"] == BudgetHoldState.EXPIRED


def test_the_time_limit_is_the_parameter_unless_it_is_named(market, worker):
    now_us = market.platform.store.clock.now_us()
    assert hold(market, worker, 1).expires_at_us == now_us + 900_000_000
    assert hold(market, worker, 1, expires_in_seconds=5).expires_at_us == now_us + 5_000_000
    for wrong in (0, 86_401):
        with pytest.raises(InvalidValueError, match="expires_in_seconds"):
            hold(market, worker, 1, expires_in_seconds=wrong)


@pytest.mark.parametrize("amount", [0, -1, 10**15 + 1])
def test_amounts_have_bounds(market, worker, amount):
    with pytest.raises(InvalidValueError) as refused:
        hold(market, worker, amount)
    assert refused.value.field == "amount"


def test_resources_are_counted_apart(market, worker):
    hold(market, worker, 10, Resource.MILLISECONDS)
    hold(market, worker, 20, Resource.MICROCREDITS)
    assert figures(market, "day", Resource.MILLISECONDS) == (86_400_000, 10, 0)
    assert figures(market, f"agent:{worker}", Resource.MICROCREDITS) == (10**11, 20, 0)
    assert figures(market, "day", Resource.MICROCREDITS) == (10**12, 0, 0)
    assert figures(market, "day") == (DAY_CAP, 0, 0)
    units = {row["unit"] for row in market.rows(tables.account) if row["owner"].startswith("budget:")}
    assert units == {"milliseconds", "microcredits"}


def test_a_day_ends_and_holds_of_the_day_before_go_back_where_they_came_from(market, worker):
    market.pass_seconds(1)
    held = hold(market, worker, AGENT_CAP, expires_in_seconds=86_400)
    with pytest.raises(ConflictError, match="do not fit"):
        hold(market, worker, 1)
    market.pass_seconds(86_399)
    assert figures(market, f"agent:{worker}") == (AGENT_CAP, 0, 0)
    hold(market, worker, 5)
    settle(market, held, worker, 7)
    assert figures(market, f"agent:{worker}") == (AGENT_CAP, 5, 0)
    with market.read() as tx:
        old = [one for one in budgets.all_lines(tx) if one.key == DAY]
    assert [(one.reserved, one.spent) for one in old] == [(0, 7), (5, 0)]


def test_a_task_s_budget_lasts_its_life_and_covers_its_retries(market, requester, worker):
    task_id = own_task(market, requester, worker, deadline_us=10 * DAY_US)
    settle(market, hold(market, worker, 30_000, task_id=task_id), worker, 30_000)
    market.cancel(task_id, requester)
    with pytest.raises(ConflictError, match="is cancelled"):
        hold(market, worker, 1, task_id=task_id)
    again = market.post(requester)
    with market.write() as tx:
        sql.update(tx, tables.task, {"id": again}, retry_of_id=task_id)
    market.pass_seconds(86_000)
    assert str(hold(market, requester, 1, task_id=again).lines[0].key) == f"task:{task_id}"
    with pytest.raises(ConflictError, match=f"task:{task_id}"):
        hold(market, requester, 20_000, task_id=again)
    with pytest.raises(ConflictError, match=f"set task:{task_id}"):
        set_limit(market, f"task:{again}", 1)


def test_a_hold_for_a_task_inherits_its_workflow_and_cannot_name_another(market, requester, worker):
    task_id = own_task(market, requester, worker, workflow="report")
    for named in (None, "report"):
        held = hold(market, worker, 1, task_id=task_id, workflow=named)
        assert "workflow:acme/report" in [str(one.key) for one in held.lines]
    with pytest.raises(InvalidValueError, match="draws on the workflow report") as refused:
        hold(market, worker, 1, task_id=task_id, workflow="other")
    assert refused.value.field == "workflow"


def test_a_meta_task_draws_on_its_workflow_too(market, worker):
    task_id = own_task(market, None, worker, kind=TaskKind.META, workflow="lap")
    scopes = [str(one.key) for one in hold(market, worker, 1, task_id=task_id).lines]
    assert scopes == [f"task:{task_id}", f"agent:{worker}", "workflow:/lap", "day"]


def test_a_child_hold_cannot_escape_its_parent_s_scopes(market, requester, worker):
    task_id = own_task(market, requester, worker, workflow="report")
    other = own_task(market, requester, worker)
    parent = hold(market, worker, 1, task_id=task_id)
    child = hold(market, worker, 1, parent_hold_id=parent.hold_id)
    assert [one.key for one in child.lines] == [one.key for one in parent.lines]
    for named in ({"task_id": other}, {"workflow": "other"}):
        with pytest.raises(InvalidValueError, match=f"hold {parent.hold_id} draws on"):
            hold(market, worker, 1, parent_hold_id=parent.hold_id, **named)
    with pytest.raises(ForbiddenError):
        hold(market, requester, 1, parent_hold_id=parent.hold_id)
    void(market, parent, worker)
    with pytest.raises(ConflictError, match="is voided"):
        hold(market, worker, 1, parent_hold_id=parent.hold_id)


def test_nobody_spends_for_work_that_is_not_theirs(market, requester, worker):
    task_id = own_task(market, requester, worker, workflow="report")
    stranger = market.agent()
    with pytest.raises(ForbiddenError, match="neither posted nor won"):
        hold(market, stranger, 1, task_id=task_id)
    with pytest.raises(ForbiddenError, match="no task of the workflow"):
        hold(market, stranger, 1, workflow="report")
    with pytest.raises(NotFoundError):
        hold(market, stranger, 1, task_id=10**9)
    assert len(hold(market, requester, 1, workflow="report").lines) == 3
    held = hold(market, worker, 1)
    for act in (lambda: settle(market, held, stranger, 1), lambda: void(market, held, stranger)):
        with pytest.raises(ForbiddenError, match="somebody else"):
            act()


def test_a_limit_moves_the_cap_the_same_day(market, worker):
    hold(market, worker, 100)
    assert set_limit(market, f"agent:{worker}", AGENT_CAP * 2).cap == AGENT_CAP * 2
    assert figures(market, f"agent:{worker}") == (AGENT_CAP * 2, 100, 0)
    set_limit(market, f"agent:{worker}", 150, reason="it loops")
    assert figures(market, f"agent:{worker}") == (150, 100, 0)
    with pytest.raises(ConflictError):
        hold(market, worker, 51)
    limits = market.rows(tables.budget_limit)
    assert [(row["amount"], row["actor"], row["reason"]) for row in limits] == [
        (AGENT_CAP * 2, "operator", "needed"),
        (150, "operator", "it loops"),
    ]
    market.pass_seconds(86_400)
    assert figures(market, f"agent:{worker}") == (150, 0, 0)


def test_a_cap_never_goes_under_what_is_reserved_or_spent_and_follows_what_comes_back(market, worker):
    settle(market, hold(market, worker, 60), worker, 60)
    first, second = hold(market, worker, 100), hold(market, worker, 100)
    found = set_limit(market, f"agent:{worker}", 90)
    assert (found.limit, found.cap, found.free) == (90, 260, 0)
    void(market, first, worker)
    assert figures(market, f"agent:{worker}") == (160, 100, 60)
    settle(market, second, worker, 10)
    assert figures(market, f"agent:{worker}") == (90, 0, 70)
    assert hold(market, worker, 20).lines[0].free == 0


def test_a_limit_may_be_set_before_the_first_use_and_be_nothing(market, worker):
    set_limit(market, f"agent:{worker}", 0)
    with pytest.raises(ConflictError, match="of 0, 0 are free"):
        hold(market, worker, 1)


def test_a_limit_needs_a_reason_and_somebody_to_limit(market):
    with pytest.raises(InvalidValueError, match="reason"):
        set_limit(market, "day", 1, reason=" ")
    for nobody in ("agent:999", "task:999"):
        with pytest.raises(NotFoundError):
            set_limit(market, nobody, 1)
    with pytest.raises(InvalidValueError):
        set_limit(market, "day", -1)


def test_posting_draws_on_agent_workflow_and_day(market, requester):
    assert post(market, (requester, "report", 5), (None, None, 7)) == ["taken"] * 2
    for scope in (f"agent:{requester}", "workflow:acme/report", "day"):
        assert figures(market, scope, Resource.MICROCREDITS)[1:] == (0, 5)


def test_a_workflow_s_name_that_cannot_be_opens_no_budget(market, requester):
    assert post(market, (requester, "w" * 81, 5)) == ["taken"]
    assert {row["scope"] for row in market.rows(tables.budget)} == {"agent", "day"}
    with pytest.raises(ForbiddenError):
        hold(market, requester, 1, workflow="w" * 81)


def test_a_posting_that_does_not_fit_spoils_no_other_of_its_batch(market, requester):
    other = market.agent()
    set_limit(market, f"agent:{requester}", 10, Resource.MICROCREDITS)
    postings = [(requester, None, 6), (requester, None, 6), (other, "w", 6), (requester, None, 4)]
    assert post(market, *postings) == ["taken", NO_BUDGET, "taken", "taken"]
    assert figures(market, f"agent:{requester}", Resource.MICROCREDITS) == (10, 0, 10)
    assert figures(market, "day", Resource.MICROCREDITS)[2] == 16


def test_what_was_never_used_stands_at_its_limit_and_opens_nothing(market, worker):
    key = workflow_key("acme", "never")
    with market.read() as tx:
        found = budget_governor.standing(tx, [key])
    assert [(one.cap, one.free) for one in found] == [
        (500_000, 500_000),
        (28_800_000, 28_800_000),
        (10**10, 10**10),
    ]
    assert market.rows(tables.budget) == []


def test_a_posting_under_another_owner_s_name_gives_no_part_in_its_workflow(market, requester):
    """A stranger's workflow of the same name is its own: what it holds there takes nothing from the owner."""
    market.post(requester, workflow="report")
    stranger = market.agent(owner="nobody", is_vouched=False)
    market.post(stranger, reserve_price_microcredits=1, workflow="report")
    for resource, amount in ((TOKENS, AGENT_CAP), (Resource.MICROCREDITS, 10**8 - 1)):
        held = hold(market, stranger, amount, resource, workflow="report", expires_in_seconds=86_400)
        assert "workflow:nobody/report" in [str(one.key) for one in held.lines]
        assert figures(market, "workflow:acme/report", resource)[1] == 0
    assert str(hold(market, requester, AGENT_CAP, workflow="report").lines[1].key) == "workflow:acme/report"
    assert post(market, (requester, "report", 10**10 - 10**6)) == ["taken"]


def test_who_works_in_a_workflow_draws_on_it_for_its_task_alone(market, requester, worker):
    task_id = own_task(market, requester, worker, workflow="report")
    assert str(hold(market, worker, 1, task_id=task_id).lines[2].key) == "workflow:acme/report"
    with pytest.raises(ForbiddenError, match="no task of the workflow"):
        hold(market, worker, 1, workflow="report")


def test_a_child_hold_does_not_move_to_another_owner_s_workflow_of_the_same_name(market, requester, worker):
    task_id = own_task(market, requester, worker, workflow="report")
    market.post(worker, workflow="report")
    parent = hold(market, worker, 1, workflow="report")
    with pytest.raises(InvalidValueError, match=r"draws on workflow:tests/report; .* belongs to") as refused:
        hold(market, worker, 1, parent_hold_id=parent.hold_id, task_id=task_id)
    assert refused.value.field == "task_id"


def test_holds_of_money_keep_nobody_from_posting(market, requester):
    set_limit(market, "day", 10**9, Resource.MICROCREDITS)
    for _ in range(10):
        agent_id = market.agent(is_vouched=False)
        hold(market, agent_id, 10**8, Resource.MICROCREDITS, expires_in_seconds=86_400)
    assert post(market, (requester, None, 10**9)) == ["taken"]
    assert figures(market, "day", Resource.MICROCREDITS) == (10**9, 0, 10**9)


def test_an_agent_commits_at_most_what_it_was_granted_unless_an_operator_says_otherwise(market):
    vouched, stranger = market.agent(), market.agent(is_vouched=False)
    assert line(market, f"agent:{vouched}", Resource.MICROCREDITS).limit == 10**11
    assert line(market, f"agent:{stranger}", Resource.MICROCREDITS).limit == 10**8
    with pytest.raises(ConflictError, match=f"agent:{stranger}"):
        hold(market, stranger, 10**8 + 1, Resource.MICROCREDITS)
    assert post(market, (stranger, None, 10**8), (stranger, None, 1)) == ["taken", NO_BUDGET]
    set_limit(market, f"agent:{stranger}", 10**9, Resource.MICROCREDITS)
    assert post(market, (stranger, None, 1)) == ["taken"]
    with market.write() as tx:
        sql.update(tx, tables.parameter, {"name": "budget.agent_microcredits"}, value="7")
    for agent_id in (market.agent(), market.agent(is_vouched=False)):
        assert line(market, f"agent:{agent_id}", Resource.MICROCREDITS).limit == 7
