"""docs/proposal.schema.json says what the API takes: its own examples fit, its refusals of form do not."""

import json
import re
from pathlib import Path

from app.api.bodies import NewProposal

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "proposal.schema.json").read_text())
EXAMPLE = SCHEMA["examples"][0]
KINDS = {"string": str, "integer": int, "array": list, "object": dict, "null": type(None)}
TOLD = {"title", "description", "default", "examples", "$schema", "$defs"}
WRONG = [
    *({name: None} for name in ("parameter", "to", "expected_effect", "root_cause", "evidence", "cap_tasks")),
    {"parameter": ""}, {"parameter": "p" * 97}, {"parameter": 7}, {"to": ""}, {"to": 1.8},
    {"to": "t" * 4_001},
    {"expected_effect": "a lot"}, {"expected_effect": "1e-3"}, {"expected_effect": 0.25},
    {"root_cause": ""}, {"root_cause": "r" * 4_001},
    {"evidence": []}, {"evidence": [0]}, {"evidence": ["101"]}, {"evidence": [2**63]},
    {"evidence": list(range(1, 202))}, {"cap_tasks": 0}, {"cap_tasks": True}, {"cap_days": 366},
    {"meta_task_id": 0}, {"metric": "fun"}, {"scope": "world"}, {"proposer": 3},
    {"guardrails": [{"metric": "task_cost"}]}, {"guardrails": [{"metric": "task_cost", "margin": 0.2}]},
    {"guardrails": [{"metric": "task_cost", "margin": "0.2", "ceiling": "1"}]},
    {"guardrails": [{"metric": "task_cost", "margin": "0.2"}] * 4},
]  # fmt: skip
"""Changes of the example that the API refuses for their form; None takes the field away."""
REFUSALS_OF_FORM = ("validation_failed", "body_not_json")
RIGHT = [
    {}, {"meta_task_id": None}, {"guardrails": []}, {"scope": "platform", "metric": "task_cost"},
    {"to": "t" * 4_000}, {"expected_effect": "-1"}, {"evidence": [2**63 - 1]},
]  # fmt: skip


def fits(value, schema):
    """Tell whether a value fits a schema; a word of the schema that is not known here is a KeyError."""
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    words = [name for name in schema if name not in TOLD]
    return all(HOLDS[name](schema[name], value, schema) for name in words)


def size(value):
    """Return what bounds are about: a whole number, or a length; anything else is for `type` to refuse."""
    if isinstance(value, str | list):
        return len(value)
    return value if isinstance(value, int) else None


def at_least(said, value, _):
    return size(value) is None or size(value) >= said


def at_most(said, value, _):
    return size(value) is None or size(value) <= said


HOLDS = {
    "anyOf": lambda said, value, _: any(fits(value, one) for one in said),
    "type": lambda said, value, _: isinstance(value, KINDS[said]) and not isinstance(value, bool),
    "enum": lambda said, value, _: value in said,
    "pattern": lambda said, value, _: isinstance(value, str) and re.search(said, value) is not None,
    **dict.fromkeys(("minLength", "minItems", "minimum"), at_least),
    **dict.fromkeys(("maxLength", "maxItems", "maximum"), at_most),
    "items": lambda said, value, _: isinstance(value, list) and all(fits(one, said) for one in value),
    "required": lambda said, value, _: set(said) <= set(value),
    "properties": lambda said, value, _: all(fits(value[n], one) for n, one in said.items() if n in value),
    "additionalProperties": lambda said, value, schema: said or set(value) <= set(schema["properties"]),
}
"""JSON Schema's words, as far as the schema uses them: (what it says, the value, the schema) -> holds."""


def changed(changes):
    body = {**EXAMPLE, **{name: said for name, said in changes.items() if said is not None}}
    return {name: said for name, said in body.items() if changes.get(name, "") is not None}


def test_every_field_is_described():
    for schema in (SCHEMA, SCHEMA["$defs"]["NewGuardrail"]):
        assert schema["description"]
        for name, field in schema["properties"].items():
            assert len(field["description"]) > 10, name


def test_it_takes_what_the_api_takes_and_refuses_what_it_refuses(sqlite_world):
    proposer = sqlite_world.agent("proposer")
    for changes in RIGHT:
        body = {**EXAMPLE, **changes}
        assert fits(body, SCHEMA), changes
        NewProposal.model_validate(body)
    for changes in WRONG:
        body = changed(changes)
        assert not fits(body, SCHEMA), changes
        assert proposer.post("/proposals", body).json()["code"] in REFUSALS_OF_FORM, changes


def test_a_refusal_of_its_parameters_bounds_is_not_one_of_form(sqlite_world, problem_of):
    body = {**EXAMPLE, "to": "999999"}
    assert fits(body, SCHEMA)
    problem_of(sqlite_world.agent("proposer").post("/proposals", body), 422, "value_out_of_bounds")
