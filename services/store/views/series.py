"""Read models of the metrics: what is published, every window of a series, and what was corrected late.

Stands in the store beside the observatory's queries (L1). It never judges a metric.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, and_, func, select

from services.domain.errors import InvalidValueError, NotFoundError
from services.domain.measures import BY_NAME, MEASURES, Grain, Measure, MetricKind
from services.domain.tallies import Series, Tally, quantile
from services.store.series import row_of, tally_of
from services.store.sql import Row, rows
from services.store.tables import snapshot, snapshot_correction
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page

SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def list_metrics(tx: Tx) -> Page:
    """Return every metric that is published, with the newest window of the platform's own series."""
    newest = (
        select(snapshot.c.metric, func.max(snapshot.c.window_end_us).label("end_us"))
        .where(snapshot.c.dimension == "platform", snapshot.c.key == "all", snapshot.c.grain == Grain.WINDOW)
        .group_by(snapshot.c.metric)
        .subquery("newest")
    )
    is_newest = and_(
        snapshot.c.metric == newest.c.metric,
        snapshot.c.window_end_us == newest.c.end_us,
        snapshot.c.dimension == "platform",
        snapshot.c.key == "all",
        snapshot.c.grain == Grain.WINDOW,
    )
    found = {row["metric"]: row for row in rows(tx, select(snapshot).join(newest, is_newest))}
    items = [_metric(measure, found.get(measure.name)) for measure in MEASURES]
    return {"items": items, "next_cursor": None}


@dataclass(frozen=True, slots=True)
class SeriesAsked:
    """Which series, and which of its windows: those that ended after `from_us` and up to `to_us`."""

    metric: str
    dimension: str = "platform"
    key: str = "all"
    grain: Grain = Grain.WINDOW
    from_us: int | None = None
    to_us: int | None = None


def list_series(
    tx: Tx,
    asked: SeriesAsked,
    *,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of the windows of one series, in order of their ends.

    Raises NotFoundError for a metric that is not published, InvalidValueError for a dimension that it is not
    cut by.
    """
    statement = _asked(asked).where(snapshot.c.grain == asked.grain)
    found, following = fetch_page(
        tx, statement, snapshot.c.window_end_us, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": [point_of(row) for row in found], "next_cursor": following}


def _asked(asked: SeriesAsked) -> Select[*tuple[Any, ...]]:
    measure = measure_of(asked.metric)
    if asked.dimension not in measure.dimensions:
        cuts = ", ".join(measure.dimensions)
        msg = f"{asked.metric} is published by {cuts}, not by {asked.dimension!r}"
        raise InvalidValueError(msg, field="dimension", code="not_cut_by")
    statement = select(snapshot).where(
        snapshot.c.metric == asked.metric,
        snapshot.c.dimension == asked.dimension,
        snapshot.c.key == asked.key,
    )
    if asked.from_us is not None:
        statement = statement.where(snapshot.c.window_end_us > asked.from_us)
    if asked.to_us is not None:
        statement = statement.where(snapshot.c.window_end_us <= asked.to_us)
    return statement


def summarise(tx: Tx, asked: SeriesAsked) -> JsonObject:
    """Return all windows of a span together, merged days included, as one point.

    Raises as `list_series` does. The grain that is asked for does not matter.
    """
    statement = _asked(asked).order_by(snapshot.c.window_end_us)
    found = rows(tx, statement)
    total = Tally()
    for row in found:
        total.merge(tally_of(row))
    name = Series(asked.metric, asked.dimension, asked.key)
    start_us = found[0]["window_start_us"] if found else asked.from_us
    end_us = found[-1]["window_end_us"] if found else asked.to_us
    row = row_of(name, Grain.WINDOW, start_us or 0, end_us or 0, total, 0)
    return {
        **point_of({**row, "corrections": sum(one["corrections"] for one in found)}),
        "windows": len(found),
    }


def list_keys(tx: Tx, *, metric: str, dimension: str) -> Page:
    """Return the keys of a metric's dimension that had a window, with the newest end of each."""
    measure_of(metric)
    statement = (
        select(snapshot.c.key, func.max(snapshot.c.window_end_us).label("end_us"))
        .where(snapshot.c.metric == metric, snapshot.c.dimension == dimension)
        .group_by(snapshot.c.key)
        .order_by(snapshot.c.key)
    )
    items = [{"key": row["key"], "newest_window_end": at(row["end_us"])} for row in rows(tx, statement)]
    return {"items": items, "next_cursor": None}


def list_corrections(
    tx: Tx,
    *,
    metric: str | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of what was added to windows after they were published."""
    statement = select(snapshot_correction)
    if metric is not None:
        measure_of(metric)
        statement = statement.where(snapshot_correction.c.metric == metric)
    found, following = fetch_page(
        tx, statement, snapshot_correction.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    items = [
        {
            "correction_id": row["id"],
            "metric": row["metric"],
            "dimension": row["dimension"],
            "key": row["key"],
            "window_end": at(row["window_end_us"]),
            "numerator": row["numerator"],
            "denominator": row["denominator"],
            "corrected_at": at(row["corrected_at_us"]),
        }
        for row in found
    ]
    return {"items": items, "next_cursor": following}


def measure_of(metric: str) -> Measure:
    """Return a metric's definition; raise NotFoundError naming those that there are."""
    measure = BY_NAME.get(metric)
    if measure is None:
        msg = f"there is no metric {metric[:48]!r}; there are {', '.join(BY_NAME)}"
        raise NotFoundError(msg, field="metric")
    return measure


def point_of(row: Row) -> JsonObject:
    """Return one window: exact sums, then what follows from them; null where there is no evidence."""
    number = row["denominator"]
    mean = row["numerator"] / number if number else None
    squares = row["squares"]
    variance = None if mean is None or squares is None else max(0.0, squares / number - mean * mean)
    histogram = {int(bucket): count for bucket, count in (row["histogram"] or {}).items()}
    shares = {name: quantile(histogram, share) for name, share in SHARES.items()} if histogram else {}
    return {
        "window_start": at(row["window_start_us"]),
        "window_end": at(row["window_end_us"]),
        "numerator": row["numerator"],
        "denominator": number,
        "value": mean,
        "sd": None if variance is None else math.sqrt(variance),
        "lowest": row["lowest"],
        "highest": row["highest"],
        **{name: shares.get(name) for name in SHARES},
        "corrections": row["corrections"],
    }


def _metric(measure: Measure, row: Row | None) -> JsonObject:
    return {
        "metric": measure.name,
        "kind": str(measure.kind),
        "unit": measure.unit,
        "family": str(measure.family),
        "bad": str(measure.bad),
        "dimensions": [str(one) for one in measure.dimensions],
        "watched": [str(one) for one in measure.watched],
        "summary": measure.summary,
        "is_share": measure.kind is MetricKind.PROPORTION,
        "newest": None if row is None else point_of(row),
    }
