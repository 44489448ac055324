"""What a proposal may be decided on: its metric, effect, guardrails and cap, each refused by name."""

import pytest

from services.domain.errors import InvalidValueError
from services.domain.states import ExperimentScope, ProposalState, Scope
from services.store import sql, tables
from tests.services.test_proposal_system import WEEK_SECONDS, refusal

RANKED = ("task_duration", "task_cost")


def test_unknown_metrics_are_refused(lab):
    for name in ("", "success", "TASK_SUCCESS", "task_success ", "p95_latency", "task_duration\n"):
        error = refusal(lab, metric=name)
        assert (error.code, error.field) == ("metric_unknown", "body.metric"), name
        error = refusal(lab, guardrails=(("task_cost", "0.1"), (name, "0.1")))
        assert (error.code, error.field) == ("metric_unknown", "body.guardrails.1.metric"), name


def test_a_margin_is_a_decimal_between_0_and_1(lab):
    for margin in ("0", "1", "-0.1", "1.5", "NaN", "sNaN", "Infinity", "much", "", "0." + "1" * 40, "1e-40"):
        error = refusal(lab, guardrails=(("task_duration", margin),))
        assert (error.code, error.field) == ("margin_out_of_bounds", "body.guardrails.0.margin"), margin


def test_each_other_metric_is_guarded_once(lab):
    twice = refusal(lab, guardrails=(("task_cost", "0.1"), ("task_cost", "0.2")))
    assert (twice.code, twice.field) == ("guardrail_twice", "body.guardrails.1.metric")
    own = refusal(lab, guardrails=(("task_success", "0.1"),))
    assert (own.code, own.field) == ("guardrail_twice", "body.guardrails.0.metric")
    own = refusal(lab, metric="task_cost", guardrails=(("task_cost", "0.1"),))
    assert (own.code, own.field) == ("guardrail_twice", "body.guardrails.0.metric")


@pytest.mark.parametrize("metric", RANKED)
def test_an_effect_on_ranks_is_at_most_a_half(lab, metric):
    for effect in ("0", "-0.1", "0.51", "1", "NaN", "0.0001"):
        error = refusal(lab, metric=metric, expected_effect=effect)
        assert (error.code, error.field) == ("effect_out_of_bounds", "body.expected_effect"), effect
    assert lab.file(metric=metric, expected_effect="0.5")


def test_an_effect_beyond_certainty_is_refused_for_success_alone(lab):
    assert refusal(lab, expected_effect="0.45").code == "effect_too_large"
    assert lab.file(metric="task_duration", expected_effect="0.45")


@pytest.mark.parametrize("metric", ["task_success", *RANKED])
def test_a_cap_below_the_minimum_is_refused(lab, metric):
    for cap in (-1, 0, 1, 19):
        error = refusal(lab, metric=metric, expected_effect="0.4", cap_tasks=cap)
        assert (error.code, error.field) == ("admission_refused", "body.cap_tasks"), cap
    for days in (-1, 0):
        assert refusal(lab, metric=metric, expected_effect="0.4", cap_days=days).code == "admission_refused"


def test_what_probation_could_not_confirm_is_refused_with_the_figure(lab_with):
    lab = lab_with(probation_tasks="150")
    error = refusal(lab, expected_effect="0.25")
    assert (error.code, error.field) == ("confirmation_refused", "body.expected_effect")
    needed = error.arguments["needed_tasks"]
    assert 150 < needed < 300
    assert lab.file(expected_effect="0.39")


@pytest.mark.parametrize("metric", RANKED)
def test_speed_and_cost_always_guard_success(lab, metric):
    row = lab.row(tables.proposal, id=lab.file(metric=metric, expected_effect="0.2"))
    assert row["guardrails"] == [{"metric": "task_success", "margin": "0.05", "ceiling": "1.0"}]
    assert row["metric"] == metric
    assert lab.payloads("PROPOSAL")[0]["guardrails"] == row["guardrails"]


def test_a_stated_margin_for_success_is_kept(lab):
    stated = (("task_success", "0.080"), ("task_duration", "1e-1"))
    row = lab.row(tables.proposal, id=lab.file(metric="task_cost", guardrails=stated))
    success, duration = row["guardrails"]
    assert success == {"metric": "task_success", "margin": "0.080", "ceiling": "1.0"}
    assert (duration["metric"], duration["margin"]) == ("task_duration", "0.1")


def test_a_confirmation_that_the_time_of_probation_has_no_tasks_for_is_refused(lab_with):
    lab = lab_with(probation_seconds="3600")
    with pytest.raises(InvalidValueError) as refused:
        lab.file()
    assert refused.value.code == "confirmation_refused"


def test_a_margin_of_success_that_cannot_be_proved_is_refused(lab_with):
    lab = lab_with(probation_tasks="3000")
    with pytest.raises(InvalidValueError) as refused:
        lab.file(metric="task_cost")
    assert (refused.value.code, refused.value.field) == ("guardrail_unprovable", "body.guardrails")
    assert "at a success rate of 60%; about 0.0" in str(refused.value)
    assert lab.file(metric="task_cost", guardrails=(("task_success", "0.09"),))


def test_success_needs_no_guardrail_and_may_have_two(lab):
    assert lab.row(tables.proposal, id=lab.file())["guardrails"] == []
    with lab.write() as tx:
        tx.connection.execute(tables.proposal.update().values(state="withdrawn", content_hash="x"))
    guarded = lab.file(guardrails=(("task_cost", "0.1"), ("task_duration", "0.2")))
    assert [item["metric"] for item in lab.row(tables.proposal, id=guarded)["guardrails"]] == [
        "task_cost",
        "task_duration",
    ]


def test_windows_are_counted_where_windows_are_bet_on(lab):
    """Six agents have six windows an hour however many tasks they do; the platform has one."""
    assert lab.file(expected_effect="0.25", cap_days=1)
    with lab.write() as tx:
        tx.connection.execute(tables.proposal.update().values(state="withdrawn", content_hash="x"))
    platform = {"scope": ExperimentScope.PLATFORM, "expected_effect": "0.25"}
    error = refusal(lab, **platform, cap_days=1)
    assert (error.code, error.field) == ("admission_refused", "body.cap_tasks")
    needed = error.arguments["needed_tasks"]
    assert 24 < needed < 144
    assert refusal(lab, **platform, cap_days=(needed - 1) // 24).code == "admission_refused"
    assert lab.file(**platform, cap_days=-(-needed // 24))
    with lab.write() as tx:
        tx.connection.execute(tables.proposal.update().values(state="withdrawn", content_hash="x"))
    assert lab.file(scope=ExperimentScope.AGENT, expected_effect="0.25", cap_days=1), "six agents"
    with lab.write() as tx:
        tx.connection.execute(tables.proposal.update().values(state="withdrawn", content_hash="y"))
        tx.connection.execute(tables.task.update().values(awarded_agent_id=lab.voters[0]))
    assert (
        refusal(lab, scope=ExperimentScope.AGENT, expected_effect="0.25", cap_days=1).code
        == "admission_refused"
    )


def test_a_refused_change_cools_off_whatever_metric_and_scope(lab):
    """Metric and scope give the whole content another hash; they make no other change of it."""
    asked = ({}, {"metric": "task_cost"}, {"scope": ExperimentScope.AGENT})
    hashes = set()
    for changes in asked:
        filed = lab.file(**changes)
        hashes.add(lab.row(tables.proposal, id=filed)["content_hash"])
        with lab.write() as tx:
            where = {"id": filed}
            sql.update(tx, tables.proposal, where, state=ProposalState.REJECTED, ended_at_us=lab.now_us)
        for others in asked:
            assert refusal(lab, lab.agent(Scope.PROPOSE), **others).code == "resubmission_cool_off"
        lab.pass_seconds(WEEK_SECONDS + 1)
        lab.ended_tasks(60)
    assert len(hashes) == len(asked)
