"""Pages of the metrics: the board of all that are published, and one series with its windows.

Stand over the read models of metrics, windows, corrections and episodes. Every figure comes with the counts
it was made of. They never judge a metric: episodes do.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from app.web import charts
from app.web.episodes import episode_row, metric_link, subject
from app.web.formats import between, duration, measured, seconds_of, words
from app.web.visits import Row, Shown, Visit, next_link, rows
from services.domain.measures import ALL, BY_NAME, Bad, Dimension, Family, Grain, MetricKind
from services.domain.states import EpisodeState
from services.store.views.series import SeriesAsked

SPARK_WINDOWS: Final = 48
WINDOWS_SHOWN: Final = 96
CORRECTIONS_SHOWN: Final = 20
CORRECTIONS_READ: Final = 500
EPISODES_READ: Final = 500
EPISODES_SHOWN: Final = 20
KEYS_SHOWN: Final = 200
KEY_LONGEST: Final = 80
GAP_TIMES: Final = 2
"""A window this many times as long as it should be is a gap."""
BAD_WORDS: Final[Mapping[str, str]] = {
    Bad.FALL: "bad when it falls",
    Bad.RISE: "bad when it rises",
    Bad.EITHER: "bad either way",
}
FAMILY_WORDS: Final[Mapping[str, str]] = {
    Family.TASKS: "Tasks",
    Family.BUS: "Event bus",
    Family.CRON: "Clockwork and health",
    Family.LOOP: "The loop",
}
DISTRIBUTIONS: Final = (MetricKind.DURATION, MetricKind.AMOUNT)


# --- what the templates show -------------------------------------------------------------------------------


def value_words(metric: Row, value: float | None) -> str:
    """Return a value of a metric in its unit."""
    return measured(value, metric["unit"], is_share=metric["is_share"])


def counted(metric: Row, point: Row) -> str:
    """Return the counts that a window's value was made of."""
    numerator, denominator = point["numerator"], point["denominator"]
    if metric["is_share"]:
        return f"{numerator:,} of {denominator:,}"
    if metric["kind"] == MetricKind.COUNT:
        windows = "window" if denominator == 1 else "windows"
        return f"{numerator:,} in {denominator:,} {windows}"
    of = "reading" if metric["kind"] == MetricKind.GAUGE else "value"
    return f"{value_words(metric, numerator)} over {denominator:,} {of}{'' if denominator == 1 else 's'}"


def is_gap(point: Row, window_seconds: float) -> bool:
    """Tell whether a window is much longer than windows should be, so that no snapshot was taken in it."""
    length = seconds_of(point["window_end"]) - seconds_of(point["window_start"])
    return length > GAP_TIMES * window_seconds


def drawn(points: Sequence[Row], window_seconds: float | None) -> list[charts.SeriesPoint]:
    """Return windows for the charts, oldest first; of durations and amounts the median, up to the p95.

    `window_seconds` is how long a window should be, None for merged days, which are no gaps.
    """
    found = [
        charts.SeriesPoint(
            seconds_of(point["window_start"]),
            seconds_of(point["window_end"]),
            point["p50"] if point["p50"] is not None else point["value"],
            point["p95"],
            window_seconds is not None and is_gap(point, window_seconds),
            point["corrections"],
        )
        for point in points
    ]
    return sorted(found, key=lambda one: one.end_seconds)


def episodes_by_metric(episodes: Sequence[Row]) -> dict[str, list[Row]]:
    """Return open episodes by their metric, with what each is of."""
    found: dict[str, list[Row]] = defaultdict(list)
    for episode in episodes:
        found[episode["metric"]].append({**episode, "subject": subject(episode)})
    return dict(found)


def metric_row(metric: Row, points: Sequence[Row], episodes: Sequence[Row], window_seconds: float) -> Row:
    """Return one line of the board: newest value with its counts, the last windows, what is open."""
    newest = metric["newest"]
    name = metric["metric"]
    spark = charts.series_spark(
        drawn(points, window_seconds),
        top=1.0 if metric["is_share"] else None,
        in_words=partial(value_words, metric),
        title=f"{words(name)}, last {SPARK_WINDOWS} windows",
    )
    return {
        **metric,
        "href": metric_link(name),
        "shown": value_words(metric, newest["value"] if newest else None),
        "counted": counted(metric, newest) if newest else "no window yet",
        "spread": spread_words(metric, newest) if newest else None,
        "chart": spark,
        "direction": BAD_WORDS[metric["bad"]],
        "episodes": list(episodes),
    }


def spread_words(metric: Row, point: Row) -> str | None:
    """Return median and 95th percentile of a window, or None where it keeps no distribution."""
    if point["p50"] is None:
        return None
    return f"median {value_words(metric, point['p50'])}, p95 {value_words(metric, point['p95'])}"


def families(board: Sequence[Row]) -> list[Row]:
    """Return the lines of the board by family, a family with something open first."""
    found = [
        {
            "name": name,
            "metrics": [row for row in board if row["family"] == family],
        }
        for family, name in FAMILY_WORDS.items()
    ]
    return sorted(found, key=lambda one: not any(row["episodes"] for row in one["metrics"]))


def staleness(board: Sequence[Row], now: str, window_seconds: float) -> str | None:
    """Return how long ago the newest window ended when that is too long, or None."""
    ends = [row["newest"]["window_end"] for row in board if row["newest"]]
    if not ends:
        return None
    age = seconds_of(now) - max(map(seconds_of, ends))
    return duration(age) if age > GAP_TIMES * window_seconds else None


def point_rows(metric: Row, points: Sequence[Row], window_seconds: float | None) -> list[Row]:
    """Return the windows of a series as the table shows them: exact sums, and what follows from them."""
    return [
        {
            **point,
            "shown": value_words(metric, point["value"]),
            "counted": counted(metric, point),
            "median": value_words(metric, point["p50"]),
            "high": value_words(metric, point["p95"]),
            "most": value_words(metric, point["highest"]),
            "length": between(point["window_start"], point["window_end"]),
            "is_gap": window_seconds is not None and is_gap(point, window_seconds),
        }
        for point in points
    ]


def expectation(metric: Row, episodes: Sequence[Row]) -> tuple[float, float] | None:
    """Return between what an open episode expects a window's value, where its figures are of one window."""
    if metric["kind"] == MetricKind.COUNT:
        return None
    for episode in episodes:
        if episode["state"] == EpisodeState.OPEN and episode["interval"]:
            low, high = episode["interval"]
            return float(low), math.inf if high is None else float(high)
    return None


def turning_points(episodes: Sequence[Row]) -> list[tuple[float, str]]:
    """Return when episodes opened and recovered, in seconds, with names."""
    marks = []
    for episode in episodes:
        marks.append((seconds_of(episode["opened_at"]), f"episode {episode['episode_id']}"))
        if episode["state"] == EpisodeState.CLOSED:
            marks.append((seconds_of(episode["closed_at"]), "recovered"))
    return marks


def correction_rows(metric: Row, corrections: Sequence[Row]) -> list[Row]:
    """Return what was added to windows after they were published, with how late that was."""
    return [
        {
            **row,
            "added": f"{row['numerator']:+,} of {row['denominator']:+,}".replace("-", "−")
            if metric["is_share"]
            else f"{value_words(metric, row['numerator'])} over {row['denominator']:,}",
            "late": between(row["window_end"], row["corrected_at"]),
            "href": metric_link(row["metric"], row["dimension"], row["key"]),
        }
        for row in corrections
    ]


# --- the pages ---------------------------------------------------------------------------------------------


def window_seconds_of(visit: Visit) -> float:
    """Return how long a window should be, as in force."""
    found = visit.views.get_parameter(visit.tx, visit.registry, "observatory.window_seconds")
    return float(found["value"]) if found else math.inf


def open_episodes(visit: Visit) -> list[Row]:
    """Return the episodes that are open now."""
    return rows(visit.views.list_episodes(visit.tx, state=EpisodeState.OPEN, limit=EPISODES_READ))


def board(visit: Visit) -> Shown:
    """Every published metric by family: newest value, last windows, whether it is out of its band."""
    opened, length = episodes_by_metric(open_episodes(visit)), window_seconds_of(visit)
    found = [
        metric_row(
            metric,
            rows(visit.views.list_series(visit.tx, SeriesAsked(metric["metric"]), limit=SPARK_WINDOWS)),
            opened.get(metric["metric"], []),
            length,
        )
        for metric in rows(visit.views.list_metrics(visit.tx))
    ]
    known = {row["metric"] for row in found}
    return Shown(
        "metrics.html",
        {
            "families": families(found),
            "outside": [row for row in found if row["episodes"]],
            "checks": [one for name, group in opened.items() if name not in known for one in group],
            "has_windows": any(row["newest"] for row in found),
            "stale": staleness(found, visit.now(), length),
            "window": duration(length) if math.isfinite(length) else None,
        },
    )


def asked_series(visit: Visit, metric: Row) -> SeriesAsked:
    """Return which series is asked for: by default the platform's, of a dimension its first key."""
    by = visit.chosen("by", tuple(metric["dimensions"])) or str(Dimension.PLATFORM)
    grain = Grain(visit.chosen("grain", tuple(Grain)) or Grain.WINDOW)
    if by == Dimension.PLATFORM:
        return SeriesAsked(metric["metric"], by, ALL, grain)
    key = visit.query.get("key", "")[:KEY_LONGEST]
    if not key:
        keys = rows(visit.views.list_keys(visit.tx, metric=metric["metric"], dimension=by))
        key = keys[0]["key"] if keys else ""
    return SeriesAsked(metric["metric"], by, key, grain)


def own_episodes(visit: Visit, asked: SeriesAsked) -> list[Row]:
    """Return the newest episodes of a series, among the newest of all."""
    found = rows(visit.views.list_episodes(visit.tx, limit=EPISODES_READ))
    own = (asked.metric, asked.dimension, asked.key)
    return [one for one in found if (one["metric"], one["dimension"], one["key"]) == own][:EPISODES_SHOWN]


def metric(visit: Visit) -> Shown | None:
    """One series of one metric: chart, windows, its other keys, its episodes and late corrections."""
    name = visit.path["name"]
    if name not in BY_NAME:
        return None
    found = next(row for row in rows(visit.views.list_metrics(visit.tx)) if row["metric"] == name)
    asked = asked_series(visit, found)
    length = window_seconds_of(visit) if asked.grain is Grain.WINDOW else None
    cursor = visit.query.get("cursor") or None
    page = visit.views.list_series(visit.tx, asked, limit=WINDOWS_SHOWN, cursor=cursor)
    points, episodes = rows(page), own_episodes(visit, asked)
    frame = charts.SeriesFrame(
        partial(value_words, found),
        1.0 if found["is_share"] else None,
        expectation(found, episodes),
        turning_points(episodes),
    )
    title = f"{words(name)} of {subject({'dimension': asked.dimension, 'key': asked.key})}"
    late = rows(visit.views.list_corrections(visit.tx, metric=name, limit=CORRECTIONS_READ))
    own = [row for row in late if (row["dimension"], row["key"]) == (asked.dimension, asked.key)]
    return Shown(
        "metric.html",
        {
            "metric": found,
            "asked": asked,
            "title": title,
            "direction": BAD_WORDS[found["bad"]],
            "chart": charts.series_history(drawn(points, length), frame, title=title) if points else None,
            "is_watched": asked.dimension in found["watched"],
            "is_expecting": frame.expected is not None,
            "points": point_rows(found, points, length),
            "is_distribution": found["kind"] in DISTRIBUTIONS,
            "next": next_link(visit, page),
            "cuts": cuts_of(visit, found, asked),
            "grains": [(one, grain_link(asked, one)) for one in Grain],
            "episodes": [episode_row(episode) for episode in episodes],
            "corrections": correction_rows(found, own[:CORRECTIONS_SHOWN]),
        },
    )


def grain_link(asked: SeriesAsked, grain: Grain) -> str:
    """Return the page of the same series in windows or in days."""
    link = metric_link(asked.metric, asked.dimension, asked.key)
    return link if grain is Grain.WINDOW else f"{link}{'&' if '?' in link else '?'}grain={grain}"


def cuts_of(visit: Visit, metric: Row, asked: SeriesAsked) -> list[Row]:
    """Return the dimensions that a metric is cut by, each with its keys as links."""
    cuts = []
    for dimension in metric["dimensions"]:
        if dimension == Dimension.PLATFORM:
            continue
        keys = rows(visit.views.list_keys(visit.tx, metric=metric["metric"], dimension=dimension))
        shown = [
            {
                "key": row["key"],
                "href": metric_link(metric["metric"], dimension, row["key"]),
                "is_here": (dimension, row["key"]) == (asked.dimension, asked.key),
            }
            for row in keys[:KEYS_SHOWN]
        ]
        cuts.append({"dimension": dimension, "keys": shown, "others": max(0, len(keys) - KEYS_SHOWN)})
    return cuts
