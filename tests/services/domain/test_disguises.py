"""FIXED parameters in every disguise: ten thousand proposals drawn from a seed, none of them gets through."""

import random

import pytest

from services.domain.errors import NacreError
from services.domain.parameters import (
    PLATFORM_PARAMETERS,
    Parameter,
    ParameterRegistry,
    Risk,
    check_change,
    task_policy,
)
from tests.services.domain.disguises import NUMBERS, disguised

SEED = 20_261_122
TIMEOUT = Parameter("demo.timeout_seconds", "90", "0.5", "600", "2", "seconds", "demo", Risk.OPEN, "Time.")
REGISTRY = ParameterRegistry([*PLATFORM_PARAMETERS, TIMEOUT, *task_policy("demo", "demo")])
FIXED = [one.name for one in REGISTRY if one.risk is Risk.FIXED]


def asked(name, to):
    """Ask for a change as a proposal does; return what would be filed."""
    parameter = REGISTRY.get(name)
    return parameter.name, check_change(parameter, parameter.default, to)


def test_ten_thousand_proposals_in_disguise_are_refused_by_name():
    rng = random.Random(SEED)
    named = 0
    for _ in range(10_000):
        name, kind = rng.choice(FIXED), rng.random()
        if kind < 0.75:
            name, to = disguised(rng, name, TIMEOUT.name), rng.choice(["1", "60", REGISTRY.get(name).high])
        elif kind < 0.85:
            to = REGISTRY.get(name).high
        else:
            name, to = TIMEOUT.name, rng.choice(NUMBERS)
        with pytest.raises(NacreError) as refusal:
            asked(name, to)
        error = refusal.value
        assert error.field in {"parameter", "to"}, (name, to)
        expected = "value_not_a_number" if name == TIMEOUT.name else "parameter_fixed"
        assert error.code == expected, (name, to, error.detail)
        named += error.arguments.get("resembles") in FIXED
    assert named > 7_000


def test_what_is_meant_still_gets_through_and_what_is_unknown_is_not_called_fixed():
    assert asked(TIMEOUT.name, "60.0") == (TIMEOUT.name, "60")
    assert asked("demo.award_rule", "2") == ("demo.award_rule", "2")
    for name in ("demo.timeout", "Demo.timeout_seconds", "demo.timeout_seconds,", "", "*", "market", "🦪"):
        with pytest.raises(NacreError) as refusal:
            asked(name, "60")
        assert refusal.value.code == "not_found", name
