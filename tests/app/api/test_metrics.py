"""`/metrics`: well-formed in both formats, counters that only rise, bounded labels, one cheap read."""

import math
import re
from dataclasses import replace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from sqlalchemy import event
from starlette.testclient import TestClient

from app.api.application import build_api
from services import observatory
from services.domain.checks import Layer, Status
from services.domain.market_invariants import Breach
from services.domain.states import DeliveryState
from services.operations import health, metric_totals, review_queue
from services.operations.breaches import KIND, tell
from services.store import exposition, sql, tables

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
BASE_UNITS = ("_seconds", "_microcredits", "_ratio")
UNITS_TO_AVOID = re.compile(r"_(milliseconds|ms|us|minutes|hours|percent|kilobytes|kb)(_|$)")


@pytest.fixture
def scraped(market):
    """A client of a platform in which tasks were settled, refused and expired, and a window was closed."""
    market.requester, market.worker = market.agent(), market.agent()
    for is_good in (True, True, False):
        market.done(market.requester, market.worker, is_good=is_good)
    snapshot(market)
    market.client = TestClient(build_api(market.platform))
    return market


def snapshot(market):
    market.pass_seconds(60)
    with market.write() as tx:
        return observatory.take_snapshot(tx)


def families(market, **headers):
    answer = market.client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    return {family.name: family for family in parse(answer.text)}


def samples(market, name):
    """Return value by labels of one sample name."""
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in families(market).values()
        for sample in family.samples
        if sample.name == name
    }


def ended(market):
    found = samples(market, "nacre_tasks_ended_total")
    return {dict(labels)["outcome"]: value for labels, value in found.items()}


def roll(market):
    with market.write() as tx:
        return metric_totals.roll(tx)


def test_names_units_help_and_types_are_as_a_linter_wants_them(scraped):
    found = families(scraped)
    assert len(found) > 20
    for name, family in found.items():
        assert re.fullmatch(r"nacre_[a-z][a-z0-9_]*", name), name
        assert family.documentation.endswith("."), name
        assert family.type in {"counter", "gauge", "histogram", "info"}, name
        assert not UNITS_TO_AVOID.search(name), name
        assert "_total" not in name or family.type == "counter", name
        assert not name.startswith("nacre_nacre"), name
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name == f"{name}_total"
            assert math.isfinite(sample.value), sample
            assert not {"le", "quantile"} & set(sample.labels) or family.type == "histogram", sample
        if family.type == "histogram":
            assert name.endswith(BASE_UNITS), name


def test_both_formats_say_the_same_and_their_content_type_is_right(scraped):
    plain = scraped.client.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert plain.headers["cache-control"] == "no-store"
    modern = scraped.client.get("/metrics", headers={"Accept": OPENMETRICS})
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    assert modern.text.endswith("# EOF\n")
    told = {family.name for family in parse_openmetrics(modern.text)}
    assert told >= {
        "nacre_tasks_ended",
        "nacre_task_duration_seconds",
        "nacre_bus_lag_seconds",
        "nacre_build",
    }
    assert {sample.name for one in parse(plain.text) for sample in one.samples} >= {
        "nacre_tasks_ended_total", "nacre_task_duration_seconds_bucket", "nacre_build_info",
    }  # fmt: skip


def test_counters_are_live_and_the_same_before_and_after_a_window_closes_and_is_rolled_in(scraped):
    assert ended(scraped) == {"verified": 2, "failed": 1, "timed_out": 0}
    scraped.post(scraped.requester, deadline_us=900_000_000)
    scraped.done(scraped.requester, scraped.worker)
    scraped.pass_seconds(1_000)
    scraped.expire()
    now = {"verified": 3, "failed": 1, "timed_out": 1}
    assert ended(scraped) == now, "what waits for its snapshot counts at once"
    snapshot(scraped)
    assert ended(scraped) == now
    assert roll(scraped) == 2
    assert roll(scraped) == 0
    assert ended(scraped) == now
    assert sum(samples(scraped, "nacre_tasks_posted_total").values()) == 5


def test_counters_never_fall_when_windows_are_corrected_or_pruned(scraped):
    roll(scraped)
    late = scraped.row(tables.snapshot, metric="task_success", dimension="platform")["window_end_us"] - 1
    scraped.done(scraped.requester, scraped.worker)
    with scraped.write() as tx:
        sql.update(tx, tables.observation, {}, at_us=late)
    now = {"verified": 3, "failed": 1, "timed_out": 0}
    assert ended(scraped) == now
    snapshot(scraped)
    assert scraped.rows(tables.snapshot_correction) != []
    assert ended(scraped) == now, "a correction counts before it is rolled in"
    roll(scraped)
    assert ended(scraped) == now
    with scraped.write() as tx:
        tx.connection.execute(tables.snapshot.delete())
    assert ended(scraped) == now


def test_the_histogram_is_cumulative_and_counts_every_value(scraped):
    found = families(scraped)["nacre_task_wait_seconds"].samples
    buckets = [(sample.labels["le"], sample.value) for sample in found if sample.name.endswith("_bucket")]
    counts = [value for _, value in buckets]
    assert counts == sorted(counts)
    assert buckets[-1] == ("+Inf", 3)
    edges = [float(edge) for edge, _ in buckets]
    assert edges == sorted(edges)
    waits = [row["awarded_at_us"] - row["posted_at_us"] for row in scraped.rows(tables.task)]
    assert next(sample.value for sample in found if sample.name.endswith("_sum")) == sum(waits) / 1e6
    for edge, value in zip(edges, counts, strict=True):
        assert value == sum(wait / 1e6 <= edge for wait in waits)


def test_what_stands_in_labels_is_escaped_and_agents_are_shown_only_where_asked_for(scraped):
    with scraped.write() as tx:
        sql.update(tx, tables.snapshot, {"dimension": "task_type"}, key='a"b\\c\nd{}')
    assert 'a"b\\c\nd{}' in {dict(labels)["key"] for labels in samples(scraped, "nacre_window_numerator")}
    dimensions = {dict(labels)["dimension"] for labels in samples(scraped, "nacre_window_numerator")}
    assert dimensions <= {"platform", "task_type", "job"}
    platform = replace(scraped.platform, settings=replace(scraped.platform.settings, metrics_agents=1))
    scraped.client = TestClient(build_api(platform))
    shown = samples(scraped, "nacre_window_numerator")
    keys = {dict(labels)["key"] for labels in shown if dict(labels)["dimension"] == "agent"}
    assert keys == {str(scraped.worker)}


def test_a_key_is_needed_only_where_a_deployment_says_so(scraped):
    platform = replace(
        scraped.platform, settings=replace(scraped.platform.settings, is_metrics_key_needed=True)
    )
    client = TestClient(build_api(platform))
    assert client.get("/metrics").status_code == 401
    answer = client.get("/metrics", headers={"Authorization": "Bearer operator"})
    assert answer.status_code == 200


def test_an_empty_platform_has_metrics_too(market):
    market.client = TestClient(build_api(market.platform))
    assert samples(market, "nacre_open_tasks") == {(): 0}
    assert "nacre_window_end_timestamp_seconds" not in families(market)


def test_a_scrape_reads_with_a_fixed_number_of_statements_and_no_row_of_history(scraped):
    told = []
    engine = scraped.platform.store.engine

    def note(_connection, _cursor, statement, *_more):
        told.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        families(scraped)
        first = len(told)
        told.clear()
        for _ in range(3):
            scraped.done(scraped.requester, scraped.worker)
        told.clear()
        families(scraped)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(told) == first
    scans = [text for text in told if "FROM task" in text and "ended_at_us IS NULL" not in text]
    assert scans == []
    assert not [text for text in told if text.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE"))]


def by_label(market, name, label):
    return {dict(labels)[label]: value for labels, value in samples(market, name).items()}


def test_webhooks_are_counted_with_what_they_are_owed(scraped):
    hook = {
        "url": "https://example.com/", "types": ["*"], "description": "", "secret_version": 1,
        "created_by": "operator", "created_at_us": 1,
    }  # fmt: skip
    sent = {"body": "{}", "attempts": 1, "next_attempt_at_us": 1, "created_at_us": 1}
    with scraped.write() as tx:
        first = sql.insert(tx, tables.webhook, is_active=True, **hook)
        for _ in range(2):
            sql.insert(tx, tables.webhook, is_active=False, pause_reason="410", **hook)
        sql.insert(tx, tables.webhook, is_active=False, deleted_at_us=2, **hook)
        for number, state in enumerate(("pending", "pending", "pending", "dead", "delivered", "discarded")):
            sql.insert(tx, tables.webhook_delivery, webhook_id=first, event_id=number, state=state, **sent)
    assert by_label(scraped, "nacre_webhooks", "state") == {"active": 1, "paused": 2}
    assert by_label(scraped, "nacre_webhook_deliveries", "state") == {"pending": 3, "dead": 1}


def test_dead_deliveries_to_webhooks_are_counted_over_their_index(scraped):
    told = str(exposition.OF_WEBHOOKS[DeliveryState.DEAD]).replace(":most_rows", "10")
    explain = "EXPLAIN QUERY PLAN"
    with scraped.platform.store.read() as tx:
        if tx.connection.dialect.name == "postgresql":
            explain = "EXPLAIN"
            tx.connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = tx.connection.exec_driver_sql(f"{explain} {told}").all()
    assert "ix_webhook_delivery_dead" in str(plan)


def test_checks_are_counted_by_layer_and_status_and_promotions_are_held_by_a_failing_one(scraped):
    def checks():
        found = samples(scraped, "nacre_health_checks")
        return {(dict(one)["layer"], dict(one)["status"]): value for one, value in found.items()}

    before = checks()
    assert set(before) == {(layer, status) for layer in Layer for status in Status}
    assert sum(value for (layer, _), value in before.items() if layer == Layer.LIVE) == len(
        scraped.platform.jobs
    )
    assert samples(scraped, "nacre_promotions_held") == {(): 0}
    with scraped.write() as tx:
        health.report(tx, Layer.CORRECT, "books", "sums", Status.FAIL, output="off by one")
        health.report(tx, Layer.CORRECT, "bus", "gaps", Status.WARN)
    after = checks()
    changed = {key: after[key] - value for key, value in before.items() if after[key] != value}
    assert changed == {(Layer.CORRECT, Status.FAIL): 1, (Layer.CORRECT, Status.WARN): 1}
    assert samples(scraped, "nacre_promotions_held") == {(): 1}


def test_review_items_are_counted_by_kind_and_breaches_by_invariant(scraped):
    assert by_label(scraped, "nacre_open_review_items_by_kind", "kind") == {KIND: 0, "other": 0}
    assert samples(scraped, "nacre_open_breaches") == {}
    with scraped.write() as tx:
        found = [Breach("A8", "task 1", "x"), Breach("A8", "task 2", "x"), Breach("M5", "task 1", "y")]
        assert tell(tx, found) == 3
        for subject in ("no invariant at all", 'B"{}'):
            review_queue.open_item(tx, kind=KIND, subject=subject, context={})
        closed = review_queue.open_item(tx, kind=KIND, subject="S1 agent 4", context={})
        sql.update(tx, tables.review_item, {"id": closed}, closed_at_us=tx.now_us)
        for number in range(25):
            for _ in range(1 if number else 7):
                review_queue.open_item(tx, kind=f"kind_{number:02}", subject="s", context={})
    assert by_label(scraped, "nacre_open_breaches", "invariant") == {"A8": 2, "M5": 1, "other": 2}
    kinds = by_label(scraped, "nacre_open_review_items_by_kind", "kind")
    assert len(kinds) == 21
    assert (kinds["kind_00"], kinds[KIND], kinds["other"]) == (7, 5, 6)
    assert samples(scraped, "nacre_open_review_items") == {(): sum(kinds.values())} == {(): 36}


def test_paused_jobs_and_the_age_of_the_newest_window_are_told(scraped):
    name = scraped.platform.jobs[0].name
    with scraped.write() as tx:
        sql.insert(
            tx, tables.cron_job, job=name, is_paused=True, reason="r", changed_by="operator", changed_at_us=1
        )
    paused = by_label(scraped, "nacre_cron_paused", "job")
    assert {job for job, value in paused.items() if value} == {name}
    assert set(paused) == {job.name for job in scraped.platform.jobs}
    assert samples(scraped, "nacre_snapshot_age_seconds") == {(): 0}
    scraped.pass_seconds(90)
    assert samples(scraped, "nacre_snapshot_age_seconds") == {(): 90}
