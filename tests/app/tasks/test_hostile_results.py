"""A verifier answers anything a worker may hand in with a refusal that has a reason, and never raises."""

import math
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.tasks.task_type import Verification
from tests.app.tasks.trials import judged, nothing_to_fetch, prepared, worked

SMALL = {
    "monte_carlo": {"samples": 2_000},
    "physics_simulation": {"points": 12, "duration_seconds": 2.0},
    "ml_training": {"data_set": "wine"},
    "research_synthesis": {},
}
CITATION = {"url": "http://127.0.0.1:8099/documents/escrow", "quote": "It merely waits until the end."}
NUMBERS = st.integers() | st.integers(min_value=10**300, max_value=10**310) | st.floats()
JSON = st.recursive(
    st.none()
    | st.booleans()
    | NUMBERS
    | st.text(max_size=20)
    | st.sampled_from(["NaN", "Infinity", "1e999"]),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=12), inner, max_size=6),
    max_leaves=12,
)


@cache
def valid(name):
    task = prepared(name, **SMALL[name])
    if name != "research_synthesis":
        return task, worked(name, task)
    citations = [{**CITATION, "quote": f"{CITATION['quote']} {number}"} for number in range(3)]
    answer = "Escrow protects the agents and the requester."
    return task, {
        "answer": answer,
        "citations": citations,
        "synthesised_by": "extractive",
        "documents_read": 1,
    }


def assert_refused(verdict):
    assert isinstance(verdict, Verification)
    assert not verdict.is_verified
    code, _, sentence = verdict.reason.partition(": ")
    assert code.isidentifier()
    assert sentence
    assert all(isinstance(value, str) or math.isfinite(value) for value in verdict.measures.values())


@pytest.mark.parametrize("name", sorted(SMALL))
@given(result=JSON)
@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_anything_at_all_is_refused(name, result):
    task, _ = valid(name)
    assert_refused(judged(name, task, result))


@pytest.mark.parametrize("name", sorted(SMALL))
@given(data=st.data())
@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_a_result_with_one_field_gone_bad_never_raises(name, data):
    task, result = valid(name)
    field = data.draw(st.sampled_from(sorted(result)))
    verdict = judged(name, task, {**result, field: data.draw(JSON)})
    assert isinstance(verdict, Verification)
    assert verdict.reason


@pytest.mark.parametrize("name", sorted(SMALL))
def test_the_reason_names_the_field_that_is_missing_or_too_many(name):
    task, result = valid(name)
    for field in result:
        verdict = judged(name, task, {key: value for key, value in result.items() if key != field})
        assert verdict.reason.startswith(f"malformed_result: result.{field}: ")
    assert "result.extra: " in judged(name, task, {**result, "extra": 1}).reason


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("monte_carlo", "estimate", float("nan")),
        ("monte_carlo", "estimate", 10**400),
        ("monte_carlo", "samples", True),
        ("monte_carlo", "samples", "2000"),
        ("physics_simulation", "states", [[0.0] * 4] * 1_000_000),
        ("physics_simulation", "states", [[1e308, 1e308, 1e308, 1e308]] * 12),
        ("ml_training", "predictions", [0] * 1_000_000),
        ("ml_training", "predictions", ["x" * 10_000_000]),
        ("research_synthesis", "citations", [{}] * 1_000_000),
        ("research_synthesis", "answer", "\ud800" * 30),
    ],
)
def test_nasty_values_are_refused_by_field(name, field, value):
    task, result = valid(name)
    verdict = judged(name, task, {**result, field: value})
    assert_refused(verdict)
    assert verdict.reason.startswith(f"malformed_result: result.{field}")


def test_a_source_that_cannot_be_read_again_is_not_held_against_the_worker_by_another_name():
    task, result = valid("research_synthesis")
    assert judged("research_synthesis", task, result, nothing_to_fetch).code == "source_unavailable"
