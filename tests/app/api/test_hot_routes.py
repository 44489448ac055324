"""A hot route and the documented route of its path are one: the same answers, bytes, codes and schemas."""

import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.api import batch_bodies, bodies, hot_bodies, hot_routes
from app.api.strict_json import BodyRefusedError, check_json

TWINS = [
    (hot_bodies.HotNothing, bodies.Nothing),
    (hot_bodies.HotBid, bodies.NewBid),
    (hot_bodies.HotBidItem, batch_bodies.BidItem),
    (hot_bodies.HotLeaseItem, batch_bodies.LeaseItem),
    (hot_bodies.HotLeaseToken, bodies.LeaseToken),
    (hot_bodies.HotHeartbeatItem, batch_bodies.HeartbeatItem),
    (hot_bodies.HotResult, bodies.Result),
    (hot_bodies.HotResultItem, batch_bodies.ResultItem),
    (hot_bodies.HotTask, bodies.NewTask),
    (hot_bodies.HotWorkQuery, bodies.WorkQuery),
]
HOT_PATHS = {
    "post /api/v1/tasks/{task_id}/bids",
    "post /api/v1/tasks/{task_id}/lease",
    "post /api/v1/tasks/{task_id}/heartbeat",
    "post /api/v1/tasks/{task_id}/result",
    "post /api/v1/agents/me/work",
    "post /api/v1/tasks",
    "get /api/v1/tasks",
    "post /api/v1/batch/tasks",
    "post /api/v1/batch/bids",
    "post /api/v1/batch/leases",
    "post /api/v1/batch/heartbeats",
    "post /api/v1/batch/results",
}
NAMES = sorted({name for hot, _ in TWINS for name in hot.__struct_fields__} | {"agent_id"})
EDGES = [
    0,
    1,
    100,
    101,
    10**15,
    10**15 + 1,
    2**63 - 1,
    2**63,
    -1,
    30 * 86_400,
    1.0,
    0.5,
    30,
    30.5,
    True,
    None,
]
TEXTS = ["completed", "failed", "timed_out", "monte_carlo", "monte_carlo\n", "", "x" * 65, "é"]
values = st.one_of(
    st.sampled_from(EDGES),
    st.sampled_from(TEXTS),
    st.integers(-5, 200),
    st.just({}),
    st.just([]),
    st.lists(st.sampled_from(TEXTS), max_size=3),
    st.lists(
        st.fixed_dictionaries({"task_id": st.integers(0, 3), "fencing_token": st.integers(0, 3)}), max_size=2
    ),
)
likely = st.fixed_dictionaries(
    {},
    optional={
        "ask_microcredits": st.sampled_from([1, 5, 10**15, 0]),
        "confidence_percent": st.sampled_from([0, 100, 101, None]),
        "task_id": st.sampled_from([1, 2**63 - 1, 0]),
        "fencing_token": st.sampled_from([1, 17]),
        "outcome": st.sampled_from(["completed", "failed", "won"]),
        "failure_reason": st.sampled_from(["timed_out", None, "verified"]),
        "handoff": st.just({"done": "", "changed": {}, "next": ""}),
        "type": st.sampled_from(["monte_carlo", "Monte"]),
        "payload": st.just({}),
        "deadline_seconds": st.sampled_from([1, 0]),
        "types": st.sampled_from([None, [], ["monte_carlo"], [""], "x"]),
        "limit": st.sampled_from([1, 100, 101]),
        "lease": st.booleans(),
        "wait_seconds": st.sampled_from([0, 1, 0.5, 31]),
    },
)  # fmt: skip
requests = st.one_of(likely, st.dictionaries(st.sampled_from(NAMES), values, max_size=6))


def plain(body):
    return msgspec.to_builtins(body)


@pytest.mark.parametrize(("hot", "documented"), TWINS, ids=lambda kind: kind.__name__)
def test_a_hot_body_takes_what_its_documented_schema_takes(hot, documented):
    seen = {"taken": 0, "refused": 0}

    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(requests)
    def agree(asked):
        wanted = {name: value for name, value in asked.items() if name in hot.__struct_fields__}
        for body in (asked, wanted):
            try:
                value = check_json(json.dumps(body).encode())
            except BodyRefusedError:
                continue
            try:
                slow = documented.model_validate(value).model_dump()
            except ValidationError:
                slow = None
            try:
                quick = plain(msgspec.convert(value, hot))
            except msgspec.ValidationError:
                quick = None
            assert quick == slow, body
            seen["taken" if slow is not None else "refused"] += 1

    agree()
    assert all(seen.values()), f"{seen}: one side was never tried"


@pytest.mark.parametrize(("hot", "documented"), TWINS, ids=lambda kind: kind.__name__)
def test_twins_have_the_same_fields_and_defaults(hot, documented):
    required = {field.name for field in msgspec.structs.fields(hot) if field.required}
    assert set(hot.__struct_fields__) == set(documented.model_fields)
    assert required == {name for name, field in documented.model_fields.items() if field.is_required()}


def test_every_hot_route_is_in_the_document(sqlite_world):
    app = sqlite_world.client.app
    document = app.openapi()
    hot = {
        f"{route.method.lower()} {route.path.replace(':int', '')}"
        for route in app.router.routes
        if isinstance(route, hot_routes.HotRoute)
    }
    assert hot == HOT_PATHS
    for name in hot:
        method, path = name.split(" ")
        assert method in document["paths"][path]
    first = [isinstance(route, hot_routes.HotRoute) for route in app.router.routes]
    assert first[: len(hot)] == [True] * len(hot), "they stand before all others"


class Documented:
    """The same caller, whose every request goes past the hot routes to the documented ones."""

    def __init__(self, monkeypatch):
        self._patch = monkeypatch

    def __enter__(self):
        self._context = self._patch.context()
        patch = self._context.__enter__()

        async def hesitate(*_arguments):
            raise hot_routes.HesitationError

        patch.setattr(hot_routes.HotEndpoint, "_read", hesitate)

    def __exit__(self, *error):
        self._context.__exit__(*error)


VOLATILE = {"x-request-id", "date"}


def told(answer):
    headers = {name: value for name, value in answer.headers.items() if name not in VOLATILE}
    return answer.status_code, answer.content, headers


def test_the_documented_route_answers_a_hot_request_byte_for_byte(sqlite_world, pi_task, monkeypatch):
    """Refusals and replays are asked of both; what acts is asked once and replayed through the other."""
    world = sqlite_world
    requester, bidder = world.agent("requester"), world.agent("bidder")
    requester.post("/tasks", pi_task)
    asked = [
        (bidder, "/tasks/1/bids", {"ask_microcredits": 40_000}),
        (bidder, "/tasks/1/bids", {"ask_microcredits": 40_001}),
        (bidder, "/tasks/99/bids", {"ask_microcredits": 40_000}),
        (bidder, "/tasks/1/bids", {"ask_microcredits": 200_000}),
        (bidder, "/tasks/1/bids", {"ask_microcredits": 0}),
        (requester, "/tasks/1/bids", {"ask_microcredits": 5}),
        (world.operator, "/tasks/1/bids", {"ask_microcredits": 5}),
        (world.nobody, "/tasks/1/bids", {"ask_microcredits": 5}),
        (bidder, "/tasks/1/lease", {}),
        (bidder, "/tasks/1/heartbeat", {"fencing_token": 1}),
        (bidder, "/tasks/1/result", {"fencing_token": 1, "outcome": "completed", "handoff": {}}),
        (requester, "/tasks", pi_task),
        (requester, "/tasks", {**pi_task, "payload": {}}),
        (requester, "/tasks", {**pi_task, "type": "none"}),
        (bidder, "/agents/me/work", {}),
        (bidder, "/agents/me/work", {"types": ["monte_carlo"], "limit": 1}),
        (requester, "/batch/tasks", {"items": [pi_task, {}, {**pi_task, "payload": {"samples": 1}}]}),
        (bidder, "/batch/bids", {"items": [{"task_id": 2, "ask_microcredits": 7}, {"task_id": 2}, 5]}),
        (bidder, "/batch/bids", {"items": []}),
        (bidder, "/batch/leases", {"items": [{"task_id": 1}]}),
    ]
    for number, (caller, path, body) in enumerate(asked):
        with Documented(monkeypatch):
            first = caller.post(path, body, key=f"k{number}")
        second = caller.post(path, body, key=f"k{number}")
        one, two = told(first), told(second)
        if first.is_success and path != "/agents/me/work":
            assert two[2].pop("idempotent-replayed") == "true", path
        assert one == two, path
    for query in ({}, {"limit": 1}, {"state": "bidding"}, {"type": "monte_carlo"}, {"type": "none"}):
        with Documented(monkeypatch):
            first = requester.get("/tasks", **query)
        assert told(first) == told(requester.get("/tasks", **query)), query


def test_a_hot_request_never_reaches_the_documented_route(sqlite_world, pi_task, monkeypatch):
    requester = sqlite_world.agent("requester")

    def fail(*_arguments):
        raise AssertionError("the documented route was asked")

    monkeypatch.setattr("app.api.idempotency.hash_of", fail)
    assert requester.post("/tasks", pi_task).status_code == 201
    with Documented(monkeypatch):
        assert requester.post("/tasks", pi_task).status_code == 500


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(content=st.one_of(st.binary(max_size=60), requests.map(lambda body: json.dumps(body).encode())))
def test_nothing_that_is_sent_is_an_error_of_ours(sqlite_world, content):
    if not hasattr(sqlite_world, "fuzzed"):
        sqlite_world.fuzzed = sqlite_world.agent("fuzzer")
    for path in ("/tasks/1/bids", "/tasks/1/result", "/batch/bids", "/tasks"):
        answer = sqlite_world.fuzzed.post_raw(path, content)
        assert answer.status_code < 500, (path, content, answer.text)
