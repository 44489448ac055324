"""The OpenAPI document and the docs page: complete, with examples, and without any host but this one."""

import json
import re
from pathlib import Path

import pytest

from app.api import examples, ledger_examples
from app.api.answers import schema_of
from services import proposal_system
from services.domain import parameters

METHODS = {"get", "post"}


@pytest.fixture
def document(sqlite_world):
    return sqlite_world.client.get("/openapi.json").json()


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert method in METHODS
            yield f"{method} {path}", operation


def resolve(document, schema):
    """Follow references and alternatives to the schema that carries the example."""
    if "anyOf" in schema:
        schema = next(option for option in schema["anyOf"] if option.get("type") != "null")
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def test_the_document_is_openapi_3_1_with_every_part_of_the_contract(document):
    assert document["openapi"].startswith("3.1")
    names = {name for name, _ in operations(document)}
    assert len(names) == 130
    identifiers = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(identifiers)) == len(identifiers)


def test_every_operation_has_summary_description_tag_and_examples(document):
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["tags"], name
        for status, response in operation["responses"].items():
            for media_type, content in response.get("content", {}).items():
                assert "example" in content, f"{name} {status} {media_type}"
        assert any(
            status.startswith("2") and answer["content"] for status, answer in operation["responses"].items()
        )
        if "requestBody" in operation:
            body = operation["requestBody"]["content"]["application/json"]["schema"]
            assert resolve(document, body)["examples"], name


def test_every_write_asks_for_its_idempotency_key(document):
    without = {"post /api/v1/agents/me/work"}
    for name, operation in operations(document):
        headers = {item["name"] for item in operation.get("parameters", []) if item["in"] == "header"}
        assert ("Idempotency-Key" in headers) == (name.startswith("post") and name not in without), name


def test_every_route_under_the_prefix_asks_for_a_key(document):
    for name, operation in operations(document):
        assert bool(operation.get("security")) == ("/api/v1" in name), name


def test_every_reference_in_the_document_resolves(document):
    for reference in re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(document)):
        assert reference in document["components"]["schemas"]


def test_the_docs_page_and_what_it_loads_are_local(sqlite_world):
    page = sqlite_world.client.get("/docs")
    assert page.status_code == 200
    assert re.findall(r"(?:https?:)?//[a-z0-9.-]+", page.text) == []
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert loaded
    for path in loaded:
        assert sqlite_world.client.get(path).status_code == 200
    assert "connect-src" not in page.headers["content-security-policy"]
    assert "default-src 'self'" in page.headers["content-security-policy"]


def test_the_examples_have_the_shapes_of_the_read_models(sqlite_world, pi_task):
    world = sqlite_world
    agent = world.agent("agent")
    task_id = agent.post("/tasks", pi_task).json()["task_id"]
    shown = {
        "agent": (agent.get("/agents/me").json(), examples.AGENT),
        "task": (agent.get("/tasks").json()["items"][0], examples.TASK),
        "life": (agent.get(f"/tasks/{task_id}").json(), examples.TASK_LIFE),
        "parameter": (agent.get("/parameters").json()["items"][0], examples.PARAMETER),
        "parameter life": (agent.get("/parameters/market.cooling").json(), examples.PARAMETER_LIFE),
        "entry": (agent.get("/ledger/0").json(), ledger_examples.SHOWN_ENTRY),
        "checkpoint": (agent.get("/ledger/checkpoint").json(), examples.CHECKPOINT),
        "inclusion": (agent.get("/ledger/0/inclusion").json(), examples.INCLUSION),
    }
    for name, (real, example) in shown.items():
        assert list(real) == list(example), name


def test_a_schema_is_made_from_its_example():
    made = schema_of({"a": 1, "b": [True], "c": None, "d": 1.5, "e": []})
    kinds = {name: item.get("type") for name, item in made["properties"].items()}
    assert kinds == {"a": "integer", "b": "array", "c": None, "d": "number", "e": "array"}
    assert made["properties"]["b"]["items"] == {"type": "boolean"}


def codes_in(path):
    """Return every code that a module of the core refuses with."""
    text = path.read_text()
    return set(re.findall(r'\bcode ?= ?"([a-z_]+)"', text))


def test_every_code_that_a_proposal_is_refused_with_is_documented(document):
    told = document["paths"]["/api/v1/proposals"]["post"]["description"]
    core = Path(proposal_system.__file__).parent
    codes = set().union(*(codes_in(core / name) for name in ("admission.py", "filing.py")))
    codes |= codes_in(Path(parameters.__file__))
    assert {"admission_refused", "margin_out_of_bounds", "step_too_large"} <= codes
    assert {code for code in codes if f"`{code}`" not in told} == set()
