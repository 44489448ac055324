"""The platform's figures as Prometheus metrics: one collector over one read transaction.

Stands under the page `/metrics`. Counters come from kept totals and only rise, also across restarts; gauges
are of the newest window or of this instant. Labels are bounded: task types, jobs, metrics, states, and as
many agents as a deployment asks for. It never scans history and never writes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from app.api.platform import ApiPlatform
from services.domain.checks import Layer, Status
from services.domain.measures import BY_NAME, Dimension
from services.domain.metric_totals import SPREADS, Spread, Totals
from services.domain.states import ExperimentState, Standing, TickState
from services.operations import health, metric_totals, metric_watchdog, vitals
from services.operations.breaches import KIND
from services.operations.vitals import JobFacts
from services.store import deliveries, exposition
from services.store import health as counts
from services.store.sql import Row
from services.store.tx import Tx

SECOND: Final = 1_000_000
OCTAVES: Final = range(10, 38, 2)
"""Edges of the histograms, as powers of two: 1 ms to 38 hours in microseconds."""
COUNTED_UP_TO: Final = 10_000
"""Dead letters, deliveries that fail and those to webhooks are counted up to here."""
KINDS_SHOWN: Final = 20
OTHER: Final = "other"
INVARIANT: Final = re.compile(r"[A-Z][0-9]{1,2}")
SHOWN: Final = (Dimension.PLATFORM, Dimension.TASK_TYPE, Dimension.JOB)
BEGUN: Final = (TickState.RUNNING, TickState.DONE, TickState.FAILED, TickState.OVERRUN)
SPREAD_NAMES: Final[Mapping[str, tuple[str, float]]] = {
    "task_duration": ("nacre_task_duration_seconds", 1 / SECOND),
    "task_wait": ("nacre_task_wait_seconds", 1 / SECOND),
    "task_cost": ("nacre_task_cost_microcredits", 1.0),
}
"""Name and scale of each published histogram."""


@dataclass(frozen=True, eq=False)
class PlatformCollector(Collector):
    """Reads everything in one transaction, each time that somebody scrapes."""

    platform: ApiPlatform
    version: str

    def collect(self) -> Iterable[Metric]:
        """Return every family of metrics."""
        with self.platform.store.read() as tx:
            return [
                InfoMetricFamily("nacre_build", "Which version serves.", value={"version": self.version}),
                *_counters(metric_totals.now(tx)),
                *_windows(tx, self.platform.settings.metrics_agents),
                *_bus(tx),
                *_webhooks(tx),
                *_cron(tx, [job.name for job in self.platform.jobs]),
                *_health(tx, [JobFacts(job.name, job.interval_us) for job in self.platform.jobs]),
                *_reviews(tx),
                *_stock(tx),
            ]

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is is known only when it is read."""
        return ()


def _counters(totals: Totals) -> Iterator[Metric]:
    keys = sorted(key for name, key in totals.counters if name == "posted")
    posted = CounterMetricFamily("nacre_tasks_posted", "Users' tasks posted.", labels=["type"])
    for key in keys:
        posted.add_metric([key], totals.counters["posted", key])
    yield posted
    ended = CounterMetricFamily(
        "nacre_tasks_ended", "Users' tasks settled, failed or expired.", labels=["type", "outcome"]
    )
    for key in sorted(key for name, key in totals.counters if name == "ended"):
        verified, late = (totals.counters.get((name, key), 0) for name in ("verified", "timed_out"))
        failed = totals.counters["ended", key] - verified - late
        for outcome, number in (("verified", verified), ("timed_out", late), ("failed", failed)):
            ended.add_metric([key, outcome], number)
    yield ended
    ticks = CounterMetricFamily(
        "nacre_cron_ticks", "Ticks of jobs that ended or were missed.", labels=["job", "outcome"]
    )
    for key in sorted(key for name, key in totals.counters if name == "ticks"):
        well = totals.counters.get(("ticks_on_time", key), 0)
        ticks.add_metric([key, "on_time"], well)
        ticks.add_metric([key, "not_on_time"], totals.counters["ticks", key] - well)
    yield ticks
    for metric in SPREADS:
        name, scale = SPREAD_NAMES[metric]
        unit = BY_NAME[metric].summary.rstrip(".")
        family = HistogramMetricFamily(name, f"{unit} (closed windows).", labels=["type"])
        for (of_metric, key), spread in sorted(totals.spreads.items()):
            if of_metric == metric:
                family.add_metric([key], _buckets(spread, scale), spread.total * scale)
        yield family


def _buckets(spread: Spread, scale: float) -> list[tuple[str, float]]:
    """Return cumulative buckets: values are whole, so one under a power of two is the last before it."""
    found = [
        (
            repr((2**edge - 1) * scale),
            float(sum(number for octave, number in spread.octaves.items() if octave < edge)),
        )
        for edge in OCTAVES
    ]
    return [*found, ("+Inf", float(spread.values))]


def _windows(tx: Tx, agents: int) -> Iterator[Metric]:
    end_us = exposition.newest_end(tx)
    if end_us is None:
        return
    rows: list[Row] = exposition.of_window(tx, end_us, SHOWN)
    if agents:
        rows = [*rows, *exposition.of_busiest_agents(tx, end_us, agents)]
    labels = ["metric", "dimension", "key"]
    above = GaugeMetricFamily(
        "nacre_window_numerator", "Numerator of the newest window, in the metric's unit.", labels=labels
    )
    below = GaugeMetricFamily("nacre_window_denominator", "Denominator of the newest window.", labels=labels)
    for row in sorted(rows, key=lambda one: (one["metric"], one["dimension"], one["key"])):
        names = [row["metric"], row["dimension"], row["key"]]
        above.add_metric(names, row["numerator"])
        below.add_metric(names, row["denominator"])
    yield from (above, below)
    yield _gauge("nacre_window_end_timestamp_seconds", "End of the newest window.", end_us / SECOND)
    age_us = max(0, tx.now_us - end_us)
    yield _gauge("nacre_snapshot_age_seconds", "Time since the newest window ended.", age_us / SECOND)


def _bus(tx: Tx) -> Iterator[Metric]:
    oldest_us = deliveries.oldest_published_us(tx)
    lag_us = 0 if oldest_us is None else max(0, tx.now_us - oldest_us)
    yield _gauge("nacre_bus_lag_seconds", "Age of the oldest delivery still to be made.", lag_us / SECOND)
    pending = GaugeMetricFamily(
        "nacre_bus_pending_deliveries", "Deliveries still to be made.", labels=["subscriber"]
    )
    for name, number in sorted(deliveries.pending_by_subscriber(tx, COUNTED_UP_TO).items()):
        pending.add_metric([name], number)
    yield pending
    dead = deliveries.dead_count(tx, COUNTED_UP_TO)
    yield _gauge("nacre_bus_dead_letters", "Deliveries tried as often as allowed.", dead)
    failing = deliveries.failing_count(tx, COUNTED_UP_TO)
    yield _gauge("nacre_bus_failing_deliveries", "Deliveries that failed and are tried again.", failing)


def _webhooks(tx: Tx) -> Iterator[Metric]:
    active, paused = exposition.webhooks(tx)
    hooks = {"active": active, "paused": paused}
    yield _by_state("nacre_webhooks", "Webhooks that are not deleted.", "state", hooks, hooks)
    found = exposition.webhook_deliveries(tx, COUNTED_UP_TO)
    words = f"Deliveries to webhooks that are under way or dead, each counted up to {COUNTED_UP_TO}."
    yield _by_state("nacre_webhook_deliveries", words, "state", found, found)


def _cron(tx: Tx, jobs: list[str]) -> Iterator[Metric]:
    last = GaugeMetricFamily("nacre_cron_last_tick_state", "1 for the state of the newest tick.",
                             labels=["job", "state"])  # fmt: skip
    late = GaugeMetricFamily("nacre_cron_lateness_seconds", "How late the newest tick began.",
                             labels=["job"])  # fmt: skip
    begun = GaugeMetricFamily("nacre_cron_last_tick_timestamp_seconds", "When the newest tick began.",
                              labels=["job"])  # fmt: skip
    for row in exposition.last_ticks(tx, jobs):
        for state in TickState:
            last.add_metric([row["job"], state], int(row["state"] == state))
        if row["state"] in BEGUN:
            late.add_metric([row["job"]], max(0, row["started_at_us"] - row["due_at_us"]) / SECOND)
        begun.add_metric([row["job"]], row["started_at_us"] / SECOND)
    paused = GaugeMetricFamily("nacre_cron_paused", "1 for a job that an operator has paused.",
                               labels=["job"])  # fmt: skip
    stopped = counts.paused(tx)
    for job in jobs:
        paused.add_metric([job], int(job in stopped))
    yield from (last, late, begun, paused)
    age_us = metric_watchdog.heartbeat_age_us(tx)
    if age_us is not None:
        words = "Time since the metric watchdog ended a run."
        yield _gauge("nacre_metric_watchdog_age_seconds", words, age_us / SECOND)


def _health(tx: Tx, jobs: list[JobFacts]) -> Iterator[Metric]:
    score = health.score_now(tx)
    yield _gauge("nacre_health_points", "The platform's health, 0 to 100.", score.points)
    lost = GaugeMetricFamily("nacre_health_points_lost", "Points that each part takes.", labels=["part"])
    for part, points in score.parts.items():
        lost.add_metric([part], points)
    yield lost
    found = Counter(
        (layer, check.status)
        for layer, check in (*vitals.platform_correctness(tx), *vitals.job_checks(tx, jobs))
    )
    checks = GaugeMetricFamily(
        "nacre_health_checks", "Kept checks of the platform, and those of its jobs, by layer and status.",
        labels=["layer", "status"],
    )  # fmt: skip
    for layer in Layer:
        for status in Status:
            checks.add_metric([layer, status], found[layer, status])
    yield checks
    is_held = health.promotion_hold(tx) is not None
    yield _gauge("nacre_promotions_held", "1 while nothing may be promoted.", int(is_held))


def _reviews(tx: Tx) -> Iterator[Metric]:
    found = exposition.open_reviews(tx)
    yield _gauge("nacre_open_review_items", "What waits for a person.", sum(found.values()))
    shown = {KIND: found.get(KIND, 0), **dict(islice(found.items(), KINDS_SHOWN))}
    shown[OTHER] = shown.get(OTHER, 0) + sum(found.values()) - sum(shown.values())
    kinds = f"What waits for a person by kind; all but the {KINDS_SHOWN} most frequent are `{OTHER}`."
    yield _by_state("nacre_open_review_items_by_kind", kinds, "kind", shown, shown)
    breaches = Counter[str]()
    for name, number in exposition.open_breaches(tx, KIND).items():
        breaches[name if INVARIANT.fullmatch(name) else OTHER] += number
    words = "Breaches found by the watchdogs that wait for a person."
    yield _by_state("nacre_open_breaches", words, "invariant", breaches, sorted(breaches))


def _stock(tx: Tx) -> Iterator[Metric]:
    yield _gauge("nacre_open_tasks", "Tasks that have not ended, meta-tasks too.", exposition.open_tasks(tx))
    yield _by_state(
        "nacre_agents", "Agents by standing.", "standing", exposition.numbers(tx, "agents"), Standing
    )
    found = exposition.numbers(tx, "experiments")
    yield _by_state("nacre_experiments", "Tested changes by state.", "state", found, ExperimentState)
    episodes = GaugeMetricFamily("nacre_open_episodes", "Episodes that are open.", labels=["metric"])
    for metric, number in sorted(exposition.numbers(tx, "episodes").items()):
        episodes.add_metric([metric], number)
    yield episodes
    yield _gauge("nacre_ledger_entries", "Entries of the ledger.", exposition.ledger_size(tx))
    budgets = GaugeMetricFamily(
        "nacre_day_budget", "The newest day's budget of the platform, in the resource's unit.",
        labels=["resource", "part"],
    )  # fmt: skip
    for row in sorted(exposition.budgets(tx), key=lambda one: str(one["resource"])):
        for part in ("cap", "reserved", "spent"):
            budgets.add_metric([row["resource"], part], row[part])
    yield budgets


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _by_state(name: str, words: str, label: str, found: Mapping[str, int], states: Iterable[str]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for state in states:
        family.add_metric([str(state)], found.get(state, 0))
    return family
