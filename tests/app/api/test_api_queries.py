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


NAMES = [
    ("/metrics/task_success/series?dimension=agent&key=999", 404, "not_found", "/keys lists them"),
    ("/metrics/task_success/summary?dimension=agent&key=999", 404, "not_found", "it has none yet"),
    ("/metrics/task_success/series?from=2026-02-01&to=2026-01-01", 422, "span_reversed", "later than from"),
    ("/metrics/task_success/summary?from=2026-02-01&to=2026-01-01", 422, "span_reversed", "later than from"),
    ("/cron?job=nope", 404, "not_found", "the jobs are "),
    ("/dead-letters?subscriber=bogus", 422, "subscriber_unknown", "there are "),
    ("/dead-letters?event_type=Bogus", 422, "event_type_unknown", "docs/events.md"),
    ("/health?component=nope", 422, "component_unknown", "there are "),
    (
        "/health?component=job/lease_expir&layer=correct",
        422,
        "component_unknown",
        "did you mean 'job/lease_expiry'?",
    ),
    ("/events?type=nacre.task.endet", 422, "event_type_unknown", "did you mean 'nacre.task.ended'"),
]


@pytest.mark.parametrize(("path", "status", "code", "said"), NAMES)
def test_an_unknown_name_is_refused_with_what_there_is(sqlite_world, problem_of, path, status, code, said):
    assert said in problem_of(sqlite_world.operator.get(path), status, code)["detail"]


def test_an_event_type_of_a_webhook_is_judged_before_its_host(sqlite_world, problem_of):
    body = {"url": "https://nowhere.invalid/x", "types": ["nacre.ping"]}
    told = problem_of(sqlite_world.operator.post("/webhooks", body), 422, "event_type_unknown")
    assert "cannot be asked for" in told["detail"]


def test_a_replay_that_moves_nothing_has_no_state_and_an_unknown_subscriber_is_refused(
    sqlite_world, problem_of
):
    replay = sqlite_world.operator.post
    done = replay("/dead-letters/replay", {"delivery_ids": [1]})
    assert done.json() == {"state": None, "delivery_ids": [], "passed_over": [1], "ledger_index": None}
    told = problem_of(replay("/dead-letters/replay", {"subscriber": "bogus"}), 422, "subscriber_unknown")
    assert told["field"] == "body.subscriber"
