"""The registry knows four complete types, imports nothing heavy, and survives broken entry points."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from pydantic import ValidationError

from app.tasks.registry import ENTRY_POINT_GROUP, TASK_TYPE_REGISTRY, load_registry
from app.tasks.task_type import ParameterRisk, TaskType

EVERY_TYPE = sorted(TASK_TYPE_REGISTRY)


def point(name, value):
    return EntryPoint(name=name, value=value, group=ENTRY_POINT_GROUP)


def test_the_four_types_are_registered_under_their_names():
    assert EVERY_TYPE == ["ml_training", "monte_carlo", "physics_simulation", "research_synthesis"]
    assert all(TASK_TYPE_REGISTRY[name].name == name for name in EVERY_TYPE)


@pytest.mark.parametrize("name", EVERY_TYPE)
def test_a_type_is_complete(name):
    kind = TASK_TYPE_REGISTRY[name]
    task = kind.prepare(kind.example)
    assert task.public
    assert kind.payload_model.model_json_schema()["examples"] == [kind.example]
    assert callable(kind.load_tool())
    assert callable(kind.load_verifier())


@pytest.mark.parametrize("name", EVERY_TYPE)
def test_parameters_are_named_bounded_and_classed(name):
    parameters = {spec.suffix: spec for spec in TASK_TYPE_REGISTRY[name].parameters}
    assert parameters["timeout_seconds"].risk is ParameterRisk.OPEN
    assert parameters["timeout_seconds"].low == 0.1
    assert parameters["reserve_price_microcredits"].risk is ParameterRisk.GATED
    assert isinstance(parameters["reserve_price_microcredits"].default, int)
    assert all(spec.low <= spec.default <= spec.high and spec.step_max > 1 for spec in parameters.values())


def test_the_shipped_timeouts():
    defaults = {
        name: next(spec.default for spec in kind.parameters if spec.suffix == "timeout_seconds")
        for name, kind in TASK_TYPE_REGISTRY.items()
    }
    assert defaults == {
        "research_synthesis": 90.0,
        "monte_carlo": 30.0,
        "physics_simulation": 30.0,
        "ml_training": 120.0,
    }


@pytest.mark.parametrize("name", EVERY_TYPE)
def test_an_unknown_payload_field_is_refused(name):
    kind = TASK_TYPE_REGISTRY[name]
    with pytest.raises(ValidationError, match="surprise"):
        kind.prepare({**kind.example, "surprise": 1})


def test_importing_the_registry_imports_nothing_heavy():
    heavy = ("numpy", "scipy", "sklearn", "httpx2", "anthropic", "rank_bm25", "services")
    script = (
        "import sys, app.tasks.registry\n"
        f"sys.exit(' '.join(name for name in {heavy!r} if name in sys.modules) or 0)"
    )
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr.strip()) == (0, "")


def test_an_empty_payload_field_takes_the_value_in_force_and_a_given_one_keeps_its_own():
    kind = TASK_TYPE_REGISTRY["research_synthesis"]
    values = {"passages_per_answer": 9.0, "timeout_seconds": 1.0}
    assert kind.with_values_in_force({"passages": None}, values) == {"passages": 9}
    assert kind.with_values_in_force({"passages": 4}, values) == {"passages": 4}
    full_name = {"research_synthesis.passages_per_answer": 5}
    assert kind.with_values_in_force({}, full_name) == {"passages": 5}


def test_broken_entry_points_are_named_and_do_not_stop_the_others(tmp_path, monkeypatch):
    (tmp_path / "plug_in_types.py").write_text(
        "from dataclasses import replace\n"
        "from app.tasks.registry import TASK_TYPE_REGISTRY\n"
        "GOOD = replace(TASK_TYPE_REGISTRY['monte_carlo'], name='my_monte_carlo')\n"
        "TWICE = TASK_TYPE_REGISTRY['monte_carlo']\n"
        "NUMBER = 7\n"
    )
    (tmp_path / "plug_in_raising.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    loaded = load_registry(
        [
            point("absent", "no_such_plug_in:TYPE"),
            point("raising", "plug_in_raising:TYPE"),
            point("number", "plug_in_types:NUMBER"),
            point("twice", "plug_in_types:TWICE"),
            point("good", "plug_in_types:GOOD"),
        ]
    )
    assert set(loaded.types) == {*EVERY_TYPE, "my_monte_carlo"}
    why = {broken.name: broken.why for broken in loaded.broken}
    assert list(why) == ["absent", "raising", "number", "twice"]
    assert "no_such_plug_in" in why["absent"]
    assert "ZeroDivisionError" in why["raising"]
    assert "is a int, not a TaskType" in why["number"]
    assert "exists already" in why["twice"]


def test_installed_entry_points_are_looked_up_by_themselves():
    loaded = load_registry()
    assert set(EVERY_TYPE) <= set(loaded.types)
    assert all(isinstance(kind, TaskType) for kind in loaded.types.values())
