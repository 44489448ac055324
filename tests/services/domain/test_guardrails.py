"""Guardrails: two bets that are the plain products of their formulas, and no proof without evidence."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.bet import PlanRefusedError
from services.domain.guardrails import (
    LIMIT_SHARE,
    Guardrail,
    GuardrailState,
    harm_step,
    log_mean_exp,
    proof_step,
    start_guardrail,
    update_guardrail,
)
from services.domain.metrics import Metric

GRID = (0.1, 0.2, 0.4, 0.7)


def fold(guardrail, rows):
    state = start_guardrail(GRID)
    for tasks, (arm, share, measure) in enumerate(rows):
        state = update_guardrail(guardrail, state, GRID, tasks=tasks, arm=arm, share=share, measure=measure)
    return state


def rows_of(seed, tasks, control, treatment, share=0.5):
    source = random.Random(seed)
    arms = [int(source.random() < share) for _ in range(tasks)]
    return [(arm, share, float(source.random() < (treatment if arm else control))) for arm in arms]


def plain_wealths(margin, rows):
    """The two wealths as direct products, one bet after the other."""
    harm, proof = [1.0] * len(GRID), [1.0, 1.0]
    total = 0.0
    for tasks, (arm, share, score) in enumerate(rows):
        mean = (1 + total) / (2 + tasks)
        x = (arm - share) * (score - mean)
        largest = min(mean / (1 - share), (1 - mean) / share) / (mean * (1 - mean))
        harm = [wealth * (1 - c * largest * x) for c, wealth in zip(GRID, harm, strict=True)]
        shift = share * (1 - share) * margin
        stake = margin / (mean * (1 - mean))
        worst = max((1 - share) * mean, share * (1 - mean)) - shift
        stake = min(stake, 0.98 / worst) if worst > 0 else stake
        proof = [wealth * (1 + c * stake * (x + shift)) for c, wealth in zip((1, 0.5), proof, strict=True)]
        total += score
    return sum(harm) / len(harm), sum(proof) / 2


@pytest.mark.parametrize("share", [0.2, 0.5, 0.85])
@pytest.mark.parametrize("margin", [0.05, 0.4])
def test_the_update_is_the_plain_product(share, margin):
    rows = rows_of(3, 120, 0.8, 0.7, share)
    harm, proof = plain_wealths(margin, rows)
    state = fold(Guardrail(Metric.SUCCESS, margin), rows)
    assert math.exp(state.harm_log) == pytest.approx(harm, rel=1e-9)
    assert math.exp(state.proof_log) == pytest.approx(proof, rel=1e-9)
    assert state.total == sum(score for _, _, score in rows)


def test_a_cost_is_scored_under_its_ceiling():
    rows = [(1, 0.5, 30.0), (0, 0.5, 250.0), (1, 0.5, 0.0)]
    scored = [(1, 0.5, 0.7), (0, 0.5, 0.0), (1, 0.5, 1.0)]
    assert fold(Guardrail(Metric.COST, 0.1, 100.0), rows) == fold(Guardrail(Metric.SUCCESS, 0.1), scored)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.85])
def test_the_bets_are_fair_at_the_edge_of_what_they_doubt(share):
    """Harm: fair where the arms are alike. Proof: fair where treatment is worse by the margin exactly."""
    margin, rate = 0.2, 0.6
    mean = 0.55
    alike = worse = 0.0
    for arm, chance in ((0, 1 - share), (1, share)):
        for score in (0.0, 1.0):
            x = (arm - share) * (score - mean)
            hit = rate if score else 1 - rate
            low = rate - margin * arm
            alike += chance * hit * harm_step(share, mean, x)
            falls = low if score else 1 - low
            worse += chance * falls * proof_step(share, mean, x, margin, mean * (1 - mean))
    assert alike == pytest.approx(0.0, abs=1e-12)
    assert worse == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.floats(1e-6, 1 - 1e-6), st.floats(0, 1)), max_size=50),
    st.floats(1e-3, 0.999),
)
def test_every_wealth_stays_positive(rows, margin):
    state = fold(Guardrail(Metric.SUCCESS, margin), rows)
    assert all(math.isfinite(log) for log in (*state.harm_logs, *state.proof_logs, state.harm_log))
    assert GuardrailState.from_payload(state.to_payload()) == state
    assert proof_step(0.5, 0.5, -0.25, margin, 0.25) >= -LIMIT_SHARE - 1e-9


def test_no_proof_comes_before_evidence():
    guardrail = Guardrail(Metric.SUCCESS, 0.05)
    assert start_guardrail(GRID).proof_log == start_guardrail(GRID).harm_log == 0.0
    proofs = [fold(guardrail, rows_of(seed, 60, 0.9, 0.9)).proof_log for seed in range(60)]
    assert max(proofs) < math.log(20)


def test_a_guardrail_worse_by_its_margin_is_seldom_proved_and_one_as_good_is():
    guardrail = Guardrail(Metric.SUCCESS, 0.1)
    false = sum(any_proved(guardrail, rows_of(seed, 600, 0.9, 0.8)) for seed in range(120))
    assert false / 120 <= 0.08
    true = sum(any_proved(guardrail, rows_of(seed, 1_200, 0.9, 0.9)) for seed in range(30))
    assert true / 30 >= 0.9


def any_proved(guardrail, rows):
    state = start_guardrail(GRID)
    for tasks, (arm, share, measure) in enumerate(rows):
        state = update_guardrail(guardrail, state, GRID, tasks=tasks, arm=arm, share=share, measure=measure)
        if state.proof_log >= math.log(20):
            return True
    return False


def test_harm_is_seen():
    state = fold(Guardrail(Metric.SUCCESS, 0.05), rows_of(2, 400, 0.9, 0.7))
    assert state.harm_log > math.log(20)
    assert state.proof_log < 0.0


def test_the_mean_of_wealths_survives_wealths_beyond_doubles():
    assert log_mean_exp([0.0, 0.0]) == 0.0
    assert log_mean_exp([math.log(1), math.log(3)]) == pytest.approx(math.log(2))
    assert log_mean_exp([2_000.0, -2_000.0]) == pytest.approx(2_000 - math.log(2))


@pytest.mark.parametrize(
    ("margin", "ceiling"), [(0.0, 1.0), (1.0, 1.0), (-0.1, 1.0), (math.nan, 1.0), (0.1, 0.0), (0.1, math.inf)]
)
def test_a_guardrail_that_could_prove_nothing_is_refused(margin, ceiling):
    with pytest.raises(PlanRefusedError, match="guardrails"):
        Guardrail(Metric.COST, margin, ceiling)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"metric": "task_cost", "margin": "0.1"},
        {"metric": "joy", "margin": "0.1", "ceiling": "1"},
        {"metric": "task_cost", "margin": "little", "ceiling": "1"},
        {"metric": "task_cost", "margin": None, "ceiling": "1"},
        {"metric": "task_cost", "margin": "2", "ceiling": "1"},
        [],
    ],
)
def test_a_payload_that_is_no_guardrail_is_refused(payload):
    with pytest.raises(PlanRefusedError, match="guardrails"):
        Guardrail.from_payload(payload)


def test_a_payload_is_read_back_exactly():
    guardrail = Guardrail(Metric.DURATION, 0.1 + 0.2, 1 / 3)
    assert Guardrail.from_payload(guardrail.to_payload()) == guardrail
