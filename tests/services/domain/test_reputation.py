"""Standing is a fold: the ladder, the breaker, acts of an operator, the same state stepwise or at once."""

import random
import statistics
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.reputation import (
    AgentCounts,
    AgentState,
    Evidence,
    Outcome,
    Record,
    StandingRules,
    first_counts,
    fold,
    fold_all,
    fold_step,
    next_standing,
    reason_of,
    refold,
)
from services.domain.states import OutcomeKind, Standing
from services.domain.track_record import DECAY
from services.store.tables import agent, agent_counterparty, agent_record

SUSPENDED, SHADOW, PROBATION, FULL = (
    Standing.SUSPENDED,
    Standing.SHADOW,
    Standing.PROBATION,
    Standing.FULL,
)
RULES = StandingRules(crash_limit=12, counterparty_jobs=2, entry_jobs=5)
PROVEN = [Outcome(OutcomeKind.VERIFIED, "summarise")] * 5
"""What makes an agent known."""
VERIFIED = Outcome(OutcomeKind.VERIFIED, "summarise")
FAILED = Outcome(OutcomeKind.FAILED, "summarise")
CRASHED = Outcome(OutcomeKind.CRASHED, "summarise")
STOPPED = Outcome(OutcomeKind.SUSPENDED)
REINSTATED = Outcome(OutcomeKind.REINSTATED)

check = settings(max_examples=150, deadline=None, derandomize=True, database=None)
outcomes = st.builds(
    Outcome,
    st.sampled_from([OutcomeKind.VERIFIED, OutcomeKind.FAILED, OutcomeKind.CRASHED]),
    st.sampled_from(["summarise", "classify"]),
    st.sampled_from([None, 7, 8]),
    st.sampled_from([None, 0, 55, 100]),
)
histories = st.lists(st.one_of(outcomes, st.sampled_from([STOPPED, REINSTATED])), max_size=60)


def after(*history, is_vouched=False, rules=RULES):
    return refold(history, rules, is_vouched=is_vouched)


def test_a_newcomer_begins_in_the_shadow_and_a_vouched_agent_on_probation():
    assert after() == AgentState()
    assert after().standing is SHADOW
    assert after(is_vouched=True).standing is PROBATION


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([VERIFIED] * 2, SHADOW),
        ([VERIFIED] * 3, PROBATION),
        ([FAILED] * 3 + [VERIFIED] * 2, SHADOW),
        ([VERIFIED] * 19, PROBATION),
        ([VERIFIED] * 20, FULL),
        ([VERIFIED] * 20 + [FAILED], FULL),
        ([VERIFIED] * 20 + [STOPPED], SUSPENDED),
        ([STOPPED] + [VERIFIED] * 30, SUSPENDED),
        ([STOPPED, REINSTATED], PROBATION),
        ([VERIFIED] * 25 + [STOPPED, REINSTATED], PROBATION),
        ([VERIFIED] * 25 + [STOPPED, REINSTATED, FAILED], PROBATION),
        ([VERIFIED] * 25 + [STOPPED, REINSTATED, VERIFIED], FULL),
        ([VERIFIED] * 18 + [STOPPED, REINSTATED, VERIFIED], PROBATION),
    ],
)
def test_the_ladder(history, expected):
    assert after(*history).standing is expected


def test_the_evidence_against_suspends_and_reinstatement_begins_the_test_anew():
    at_work = after(*[VERIFIED] * 3, *[FAILED] * 15)
    assert at_work.standing is PROBATION
    suspended = fold(at_work, FAILED, RULES)
    assert suspended.standing is SUSPENDED
    back = fold(suspended, REINSTATED, RULES)
    assert (back.standing, back.trial_successes, back.trial_failures) == (PROBATION, 0, 0)
    assert (back.settled_jobs, back.verified_jobs, back.records) == (19, 3, suspended.records)
    assert fold(back, FAILED, RULES).standing is PROBATION


def test_three_failures_running_suspend_nobody():
    assert after(*[VERIFIED] * 8, *[FAILED] * 3).standing is PROBATION
    assert after(*[FAILED] * 3).standing is SHADOW


def test_crashes_in_a_row_open_the_breaker_at_once():
    rules = StandingRules(crash_limit=5, counterparty_jobs=2, entry_jobs=5)
    long_record = [VERIFIED] * 60
    assert after(*long_record, *[CRASHED] * 4, rules=rules).standing is FULL
    broken = after(*long_record, *[CRASHED] * 5, rules=rules)
    assert (broken.standing, broken.consecutive_crashes) == (SUSPENDED, 5)
    assert broken.log_e < 0
    assert after(*long_record, *[CRASHED] * 4, FAILED, *[CRASHED] * 4, rules=rules).standing is FULL
    assert fold(broken, REINSTATED, rules).consecutive_crashes == 0


def test_a_crash_counts_as_a_failure_in_record_and_test():
    crashed, failed = after(VERIFIED, CRASHED), after(VERIFIED, FAILED)
    assert crashed.records == failed.records
    assert (crashed.trial_failures, crashed.failure_weight) == (failed.trial_failures, failed.failure_weight)
    assert (crashed.consecutive_crashes, failed.consecutive_crashes) == (1, 0)


def test_an_act_leaves_the_record_alone():
    worked = after(VERIFIED, FAILED, CRASHED)
    stopped = fold(worked, STOPPED, RULES)
    assert replace(stopped, standing=worked.standing) == worked


def test_the_brier_score_is_the_mean_squared_error_of_what_was_claimed():
    state = after(replace(VERIFIED, confidence_percent=90), replace(FAILED, confidence_percent=80), VERIFIED)
    assert state.forecasts == 2
    assert state.brier_score == pytest.approx((0.1**2 + 0.8**2) / 2)
    assert after(VERIFIED).brier_score is None


def test_records_are_kept_by_type_and_over_all_types():
    other = replace(FAILED, task_type="classify")
    state = after(VERIFIED, other, VERIFIED)
    assert state.records == {
        "summarise": Record(DECAY + 1, 0.0, 2, 2),
        "classify": Record(0.0, 1.0, 1, 0),
    }
    assert (state.success_weight, state.failure_weight) == (pytest.approx(DECAY**2 + 1), pytest.approx(DECAY))


def test_evidence_of_one_counterparty_is_capped_and_that_of_many_is_not():
    known = after(*PROVEN)
    bought = fold_all(known, [replace(VERIFIED, requester_id=7)] * 40, RULES)
    gain = bought.success_weight - known.success_weight * DECAY**2
    assert gain == pytest.approx(1 + DECAY), "two jobs' worth, of forty"
    assert bought.counterparties == {("summarise", 7): Evidence(pytest.approx(2.0), 5)}
    earned = fold_all(known, [replace(VERIFIED, requester_id=number) for number in range(1, 41)], RULES)
    trusted = fold_all(known, [VERIFIED] * 40, RULES)
    assert earned.success_weight == pytest.approx(trusted.success_weight)
    assert trusted.counterparties == {}


def test_strangers_do_not_make_a_record_out_of_nothing():
    bought = after(*[replace(VERIFIED, requester_id=number) for number in range(1, 41)])
    assert (bought.success_weight, bought.records["summarise"].success_weight) == (0, 0)


def test_strangers_move_no_standing_and_shield_from_none():
    """What strangers say neither promotes, nor demotes, nor stands in the way of the demotion test."""
    praised = [replace(VERIFIED, requester_id=number, confidence_percent=99) for number in range(1, 30)]
    slandered = [replace(kind, requester_id=9) for kind in (FAILED, CRASHED)] * 30
    for others in (praised, slandered):
        state = after(*PROVEN, *others)
        alone = after(*PROVEN)
        same = ("standing", "settled_jobs", "verified_jobs", "trial_successes", "trial_failures",
                "consecutive_crashes", "forecasts", "brier_sum")  # fmt: skip
        assert [getattr(state, name) for name in same] == [getattr(alone, name) for name in same]


def test_the_cap_forgets_with_the_jobs_done_for_others():
    bought = after(*PROVEN, *[replace(VERIFIED, requester_id=7)] * 3)
    before = fold_all(bought, [FAILED] * 30, RULES)
    again = fold(before, replace(VERIFIED, requester_id=7), RULES)
    gain = again.counterparties["summarise", 7].weight - 2 * DECAY**30
    assert again.success_weight == pytest.approx(before.success_weight * DECAY**gain + gain)
    assert gain == pytest.approx(2 - 2 * DECAY**30)  # what 30 jobs have let it forget


def test_the_cap_is_kept_for_each_type_apart():
    state = after(
        *PROVEN,
        *[replace(VERIFIED, requester_id=7), replace(VERIFIED, requester_id=7, task_type="classify")] * 2,
    )
    assert {key: found.at_job for key, found in state.counterparties.items()} == {
        ("summarise", 7): 5,
        ("classify", 7): 0,
    }
    assert state.records["classify"].success_weight == pytest.approx(1 + DECAY)


@check
@given(histories, st.booleans())
def test_one_by_one_in_rows_or_at_once_the_state_is_the_same(history, is_vouched):
    counts = first_counts(is_vouched=is_vouched)
    records, counterparties = {}, {}
    folded = refold([], RULES, is_vouched=is_vouched)
    for outcome in history:
        folded = fold(folded, outcome, RULES)
        key, pair = outcome.task_type, (outcome.task_type, outcome.requester_id)
        counts, record, evidence = fold_step(
            counts, records.get(key), counterparties.get(pair), outcome, RULES
        )
        if outcome.task_type:
            records[key] = record
            if outcome.requester_id:
                counterparties[pair] = evidence
    at_once = refold(history, RULES, is_vouched=is_vouched)
    assert at_once == folded
    assert (at_once.records, at_once.counterparties) == (records, counterparties)
    assert {f.name: getattr(at_once, f.name) for f in fields(AgentCounts)} == asdict(counts)


@check
@given(histories, outcomes)
def test_folding_changes_nothing_that_was_there(history, outcome):
    state = refold(history, RULES, is_vouched=False)
    kept = (dict(state.records), dict(state.counterparties), state.settled_jobs)
    fold(state, outcome, RULES)
    assert kept == (state.records, state.counterparties, state.settled_jobs)


@check
@given(histories)
def test_the_counts_add_up(history):
    state = refold(history, RULES, is_vouched=False)
    work = [outcome for outcome in history if outcome.task_type]
    trusted = [outcome for outcome in work if outcome.requester_id is None]
    assert state.settled_jobs == len(trusted) == sum(record.jobs for record in state.records.values())
    assert state.verified_jobs == sum(outcome.kind is OutcomeKind.VERIFIED for outcome in trusted)
    assert state.forecasts == sum(outcome.confidence_percent is not None for outcome in trusted)
    assert 0 <= state.brier_sum <= state.forecasts


def test_the_state_is_made_of_the_columns_that_are_kept():
    kept = {field.name for field in fields(AgentCounts)}
    assert kept <= {column.name for column in agent.columns}
    assert {f.name for f in fields(Record)} == {c.name for c in agent_record.columns} - {
        "agent_id",
        "task_type",
    }
    assert {f.name for f in fields(Evidence)} == {c.name for c in agent_counterparty.columns} - {
        "agent_id",
        "task_type",
        "requester_id",
    }


def test_work_without_a_type_is_refused():
    with pytest.raises(ValueError, match="task type"):
        fold(after(), Outcome(OutcomeKind.FAILED), RULES)


def test_the_reason_of_a_move_is_said_in_words():
    def reason(history, outcome, rules=RULES):
        before = refold(history, rules, is_vouched=False)
        return reason_of(before, fold(before, outcome, rules), outcome)

    assert reason([VERIFIED], VERIFIED) == ""
    assert reason([VERIFIED, FAILED, VERIFIED], VERIFIED) == "3 verified of 4 jobs"
    assert "has passed 1 in 100" in reason([VERIFIED] * 3 + [FAILED] * 15, FAILED)
    assert "2 crashes in a row" in reason([CRASHED], CRASHED, StandingRules(2, 2, 5))
    assert reason([VERIFIED], STOPPED) == "suspended by an operator"
    assert reason([STOPPED], REINSTATED) == "reinstated on probation"


def test_only_verified_work_leads_up():
    back = replace(AgentCounts(), standing=PROBATION, verified_jobs=20)
    assert next_standing(back, is_verified=False, crash_limit=12) is PROBATION
    assert next_standing(back, is_verified=True, crash_limit=12) is FULL


def test_agents_of_every_kind_end_where_they_belong():
    def end_of(rate, jobs, seed):
        rng = random.Random(seed)
        state = refold([], RULES, is_vouched=False)
        for job in range(1, jobs + 1):
            state = fold(state, VERIFIED if rng.random() < rate else FAILED, RULES)
            if state.standing is SUSPENDED:
                return job
        return state.standing

    poor = [end_of(0.3, 400, seed) for seed in range(60)]
    assert 22 <= statistics.median(poor) <= 36
    assert {end_of(0.8, 300, seed) for seed in range(60)} == {FULL}
