"""`nacre observatory series` and `metrics`: seconds for reading, microseconds as counted in JSON."""

import pytest

from services.domain.clock import HOUR_US
from services.store import sql, tables

END_US = 1_790_000_000_000_000


@pytest.fixture
def counted(database, opened, tmp_path):
    """One window each of a duration and of a share."""
    with opened(database, tmp_path).store.write(actor="system:test") as tx:
        for metric, numerator, squares in (("task_duration", 7_500_000, 3.0e13), ("task_success", 3, None)):
            sql.insert(
                tx, tables.snapshot, metric=metric, dimension="platform", key="all", grain="window",
                window_start_us=END_US - HOUR_US, window_end_us=END_US, numerator=numerator, denominator=4,
                squares=squares, lowest=None, highest=None, histogram=None, corrections=0,
            )  # fmt: skip
    return database


def test_tables_show_durations_in_seconds_and_json_as_counted(nacre, counted):
    row = nacre("observatory", "series", "task_duration", *counted).rows[0]
    assert (row["value_seconds"], row["numerator_seconds"], row["denominator"]) == ("1.875", "7.5", "4")
    exact = nacre("observatory", "series", "task_duration", "--json", *counted).json["items"][0]
    assert (exact["numerator"], exact["value"]) == (7_500_000, 1_875_000.0)
    share = nacre("observatory", "series", "task_success", *counted).rows[0]
    assert (share["value"], share["numerator"]) == ("0.75", "3")


def test_the_list_of_metrics_names_the_unit_it_shows(nacre, counted):
    rows = {row["metric"]: row for row in nacre("observatory", "metrics", *counted).rows}
    assert (rows["task_duration"]["unit"], rows["task_duration"]["newest_value"]) == ("seconds", "1.875")
    assert rows["task_success"]["newest_value"] == "0.75"
    assert "microseconds" not in {row["unit"] for row in rows.values()}
    listed = nacre("observatory", "metrics", "--json", *counted).json["items"]
    exact = next(one for one in listed if one["metric"] == "task_duration")
    assert (exact["unit"], exact["newest"]["value"]) == ("microseconds", 1_875_000.0)
