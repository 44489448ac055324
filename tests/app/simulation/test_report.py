"""The report: exact intervals, and what the ledger's entries say became of each experiment."""

import json

import pytest

from app.simulation.report import Rate, count_ledger, is_sound

# Clopper & Pearson's bounds as published in tables for n = 10 and n = 100 (95 %, two-sided).
KNOWN = [
    (0, 10, 0.0, 0.3085),
    (1, 10, 0.0025, 0.4450),
    (5, 10, 0.1871, 0.8129),
    (10, 10, 0.6915, 1.0),
    (5, 100, 0.0164, 0.1128),
    (0, 0, 0.0, 1.0),
]


@pytest.mark.parametrize(("count", "of", "lower", "upper"), KNOWN)
def test_interval_is_clopper_pearsons(count, of, lower, upper):
    assert Rate(count, of).interval == pytest.approx((lower, upper), abs=5e-5)


def test_rate_of_nothing_has_no_share():
    assert Rate(0, 0).to_payload() == {"count": 0, "of": 0, "share": None, "lower": 0.0, "upper": 1.0}


def rows(*entries):
    return [
        {"leaf": json.dumps({"index": index, "type": kind, "payload": payload})}
        for index, (kind, payload) in enumerate(entries)
    ]


def started(number):
    facts = {"experiment_id": number, "proposal_id": number + 10, "confirm_alpha": "0.001"}
    return "EXPERIMENT_STARTED", facts


def verdict(number, word, tasks=100):
    return "VERDICT", {"experiment_id": number, "verdict": word, "reason": "so", "tasks": tasks}


def test_ledger_is_counted_by_its_entries():
    found = count_ledger(
        rows(
            started(1),
            started(2),
            started(3),
            verdict(1, "win"),
            ("PROMOTED", {"experiment_id": 1}),
            verdict(2, "win"),
            ("PROMOTED", {"experiment_id": 2}),
            verdict(3, "loss", 40),
            ("PLACEBO_VERDICT", {"experiment_id": 4, "verdict": "inconclusive"}),
            verdict(1, "win", 900),
            ("CONFIRMED", {"experiment_id": 1}),
            verdict(2, "inconclusive", 3000),
            ("ROLLED_BACK", {"promoted_index": 6}),
            ("REFUSED", {"experiment_id": 3, "reason": "harm shown"}),
        ),
        {11: 0.4, 12: 0.0},
    )
    one, two, three = found.experiments.values()
    assert (one.is_provisional, one.is_confirmed, one.is_rolled_back, one.log_odds) == (
        True,
        True,
        False,
        0.4,
    )
    assert (two.is_provisional, two.is_confirmed, two.is_rolled_back, two.log_odds) == (
        True,
        False,
        True,
        0.0,
    )
    assert (three.is_provisional, three.verdict, three.trial_tasks) == (False, "loss", 40)
    assert (one.verdict, one.trial_tasks) == ("win", 100), "the first verdict is the trial's"
    assert three.log_odds is None
    assert found.placebo_verdicts == {"inconclusive": 1}
    assert found.types["VERDICT"] == 5


@pytest.mark.parametrize(
    "change",
    [
        {"is_complete": False},
        {"ledger": {"is_verified": False}},
        {"lost": {"dead_letters": 1, "failed_ticks": 0}},
        {"lost": {"dead_letters": 0, "failed_ticks": 1}},
    ],
)
def test_run_with_anything_wrong_is_not_sound(change):
    good = {
        "is_complete": True,
        "ledger": {"is_verified": True},
        "lost": {"dead_letters": 0, "failed_ticks": 0},
    }
    assert is_sound(good)
    assert not is_sound({**good, **change})
