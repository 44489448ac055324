"""What `nacre observatory metrics`, `series` and `accept` do.

Stands behind the command line's declarations, over the read models and the observatory (L1).
"""

from collections.abc import Mapping
from typing import Any

from app.cli.actions.opening import reading
from app.cli.actions.operating import OPERATOR, opened_platform
from app.cli.actions.screen import say_item, say_json, say_page
from app.known_names import check_series
from app.periods import span_of
from services import observatory
from services.domain.errors import InvalidValueError, NotFoundError
from services.store.views import series as views

JsonObject = dict[str, Any]
METRIC_COLUMNS = ("metric", "kind", "unit", "bad", "cut_by", "watched", "newest_value", "newest_window_end")
POINT_COLUMNS = ("window_end", "value", "numerator", "denominator", "sd", "p50", "p95", "corrections")
IN_UNITS = ("value", "numerator", "sd", "p50", "p95")
SIGNIFICANT = 6
MICROSECONDS = "microseconds"
SECOND_US = 1_000_000
"""Tables show seconds where the platform counts microseconds; JSON stays as counted."""


def show_metrics(database: str | None, *, as_json: bool) -> int:
    """Print every metric with its newest window."""
    with reading(database) as tx:
        page = views.list_metrics(tx)
    if as_json:
        return say_json(page)
    return say_page(
        {**page, "items": [_metric_row(one) for one in page["items"]]}, METRIC_COLUMNS, as_json=False
    )


def _metric_row(item: JsonObject) -> JsonObject:
    newest = item["newest"] or {}
    return {
        **item,
        "unit": "seconds" if item["unit"] == MICROSECONDS else item["unit"],
        "cut_by": ", ".join(item["dimensions"]),
        "watched": ", ".join(item["watched"]) or "-",
        "newest_value": rounded(newest.get("value"), item["unit"]),
        "newest_window_end": newest.get("window_end"),
    }


def show_series(
    database: str | None,
    asked: Mapping[str, Any],
    page: Mapping[str, Any],
    *,
    as_json: bool,
) -> int:
    """Print a page of one series."""
    span = span_of(asked["start"], asked["end"], ("--from", "--to"))
    series = views.SeriesAsked(asked["metric"], asked["dimension"], asked["key"], asked["grain"], *span)
    with reading(database) as tx:
        found = views.list_series(tx, series, **page)
        try:
            check_series(tx, series, where="`nacre observatory metrics` says what each metric is cut by")
        except NotFoundError as error:
            raise InvalidValueError(error.detail, field="--key", code="key_unknown") from error
    if as_json:
        return say_json(found)
    unit = views.measure_of(series.metric).unit
    names = {name: f"{name}_seconds" if unit == MICROSECONDS else name for name in IN_UNITS}
    rows = [
        {**row, **{shown: rounded(row[name], unit) for name, shown in names.items()}}
        for row in found["items"]
    ]
    columns = [names.get(name, name) for name in POINT_COLUMNS]
    return say_page({**found, "items": rows}, columns, as_json=False)


def rounded(value: float | None, unit: str) -> float | None:
    """Return a figure for reading: microseconds as seconds, fractions with six significant digits."""
    if value is None:
        return None
    value = value / SECOND_US if unit == MICROSECONDS else value
    return value if isinstance(value, int) else float(f"{value:.{SIGNIFICANT}g}")


def accept_shift(database: str | None, episode_id: int, *, reason: str, as_json: bool) -> int:
    """Accept a shift and print the entry that says so."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        index = observatory.accept_shift(tx, episode_id, reason=reason)
    return say_item({"ledger_index": index}, {}, as_json=as_json)
