"""Known answers of the built-in task types: every case is judged rightly, and for the right reason."""

import re

import pytest

from app.tasks.registry import TASK_TYPE_REGISTRY
from app.verification import ResultVerifier, known_answers_of
from services.domain.known_answers import ALARM_AT, RIGHT_STEP, WRONG_STEP, WrongSum

CASES = 42
REASONS = {
    "monte_carlo": {
        "twenty errors too high": "estimate_off",
        "twenty errors too low": "estimate_off",
        "half the error": "standard_error_understated",
        "twice the error": "standard_error_overstated",
        "too few samples": "too_few_samples",
        "too many samples": "too_many_samples",
        "the estimate as a text": "malformed_result",
    },
    "physics_simulation": {
        "a slightly higher frequency": "residual",
        "a slightly weaker damping": "residual",
        "positions that drift slightly": "residual",
        "another start": "wrong_start",
        "one point too few": "wrong_length",
        "times moved on": "wrong_times",
        "no speeds": "wrong_width",
    },
    "ml_training": {
        "one miss too many": "inaccurate",
        "every row wrong": "inaccurate",
        "one row too few": "wrong_length",
        "one row too many": "wrong_length",
        "labels as numbers": "malformed_result",
        "a share of rows used": "malformed_result",
    },
    "research_synthesis": {
        "one word of a quote altered": "quote_not_found",
        "a source that is not listed": "foreign_source",
        "a quote of another document": "quote_not_found",
        "a quote too few": "too_few_citations",
        "the same quote three times": "too_few_citations",
        "an answer about something else": "answer_off_topic",
    },
}


def no_fetch(url):
    raise AssertionError(f"a known answer brings its documents; {url} was fetched")


VERIFY = ResultVerifier(TASK_TYPE_REGISTRY, no_fetch)
ANSWERS = known_answers_of(TASK_TYPE_REGISTRY)


def verdict(task_type, case):
    return VERIFY(task_type, case.public, case.private, case.result)


def test_every_built_in_type_declares_known_answers():
    assert set(ANSWERS) == set(TASK_TYPE_REGISTRY) == set(REASONS)


@pytest.mark.parametrize("task_type", REASONS)
def test_good_results_are_accepted(task_type):
    for number in range(CASES):
        case = ANSWERS[task_type](number, True)
        is_verified, why = verdict(task_type, case)
        assert is_verified, (number, case.name, why)


@pytest.mark.parametrize("task_type", REASONS)
def test_bad_results_are_refused_for_the_fault_that_they_have(task_type):
    found = {}
    for number in range(CASES):
        case = ANSWERS[task_type](number, False)
        is_verified, why = verdict(task_type, case)
        fault = next(name for name in REASONS[task_type] if case.name.endswith(name))
        assert not is_verified, (number, case.name)
        found.setdefault(fault, set()).add(re.match(r"\w+", why["reason"]).group())
    assert found == {name: {code} for name, code in REASONS[task_type].items()}


@pytest.mark.parametrize("task_type", REASONS)
def test_a_case_is_the_same_for_its_number_and_differs_for_the_next(task_type):
    cases = ANSWERS[task_type]
    assert cases(3, True) == cases(3, True)
    assert len({str(cases(number, True).result) for number in range(20)}) > 4


def test_a_document_that_a_case_does_not_bring_is_not_fetched():
    case = ANSWERS["research_synthesis"](1, True)
    private = {**case.private, "known_documents": {}}
    with pytest.raises(RuntimeError, match="not among the known documents"):
        VERIFY("research_synthesis", case.public, private, case.result)


def after(*answers):
    total = WrongSum()
    for is_right in answers:
        total = total.after(is_right=is_right)
    return total


def test_four_wrong_answers_alarm_and_three_do_not():
    assert not after(False, False, False).has_alarmed
    assert after(False, False, False, False).has_alarmed


def test_rare_wrong_answers_never_alarm():
    total = after(*([False] + [True] * 20) * 50)
    assert not total.has_alarmed
    assert total.points < ALARM_AT / 2


def test_an_alarm_stays_until_the_sum_is_back_at_nothing():
    total = after(*[False] * 40)
    quiet_after = 0
    while total.has_alarmed:
        total = total.after(is_right=True)
        quiet_after += 1
    assert quiet_after == 59
    assert total.points == 0.0
    assert not total.after(is_right=False).has_alarmed


def test_the_steps_are_the_logs_of_the_likelihoods():
    assert pytest.approx(1.6094, abs=1e-4) == WRONG_STEP
    assert pytest.approx(-0.0852, abs=1e-4) == RIGHT_STEP
