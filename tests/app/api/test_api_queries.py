"""A query says what the route hears: other names, and names given twice, are refused by name."""

import pytest

UNKNOWN = [
    ("/metrics/task_success/series?by=agent", "by", "cursor, dimension, from, grain, key, limit, order, to"),
    ("/metrics/task_success/summary?by=agent", "by", "dimension, from, key, to"),
    ("/metrics?limit=1", "limit", "this path takes none"),
    ("/tasks?kinds=meta", "kinds", "cursor, ended_after, kind, limit, order"),
    ("/cron?jobs=x", "jobs", "cursor, job, limit, order"),
    ("/health?components=x", "components", "component, layer"),
    ("/dead-letters?type=TaskEnded", "type", "cursor, event_type, limit, order, subscriber"),
    ("/ledger/0?index=1", "index", "this path takes none"),
]


@pytest.mark.parametrize(("path", "name", "taken"), UNKNOWN)
def test_an_unknown_query_parameter_is_refused_with_those_there_are(
    sqlite_world, problem_of, path, name, taken
):
    told = problem_of(sqlite_world.operator.get(path), 422, "query_parameter_unknown")
    assert told["field"] == f"query.{name}"
    assert taken in told["detail"]


@pytest.mark.parametrize("path", ["/tasks", "/tasks/1/bids", "/agents/me/work", "/batch/bids"])
def test_writes_take_none_on_the_hot_way_either(sqlite_world, problem_of, pi_task, path):
    agent = sqlite_world.agent("ada")
    told = problem_of(agent.post(f"{path}?dry_run=1", pi_task), 422, "query_parameter_unknown")
    assert told["field"] == "query.dry_run"
    assert sqlite_world.operator.get("/tasks").json()["items"] == []


def test_a_parameter_that_is_given_twice_is_refused(sqlite_world, problem_of):
    for path in ("/tasks?limit=1&limit=2", "/metrics/task_success/series?key=1&key=2"):
        told = problem_of(sqlite_world.operator.get(path), 422, "query_parameter_repeated")
        assert told["field"] == f"query.{path.partition('?')[2].partition('=')[0]}"


def test_what_dependencies_and_aliases_take_is_known(sqlite_world):
    query = "limit=5&order=oldest&from=2026-01-01&to=2026-02-01&dimension=platform&key=all&grain=day"
    assert sqlite_world.operator.get(f"/metrics/task_success/series?{query}").status_code == 200
    assert sqlite_world.operator.get("/tasks?limit=5&order=oldest").status_code == 200
