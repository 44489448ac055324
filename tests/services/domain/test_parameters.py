"""The registry of parameters: bounds, steps, one spelling per value, and what no proposal may touch."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.errors import InvalidValueError, NotFoundError
from services.domain.parameters import (
    PLATFORM_PARAMETERS,
    Parameter,
    ParameterRegistry,
    Risk,
    canonical_value,
    check_change,
    parse_value,
)

TIMEOUT = Parameter("demo.timeout_seconds", "90", "0.5", "600", "2", "seconds", "demo", Risk.OPEN, "Time.")
WHOLE = replace(TIMEOUT, name="demo.tries", default="2", low="0", high="9", is_whole=True, unit="tries")


def code_of(verb, *arguments):
    with pytest.raises(InvalidValueError) as refusal:
        verb(*arguments)
    return refusal.value.code, refusal.value.field


def test_what_is_no_plain_ascii_number_is_refused():
    signs = ["nan", "NaN", "inf", "-inf", "Infinity", "", "ninety", "0x10", "1e2", "9E1", "+90", "90.", ".9"]
    scripts = [" 90", "90 ", "90\n", "9_0", "９０", "٩٠", "9\u200b0", "90; market.stake_percent=0", True, 90]
    for text in signs + scripts:
        assert code_of(parse_value, TIMEOUT, text) == ("value_not_a_number", "to"), text


@pytest.mark.parametrize("text", ["0.49", "600.0001", "-90", "999999999"])
def test_bounds_bind(text):
    assert code_of(parse_value, TIMEOUT, text) == ("value_out_of_bounds", "to")


def test_bounds_are_inclusive():
    assert parse_value(TIMEOUT, "0.5") == Decimal("0.5")
    assert parse_value(TIMEOUT, "600") == 600


def test_whole_is_whole():
    assert code_of(parse_value, WHOLE, "2.5") == ("value_not_whole", "to")
    assert canonical_value(WHOLE, "3.0") == "3"


@pytest.mark.parametrize(
    ("text", "spelling"),
    [("90", "90"), ("90.0", "90"), ("0.90", "0.9"), ("100.000", "100")],
)
def test_a_value_has_one_spelling(text, spelling):
    assert canonical_value(TIMEOUT, text) == spelling


def test_zero_has_one_spelling():
    assert canonical_value(WHOLE, "-0") == canonical_value(WHOLE, "0.00") == "0"


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.decimals("0.5", "600", places=4))
def test_spelling_changes_no_value_and_is_stable(value):
    text = canonical_value(TIMEOUT, format(value, "f"))
    assert Decimal(text) == value
    assert canonical_value(TIMEOUT, text) == text


@pytest.mark.parametrize(("after", "expected"), [("180", "180"), ("45.0", "45"), ("91", "91")])
def test_a_change_within_the_step_is_taken(after, expected):
    assert check_change(TIMEOUT, "90", after) == expected


@pytest.mark.parametrize(
    ("after", "code"),
    [
        ("180.1", "step_too_large"),
        ("44.9", "step_too_large"),
        ("90.00", "value_unchanged"),
        ("700", "value_out_of_bounds"),
    ],
)
def test_a_change_beyond_is_refused(after, code):
    assert code_of(check_change, TIMEOUT, "90", after) == (code, "to")


def test_what_restrains_the_loop_is_fixed():
    fixed = {p.name for p in PLATFORM_PARAMETERS if p.risk is Risk.FIXED}
    assert {"consensus.threshold_percent", "sandbox.alpha", "market.stake_percent"} <= fixed
    assert all(p.risk is Risk.FIXED for p in PLATFORM_PARAMETERS if p.task_type in ("consensus", "sandbox"))
    for parameter in PLATFORM_PARAMETERS:
        if parameter.risk is Risk.FIXED:
            assert code_of(check_change, parameter, parameter.default, parameter.high)[0] == "parameter_fixed"


def test_the_platform_s_own_parameters_are_sound():
    registry = ParameterRegistry(PLATFORM_PARAMETERS)
    assert len(registry) == len(PLATFORM_PARAMETERS)
    assert [p.name for p in registry] == sorted(p.name for p in PLATFORM_PARAMETERS)
    assert all(Decimal(p.step_max) > 1 for p in registry if p.is_number)
    assert all(p.summary and p.unit for p in registry)


@pytest.mark.parametrize("name", ["Demo.timeout", "démo.timeout", "demo.ﬁne"])
def test_a_name_that_could_be_mistaken_is_refused(name):
    with pytest.raises(InvalidValueError, match="lower-case ASCII"):
        ParameterRegistry([replace(TIMEOUT, name=name)])


def test_a_name_is_registered_once():
    with pytest.raises(InvalidValueError, match="registered twice"):
        ParameterRegistry([TIMEOUT, TIMEOUT])


def test_a_retired_name_never_comes_back(monkeypatch):
    monkeypatch.setattr("services.domain.parameters.RETIRED_NAMES", frozenset({TIMEOUT.name}))
    with pytest.raises(InvalidValueError, match="retired"):
        ParameterRegistry([TIMEOUT])


def test_a_default_out_of_bounds_is_no_parameter():
    with pytest.raises(InvalidValueError):
        ParameterRegistry([replace(TIMEOUT, default="1000")])


def test_other_starting_values_keep_the_bounds():
    registry = ParameterRegistry([TIMEOUT])
    assert registry.with_defaults({TIMEOUT.name: "0.9"}).get(TIMEOUT.name).default == "0.9"
    assert registry.get(TIMEOUT.name).default == "90"
    with pytest.raises(InvalidValueError):
        registry.with_defaults({TIMEOUT.name: "0.1"})
    with pytest.raises(NotFoundError):
        registry.with_defaults({"demo.unknown": "1"})
    with pytest.raises(NotFoundError, match="nacre parameter list"):
        registry.get("demo.unknown")
