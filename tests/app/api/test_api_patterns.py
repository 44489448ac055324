"""Patterns over HTTP and on the command line: pages, filters, shapes, and text from agents as text."""

import json

import pytest

from app.api import pattern_examples as examples
from app.api.application import build_api
from app.cli import main
from services.domain.patterns import PatternKind
from services.domain.states import EndReason
from services.operations import dreaming
from tests.app.cli.conftest import ReadOverHttp
from tests.services.planted_days import LIMIT, Plant, in_force

EVIL = "\x1b[31m<script>alert(1)</script> [bold]boo"


@pytest.fixture
def dreamt(market, requester, worker):
    """A platform with a night behind it: two agents, one setting with two values, hostile words."""
    market.pass_seconds(12 * 3600)
    plant, other = Plant(market, requester), market.agent()
    plant.tasks(40, agent=worker)
    plant.tasks(20, agent=other, effective_values=in_force(timeout_seconds="4"))
    plant.tasks(12, agent=worker, reason=EndReason.VERIFICATION_FAILED, said=EVIL)
    market.pass_seconds(26 * 3600)
    found = {"tasks": 1}
    while any(found.values()):
        with market.write("system:dream") as tx:
            found = dreaming.consolidate(tx, market.platform.registry)
    return ReadOverHttp(market.platform)


def shape_of(value):
    if isinstance(value, dict):
        return {name: shape_of(item) for name, item in value.items()}
    return type(value).__name__ if not isinstance(value, int | float) else "number"


def test_a_setting_has_the_shape_of_the_example(dreamt):
    items = dreamt.get("/patterns", kind="setting").json()["items"]
    [found] = [one for one in items if one["facts"]["value"] == "2"]
    example = {**examples.PATTERN, "facts": {**examples.PATTERN["facts"], "reasons": {}}}
    mine = {**found, "facts": {**found["facts"], "reasons": {}}}
    assert shape_of(mine) == shape_of(example)
    for name in ("durations", "by_day"):
        assert shape_of(found["facts"][name][0]) == shape_of(examples.PATTERN["facts"][name][0])
    assert (found["facts"]["parameter"], found["tasks"], found["failures"]) == (LIMIT, 52, 12)
    assert dreamt.get(f"/patterns/{found['pattern_id']}").json() == found


def test_filters_and_pages_leave_nothing_out(dreamt, worker):
    everything = dreamt.get("/patterns", order="oldest", limit=500).json()["items"]
    assert {one["kind"] for one in everything} >= {"agent", "setting", "signature"}
    paged, cursor = [], None
    while True:
        asked = {"limit": 1, "order": "oldest", **({"cursor": cursor} if cursor else {})}
        page = dreamt.get("/patterns", **asked).json()
        paged += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert paged == everything
    for kind in PatternKind:
        found = dreamt.get("/patterns", kind=str(kind)).json()["items"]
        assert {one["pattern_id"] for one in found} == {
            one["pattern_id"] for one in everything if one["kind"] == kind
        }
    assert {one["agent_id"] for one in dreamt.get("/patterns", agent_id=worker).json()["items"]} == {worker}
    assert dreamt.get("/patterns", task_type="nothing").json()["items"] == []
    assert dreamt.get("/patterns", task_type="monte_carlo").json()["items"] != []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"kind": "dream"}, "query.kind"),
        ({"agent_id": 0}, "query.agent_id"),
        ({"limit": 0}, "query.limit"),
        ({"cursor": "x"}, "query.cursor"),
        ({"task_type": "a b"}, "query.task_type"),
    ],
)
def test_a_wrong_question_is_told_which_field(dreamt, query, field):
    answer = dreamt.client.get("/api/v1/patterns", params=query, headers=dreamt.headers)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_what_is_not_there_is_not_found(dreamt):
    answer = dreamt.client.get("/api/v1/patterns/99999", headers=dreamt.headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_words_of_agents_are_words(dreamt):
    [found] = dreamt.get("/patterns", kind="signature").json()["items"]
    assert found["facts"]["words"] == "script alert script bold boo"
    assert found["summary"] == "verification_failed: script alert script bold boo"
    assert len(found["facts"]["example_task_ids"]) == 10


def test_the_command_line_lists_and_shows_what_the_api_does(dreamt, capsys):
    def run(*words):
        capsys.readouterr()
        code = main([*map(str, words), *dreamt.database])
        return code, capsys.readouterr().out

    code, out = run("pattern", "list", "--kind", "setting", "--json")
    assert (code, json.loads(out)) == (0, dreamt.get("/patterns", kind="setting").json())
    asked = ("pattern", "list", "--type", "monte_carlo", "--oldest", "--json")
    assert (
        json.loads(run(*asked)[1]) == dreamt.get("/patterns", task_type="monte_carlo", order="oldest").json()
    )
    for one in dreamt.get("/patterns").json()["items"]:
        code, out = run("pattern", "show", one["pattern_id"], "--json")
        assert (code, json.loads(out)) == (0, one)
        code, out = run("pattern", "show", one["pattern_id"])
        assert code == 0
        assert one["summary"] in out
    code, out = run("pattern", "list")
    assert code == 0
    assert "\x1b" not in out
    assert run("pattern", "show", 99_999)[0] == 1


def test_the_document_describes_both_routes(market):
    paths = build_api(market.platform).openapi()["paths"]
    assert {path for path in paths if "patterns" in path} == {
        "/api/v1/patterns", "/api/v1/patterns/{pattern_id}",
    }  # fmt: skip
