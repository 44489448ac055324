"""Retention: windows of old days are merged into one each, and old days go.

Stands under the cron jobs. Sums, ends and histograms are merged exactly, so that a day says of its numerator
and denominator what its windows said. It does one day at a time and never touches recent ones.
"""

from collections.abc import Iterable
from typing import Final

from services.domain.clock import DAY_US
from services.domain.measures import BY_NAME, Grain, MetricKind
from services.domain.tallies import Series, Tally
from services.operations import production_config
from services.store import series, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

DAYS_AT_ONCE: Final = 30
"""Merged days that are deleted in one run."""


def prune_series(tx: Tx) -> dict[str, int]:
    """Merge the oldest day of windows that is due, delete days past keeping; zeros when nothing is left."""
    kept_us = int(production_config.number(tx, "observatory.windows_kept_days")) * DAY_US
    days_us = int(production_config.number(tx, "observatory.days_kept")) * DAY_US
    merged = _merge_oldest(tx, tx.now_us - kept_us)
    oldest_us = series.oldest_end(tx, Grain.DAY)
    deleted = 0
    if oldest_us is not None and oldest_us <= tx.now_us - days_us:
        until_us = min(tx.now_us - days_us, oldest_us + DAYS_AT_ONCE * DAY_US)
        deleted = series.delete_between(tx, Grain.DAY, 0, until_us)
    return {"windows_merged": merged, "days_deleted": deleted}


def _merge_oldest(tx: Tx, before_us: int) -> int:
    """Merge the windows that ended on the oldest day, when all of it is old enough; return how many rows."""
    oldest_us = series.oldest_end(tx, Grain.WINDOW)
    if oldest_us is None:
        return 0
    start_us = (oldest_us - 1) // DAY_US * DAY_US
    until_us = start_us + DAY_US
    if until_us > before_us:
        return 0
    rows = merged_days(series.between(tx, Grain.WINDOW, start_us, until_us))
    sql.insert_many(tx, tables.snapshot, rows)
    return series.delete_between(tx, Grain.WINDOW, start_us, until_us)


def merged_days(windows: Iterable[Row]) -> list[dict[str, object]]:
    """Return the windows of one day, in order, as one row a series; all get the ends of the whole day.

    A count has as many windows as the day had, also where nothing happened in some of them.
    """
    tallies: dict[Series, Tally] = {}
    starts, ends = set(), set()
    corrections: dict[Series, int] = {}
    for row in windows:
        name = Series(row["metric"], row["dimension"], row["key"])
        tallies.setdefault(name, Tally()).merge(series.tally_of(row))
        corrections[name] = corrections.get(name, 0) + row["corrections"]
        starts.add(row["window_start_us"])
        ends.add(row["window_end_us"])
    count = len(ends)
    return [
        {
            **series.row_of(
                name,
                Grain.DAY,
                min(starts),
                max(ends),
                tally,
                count if BY_NAME[name.metric].kind is MetricKind.COUNT else 0,
            ),
            "corrections": corrections[name],
        }
        for name, tally in sorted(tallies.items())
    ]
