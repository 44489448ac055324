"""Refusals carry a stable code, a sentence and facts; codes are not shared by accident."""

import inspect

import pytest

from services.domain import errors
from services.domain.errors import ConflictError, InvalidValueError, NacreError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, NacreError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_carries_its_sentence_field_and_facts(kind):
    error = kind("a sentence", field="body.x", amount=3)
    assert (str(error), error.detail, error.field) == ("a sentence", "a sentence", "body.x")
    assert error.arguments == {"amount": 3}
    assert error.code == kind.code
    assert isinstance(error, NacreError)


def test_codes_are_different():
    assert len({kind.code for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", [ConflictError, InvalidValueError])
def test_a_finer_code_belongs_to_one_error_only(kind):
    assert kind("x", code="finer").code == "finer"
    assert kind("x").code == kind.code


def test_only_what_may_succeed_later_is_transient():
    assert {kind.code for kind in KINDS if kind.transient} == {
        "budget_exceeded",
        "busy",
        "database_unavailable",
    }
