"""What diagnosticians make of the nights' patterns: shorter ways where they say something, none where not."""

from dataclasses import replace

import pytest

from app.agents.diagnosis import Knowledge, Question, diagnose
from app.agents.former_values import better_value
from app.agents.memory import Memory, Remembered, memory_of, recalled
from app.agents.tail import beyond_the_limit
from tests.app.agents.market_stub import problem
from tests.app.agents.planted import LIMIT, fact, healthy, heavy_tailed, limit_parameter, refused, timed_out

DIAL = "slow_work.dial"
DIAL_PARAMETER = replace(limit_parameter(1.0), name=DIAL, unit="factor")


def remembered(parameter=LIMIT, value=4.0, **fields):
    standard = {"tasks": 100, "failures": 5, "timed_out": 0, "durations": (), "first_rate": 0.95}
    return Remembered("slow_work", parameter, value, **{**standard, **fields})


def found(facts, *settings, parameters=(), ranks=None, in_vain=()):
    memory = Memory(settings, ranks or {}, in_vain)
    return diagnose(
        Knowledge(facts, parameters or (limit_parameter(), DIAL_PARAMETER), (), memory), Question()
    )


def failing(count=60, every=3, **fields):
    """Refused results of a type, evenly over four agents."""
    return [
        refused(i, agent_id=i % 4, **fields) if i % every == 0 else fact(i, agent_id=i % 4, **fields)
        for i in range(1, count)
    ] + healthy(1000)


def test_work_that_hung_under_a_longer_limit_gets_no_more_time():
    facts = heavy_tailed() + healthy(1000)
    assert found(facts).draft is not None
    hung = remembered(tasks=120, failures=40, timed_out=40, durations=((1.0, 80),))
    finding = found(facts, hung)
    assert finding.draft is None
    assert "would not help" in finding.summary


def test_work_that_ended_under_a_longer_limit_gets_it_where_the_window_shows_nothing():
    cut = [timed_out(i, agent_id=i % 4) if i % 3 == 0 else fact(i, agent_id=i % 4) for i in range(1, 60)]
    facts = cut + healthy(1000)
    assert found(facts).draft is None
    draft = found(facts, remembered(durations=((0.5, 70), (2.5, 30)))).draft
    assert draft is not None
    assert draft.parameter == LIMIT
    assert 2.0 < float(draft.to) <= 4.0


def test_a_former_value_under_which_work_went_better_is_proposed():
    draft = found(failing(), remembered(DIAL, 0.8, tasks=300, failures=9)).draft
    assert draft is not None
    assert (draft.parameter, draft.current, draft.to) == (DIAL, "1", "0.8")
    assert 0.05 <= float(draft.expected_effect) <= 0.3
    assert "300 earlier tasks" in draft.root_cause


def test_without_memory_nothing_is_proposed_for_refused_results():
    assert found(failing()).draft is None


def test_what_was_tried_in_vain_is_not_proposed_again():
    good = remembered(DIAL, 0.8, tasks=300, failures=9)
    in_vain = memory_of([], [candidate(DIAL, 1, [{"value": "0.8", "how": "rejected"}])]).in_vain
    assert found(failing(), good, in_vain=in_vain).draft is None
    running = memory_of([], [candidate(DIAL, 1, [{"value": "0.8", "how": "running"}])]).in_vain
    assert found(failing(), good, in_vain=running).draft is not None


def test_the_platform_s_ranking_decides_between_former_values():
    second = replace(DIAL_PARAMETER, name="slow_work.second")
    good = [remembered(name, 0.8, tasks=300, failures=9) for name in (DIAL, second.name)]
    both = (limit_parameter(), DIAL_PARAMETER, second)
    assert found(failing(), *good, parameters=both).draft.parameter == DIAL
    draft = found(failing(), *good, parameters=both, ranks={second.name: 1}).draft
    assert draft.parameter == second.name


@pytest.mark.parametrize(
    ("changes", "is_found"),
    [
        ({}, True),
        ({"tasks": 20, "failures": 0}, False),
        ({"failures": 90}, False),
        ({"value": 1.0}, False),
    ],
    ids=["sure", "few tasks", "no better", "the value in force"],
)
def test_a_former_value_needs_evidence(changes, is_found):
    facts = [fact(i, state="failed" if i % 3 == 0 else "settled") for i in range(60)]
    one = remembered(DIAL, **{"value": 0.8, "tasks": 300, "failures": 9, **changes})
    assert (better_value(facts, DIAL_PARAMETER, [one], [], 0.05) is not None) is is_found


def test_a_value_that_did_well_when_it_was_new_is_not_the_cause():
    facts = [fact(i, state="failed" if i % 3 == 0 else "settled") for i in range(60)]
    former = remembered(DIAL, 0.8, tasks=300, failures=9)
    mine = remembered(DIAL, 1.0, tasks=300, failures=60, first_rate=0.97)
    assert better_value(facts, DIAL_PARAMETER, [former, mine], [], 0.05) is None
    mine = replace(mine, first_rate=0.66)
    assert better_value(facts, DIAL_PARAMETER, [former, mine], [], 0.05) is not None


def test_one_change_goes_no_further_than_it_may():
    facts = [fact(i, state="failed" if i % 3 == 0 else "settled") for i in range(60)]
    far = remembered(DIAL, 20.0, tasks=300, failures=9)
    assert better_value(facts, DIAL_PARAMETER, [far], [], 0.05).value == 2.0


def test_the_fate_beyond_the_limit_is_the_censored_estimate():
    finished, cut_off = [(1.0, 50), (3.0, 6)], [(4.0, 4)]
    exponent, seen = beyond_the_limit(finished, cut_off, 2.0)
    assert seen == 10
    assert exponent == pytest.approx(6 / (6 * 0.405465 + 4 * 0.693147), rel=1e-4)
    assert beyond_the_limit(finished, [], 2.0) is None
    assert beyond_the_limit([], [(4.0, 9)], 2.0) == (0.0, 9)


def candidate(parameter, rank, tried=()):
    return {"kind": "candidate", "facts": {"parameter": parameter, "rank": rank, "tried": list(tried)}}


SETTING = {
    "kind": "setting",
    "task_type": "slow_work",
    "tasks": 60,
    "failures": 20,
    "facts": {
        "parameter": LIMIT,
        "value": "4",
        "timed_out": 15,
        "durations": [{"seconds": 1.5, "tasks": 40}],
        "by_day": [
            {"day": "2026-01-01", "tasks": 40, "failures": 4, "timed_out": 3},
            {"day": "2026-01-02", "tasks": 20, "failures": 16, "timed_out": 12},
        ],
    },
}


def test_patterns_are_read_over_the_api(stub, client, monkeypatch):
    listed = {"setting": [SETTING], "candidate": [candidate(LIMIT, 1)]}
    monkeypatch.setattr(
        stub, "_read", lambda call: (200, {"items": listed[call.query["kind"]], "next_cursor": None})
    )
    memory = recalled(client)
    [one] = memory.under("slow_work", LIMIT)
    assert (one.value, one.timed_out, one.durations, one.first_rate) == (4.0, 15, ((1.5, 40),), 0.9)
    assert (memory.rank(LIMIT), memory.rank(DIAL)) == (1, float("inf"))


def test_a_platform_without_patterns_is_no_failure(stub, client, monkeypatch):
    monkeypatch.setattr(stub, "_read", lambda _call: (404, problem(404, "not_found")))
    assert recalled(client) == Memory()
