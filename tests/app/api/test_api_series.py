"""Metrics over HTTP: what is published, every window of a series, late corrections, and accepting a shift."""

import pytest

from services import observatory
from services.domain.clock import HOUR_US
from services.domain.measures import MEASURES
from services.store import sql, tables
from tests.services.observatory.watching import Watch


@pytest.fixture
def watched(world):
    """Two hours of windows under the API's world; the second was corrected late."""
    watch = Watch(world.platform)
    watch.plant_windows(
        2,
        task_success=lambda hour: (30 + hour, 40),
        task_success__task_type__monte_carlo=lambda _: (9, 10),
        task_duration=lambda _: (30, 3, 350.0, 5, 15),
    )
    with watch.write() as tx:
        sql.insert(
            tx, tables.snapshot_correction, metric="task_success", dimension="platform", key="all",
            window_end_us=tx.now_us, numerator=1, denominator=1, corrected_at_us=tx.now_us,
        )  # fmt: skip
    return watch


@pytest.fixture
def reader(world):
    return world.agent("reader")


@pytest.fixture
def operator(world):
    return world.operator


def test_every_metric_is_listed_with_its_newest_window(reader, watched):
    found = {item["metric"]: item for item in reader.get("/metrics").json()["items"]}
    assert list(found) == [measure.name for measure in MEASURES]
    assert found["task_success"]["newest"]["value"] == pytest.approx(31 / 40)
    assert found["bus_lag"]["newest"] is None
    assert found["task_success"]["watched"] == ["task_type", "platform"]


def test_a_series_is_paged_in_order_of_its_windows(reader, watched):
    first = reader.get("/metrics/task_success/series", limit=1).json()
    assert [item["numerator"] for item in first["items"]] == [31]
    rest = reader.get("/metrics/task_success/series", cursor=first["next_cursor"]).json()
    assert [item["numerator"] for item in rest["items"]] == [30]
    named = {"dimension": "task_type", "key": "monte_carlo"}
    assert len(reader.get("/metrics/task_success/series", **named).json()["items"]) == 2


def test_a_span_ends_where_it_says(reader, watched):
    end = watched.rows(tables.snapshot, metric="task_success", key="all")[0]["window_end_us"]
    at = f"{end // 1_000_000}"
    told = reader.get("/metrics/task_success/series", to="1970-01-01").json()
    assert told["items"] == []
    refused = reader.get("/metrics/task_success/series", to=at)
    assert refused.status_code == 422
    assert refused.json()["field"] == "query.to"


def test_a_summary_adds_windows_and_merged_days(reader, watched):
    told = reader.get("/metrics/task_duration/summary").json()
    assert (told["numerator"], told["denominator"], told["windows"]) == (60, 6, 2)
    assert told["value"] == pytest.approx(10)
    assert told["sd"] == pytest.approx((700 / 6 - 100) ** 0.5)
    watched.platform.store.clock.advance(40 * 24 * HOUR_US)
    for _ in range(2):
        with watched.write() as tx:
            observatory.prune_series(tx)
    assert watched.rows(tables.snapshot, grain="window") == []
    again = reader.get("/metrics/task_duration/summary").json()
    assert (again["numerator"], again["denominator"]) == (60, 6)
    days = reader.get("/metrics/task_duration/series", grain="day").json()
    assert sum(item["denominator"] for item in days["items"]) == 6


def test_keys_and_corrections_are_listed(reader, watched):
    keys = reader.get("/metrics/task_success/keys").json()["items"]
    assert [item["key"] for item in keys] == ["monte_carlo"]
    (correction,) = reader.get("/corrections", metric="task_success").json()["items"]
    assert (correction["numerator"], correction["denominator"]) == (1, 1)
    assert reader.get("/corrections", metric="bus_lag").json()["items"] == []


@pytest.mark.parametrize(
    ("path", "status", "field", "says"),
    [
        ("/metrics/nothing/series", 404, "metric", "task_success"),
        ("/metrics/nothing/summary", 404, "metric", "task_success"),
        ("/metrics/bus_lag/series?dimension=agent&key=1", 422, "dimension", "platform"),
        ("/metrics/task_success/series?dimension=planet", 422, "dimension", "task_type"),
        ("/metrics/task_success/series?grain=year", 422, "grain", "day"),
        ("/metrics/task_success/series?from=yesterday", 422, "from", "2026-01-31"),
        ("/corrections?metric=nothing", 404, "metric", "task_success"),
    ],
)
def test_what_there_is_not_is_refused_by_name(reader, path, status, field, says):
    told = reader.get(path)
    assert told.status_code == status
    assert field in told.json()["field"]
    assert says in told.json()["detail"]


def test_only_the_operator_accepts_a_shift_and_it_goes_into_the_ledger(operator, reader, watched):
    with watched.write() as tx:
        lap_id = sql.insert(tx, tables.lap, opened_at_us=tx.now_us)
        episode_id = sql.insert(
            tx, tables.episode, metric="task_success", dimension="platform", key="all", state="open",
            rule="baseline", numerator=3, denominator=10, lap_id=lap_id, opened_at_us=tx.now_us,
            evidence={"window_start_us": tx.now_us, "window_end_us": tx.now_us, "low_confidence": False},
        )  # fmt: skip
    path = f"/episodes/{episode_id}/accept"
    assert reader.post(path, {"reason": "as it is"}).status_code == 403
    assert operator.post(path, {"reason": ""}).status_code == 422
    told = operator.post(path, {"reason": "half of the fleet is retired"})
    assert told.status_code == 200, told.text
    index = told.json()["ledger_index"]
    entry = reader.get(f"/ledger/{index}").json()
    assert entry["type"] == "SHIFT_ACCEPTED"
    shown = reader.get(f"/episodes/{episode_id}").json()
    assert (shown["state"], shown["accepted_ledger_index"]) == ("given_up", index)
    assert operator.post(path, {"reason": "again"}).json()["code"] == "nothing_to_accept"
    assert operator.post("/episodes/99/accept", {"reason": "why"}).status_code == 404
