"""What a budget is: how it is written, when it is renewed, what is free, and what breaks B1."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.budget import (
    DAY,
    SUBJECT_LENGTH,
    BudgetKey,
    BudgetLine,
    BudgetScope,
    Resource,
    breaches,
    cap_for,
    check_amount,
    first_exhausted,
    parse_key,
    refusal,
    workflow_key,
)
from services.domain.clock import from_rfc3339
from services.domain.errors import InvalidValueError
from services.domain.parameters import BUDGET_DEFAULTS, BUDGET_PARAMETERS, BUDGET_UNITS, Risk

NOON_US = from_rfc3339("2026-01-31T12:00:00Z")
LINE = BudgetLine(DAY, Resource.TOKENS, "2026-01-31", 100, 100, 30, 60)
AGENT = BudgetKey(BudgetScope.AGENT, "7")
TASK = BudgetKey(BudgetScope.TASK, "12")


@pytest.mark.parametrize(
    "text", ["day", "agent:7", "task:12", "workflow:acme/report: the 2nd", "workflow:ü/a/b", "workflow:/lap"]
)
def test_a_key_is_read_as_it_is_written(text):
    assert str(parse_key(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "days", "day:1", "agent", "agent:", "agent:x", "agent:0", "agent:-1", "agent:²", "workflow:",
     "workflow:report", "workflow:acme/", "workflow:" + "x" * 81 + "/a", "workflow:a/" + "x" * 81,
     "task:" + "9" * 30, "lap:1"],
)  # fmt: skip
def test_what_names_no_budget_is_refused(text):
    with pytest.raises(InvalidValueError, match="a budget is day, agent:ID") as refused:
        parse_key(text)
    assert refused.value.field == "budget"


def test_workflows_of_two_owners_never_have_one_key():
    assert workflow_key("a", "b/c") != workflow_key("a/b", "c")
    assert workflow_key("a%2Fb", "c") != workflow_key("a/b", "c")
    for owner, name in (("a/b", "c"), ("a%2Fb", "c"), ("50%", "c"), ("%" * 80, "w" * 80), ("", "lap")):
        key = workflow_key(owner, name)
        assert parse_key(str(key)) == key
        assert len(key.subject) <= SUBJECT_LENGTH
    assert str(parse_key("workflow:50%/a%2fb")) == "workflow:50%25/a%2fb"


def test_leading_zeros_name_the_same_budget():
    assert parse_key("agent:007") == AGENT


def test_all_but_a_task_s_budget_are_renewed_at_midnight():
    assert AGENT.period(NOON_US) == DAY.period(NOON_US) == "2026-01-31"
    assert AGENT.renews_at_us(NOON_US) == from_rfc3339("2026-02-01T00:00:00Z")
    assert DAY.renews_at_us(from_rfc3339("2026-02-01T00:00:00Z")) == from_rfc3339("2026-02-02T00:00:00Z")
    assert (TASK.period(NOON_US), TASK.renews_at_us(NOON_US)) == ("life", None)


def test_the_first_line_that_is_too_short_is_named():
    wide = replace(LINE, key=AGENT, cap=1_000, limit=1_000)
    assert LINE.free == 10
    assert first_exhausted([wide, LINE], 10) is None
    assert first_exhausted([wide, LINE], 11) is LINE


def test_a_refusal_says_all_that_is_needed():
    refused = refusal(LINE, 11, NOON_US)
    assert (refused.code, refused.field) == ("budget_exhausted", "amount")
    assert refused.arguments == {
        "scope": "day", "budget": "day", "resource": "tokens", "cap": 100, "reserved": 30, "spent": 60,
        "free": 10, "renews_at": "2026-02-01T00:00:00.000000Z",
    }  # fmt: skip


@given(st.integers(0, 200), st.integers(0, 100), st.integers(0, 100))
def test_a_cap_is_the_limit_or_what_is_in_use(limit, reserved, spent):
    cap = cap_for(limit, reserved=reserved, spent=spent)
    line = replace(LINE, limit=limit, cap=cap, reserved=reserved, spent=spent)
    assert breaches([line]) == []
    assert cap in (limit, reserved + spent)
    assert (line.free == 0) or (cap == limit)


def test_what_breaks_b1_is_named():
    over = replace(LINE, cap=89)
    assert breaches([LINE, over]) == ["day 2026-01-31: 60 settled and 30 reserved exceed the cap 89 tokens"]
    [negative] = breaches([replace(LINE, spent=-1)])
    assert "is negative" in negative


@pytest.mark.parametrize("amount", [0, 10**15 + 1])
def test_amounts_have_bounds(amount):
    with pytest.raises(InvalidValueError, match="from 1 to"):
        check_amount(amount)
    assert check_amount(1) == 1
    assert check_amount(0, lowest=0) == 0


def test_every_scope_has_a_small_fixed_default_for_every_resource():
    names = {parameter.name for parameter in BUDGET_PARAMETERS}
    assert {f"budget.{scope}_{resource}" for scope in BudgetScope for resource in Resource} < names
    assert tuple(Resource) == BUDGET_UNITS
    assert set(BUDGET_DEFAULTS) == set(BudgetScope)
    assert {parameter.risk for parameter in BUDGET_PARAMETERS} == {Risk.FIXED}
    for task, agent, workflow, day in zip(*BUDGET_DEFAULTS.values(), strict=True):
        assert task < agent < day
        assert task < workflow < day
