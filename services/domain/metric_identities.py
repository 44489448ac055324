"""What published figures must keep among themselves, and what gauges can be held to after their instant.

Stands beside the observatory (L1), under the metric watchdog, next to `metric_recount`: parts that add up,
figures that can be, windows that adjoin, corrections, days, and the flow of open tasks. It reads published
rows and plain counts; it never mends a figure.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from services.domain.clock import to_rfc3339
from services.domain.market_invariants import Breach, Row
from services.domain.measures import ALL, BY_NAME, MEASURES, Dimension, MetricKind
from services.domain.metric_recount import (
    GAUGES,
    SPREADING,
    SQUARES_ERROR,
    Figures,
    Identity,
    Series,
    Window,
    bucket_of,
    pair,
    published,
    shown,
    spreads,
)

PARTITIONS: Final = (Dimension.TASK_TYPE, Dimension.JOB)
"""Dimensions in which every row has a key: their series add up to the platform's."""


def check_parts(window: Window) -> list[Breach]:
    """W10: what is published of a dimension in which every row has a key adds up to the platform's."""
    sums: dict[tuple[str, str], Figures] = defaultdict(Figures)
    whole: dict[str, Figures] = {}
    for series, figures in published(window.rows).items():
        if series.dimension == Dimension.PLATFORM:
            whole[series.metric] = figures
        elif series.dimension in PARTITIONS:
            sums[series.metric, series.dimension].add(figures)
    found = []
    for measure in MEASURES:
        for dimension in (one for one in PARTITIONS if one in measure.dimensions):
            parts, total = sums[measure.name, dimension], whole.get(measure.name, Figures())
            if measure.kind is MetricKind.COUNT:
                parts.denominator = total.denominator
            unlike = [name for name, *_ in spreads(parts, total)] if measure.kind in SPREADING else []
            if pair(parts) != pair(total) or unlike:
                what = f" ({', '.join(unlike)})" if unlike else ""
                detail = f"{window}: published {shown(total)}, its parts add up to {shown(parts)}{what}"
                subject = f"{measure.name} of platform {ALL} by {dimension}"
                found.append(Breach(Identity.PARTS, subject, detail))
    return found


def check_possible(window: Window) -> list[Breach]:
    """W11: every published figure is one that can be."""
    found = []
    for series, figures in sorted(published(window.rows).items(), key=lambda item: item[0]):
        for why in _impossible(series, figures):
            detail = f"{window}: published {shown(figures)}, {why}"
            found.append(Breach(Identity.POSSIBLE, str(series), detail))
    return found


def _impossible(series: Series, figures: Figures) -> Iterator[str]:
    measure = BY_NAME.get(series.metric)
    if measure is None or series.dimension not in measure.dimensions:
        yield "a metric that is not in the table of measures"
        return
    kind, numerator, denominator = measure.kind, figures.numerator, figures.denominator
    if numerator < 0 or denominator < 0:
        yield "less than nothing"
    if kind is MetricKind.PROPORTION and numerator > denominator:
        yield "more good ones than there are"
    if kind in (MetricKind.COUNT, MetricKind.GAUGE) and denominator != 1:
        yield "the denominator should be 1"
    if kind not in SPREADING:
        return
    if figures.histogram.total() != denominator:
        yield f"there are {figures.histogram.total()} in the histogram"
    if figures.lowest is None or figures.highest is None:
        if denominator:
            yield "without lowest and highest"
    elif not figures.lowest * denominator <= numerator <= figures.highest * denominator:
        yield f"the mean is not between {figures.lowest} and {figures.highest}"
    elif {bucket_of(figures.lowest), bucket_of(figures.highest)} != _ends(figures.histogram):
        yield "lowest and highest are not in the ends of the histogram"
    if figures.squares * denominator < numerator**2 * (1 - SQUARES_ERROR):
        yield "the squares are too small"


def _ends(histogram: Counter[int]) -> set[int]:
    buckets = [bucket for bucket, count in histogram.items() if count]
    return {min(buckets), max(buckets)} if buckets else set()


def check_adjoining(window: Window, before_end_us: int | None) -> list[Breach]:
    """W12: a window begins where the one before it ended (`before_end_us`, None for the first)."""
    wanted_us = window.start_us if before_end_us is None else before_end_us
    found = []
    for row in window.rows:
        start_us = row["window_start_us"]
        if start_us != wanted_us or start_us >= window.end_us:
            series = Series(row["metric"], row["dimension"], row["key"])
            detail = f"{window}: published from {to_rfc3339(start_us)}, "
            detail += f"recounted from {to_rfc3339(wanted_us)}, where the one before ends"
            found.append(Breach(Identity.WINDOWS, str(series), detail))
    return found


def check_corrections(window: Window, corrections: Sequence[Row]) -> list[Breach]:
    """W13: each series was corrected as often as there are corrections, and by no more than it holds."""
    often: Counter[Series] = Counter()
    added: dict[Series, Figures] = defaultdict(Figures)
    for row in corrections:
        series = Series(row["metric"], row["dimension"], row["key"])
        often[series] += 1
        added[series].add(Figures(row["numerator"], row["denominator"]))
    said = {Series(row["metric"], row["dimension"], row["key"]): row for row in window.rows}
    found = []
    for series in sorted({*often, *said}):
        kept = said.get(series)
        if kept is None or kept["corrections"] != often[series]:
            times = "no window" if kept is None else kept["corrections"]
            detail = f"{window}: published {times} corrections, recounted {often[series]}"
            found.append(Breach(Identity.CORRECTIONS, str(series), detail))
        elif kept["numerator"] < added[series].numerator or kept["denominator"] < added[series].denominator:
            detail = f"{window}: published {shown(published([kept])[series])}, "
            detail += f"its corrections alone are {shown(added[series])}"
            found.append(Breach(Identity.CORRECTIONS, str(series), detail))
    return found


def check_day(
    day: Window, expected: Mapping[Series, Figures], left_out: Collection[str] = ()
) -> list[Breach]:
    """W14: a day's figures are what its rows say (`expected`); its windows are gone.

    Not looked at: gauges, the denominator of counts (how many windows there were), metrics of `left_out`.
    """
    counts = {measure.name for measure in MEASURES if measure.kind is MetricKind.COUNT}
    kept = {
        series: figures
        for series, figures in published(day.rows).items()
        if series.metric not in GAUGES and series.metric not in left_out
    }
    found = []
    for series in sorted({*kept, *(one for one in expected if one.metric not in left_out)}):
        said, wanted = kept.get(series, Figures()), expected.get(series, Figures())
        if series.metric in counts:
            said = replace(said, denominator=wanted.denominator)
        has_spread = BY_NAME[series.metric].kind in SPREADING
        unlike = [name for name, *_ in spreads(said, wanted)] if has_spread else []
        if pair(said) != pair(wanted) or unlike:
            what = f" ({', '.join(unlike)})" if unlike else ""
            detail = f"{day}: published {shown(said)}, recounted {shown(wanted)}{what}"
            found.append(Breach(Identity.DAYS, str(series), detail))
    return found


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between which figures a gauge must be, both ends included; equal where the rows remember it."""

    lowest: int
    highest: int


def check_gauges(window: Window, bounds: Mapping[str, Bounds]) -> list[Breach]:
    """W6, W9: each gauge is published and within its bounds; those without any are not looked at."""
    said = {row["metric"]: row["numerator"] for row in window.rows if row["metric"] in GAUGES}
    found = []
    for name in GAUGES:
        series, limits = Series(name, Dimension.PLATFORM, ALL), bounds.get(name)
        if name not in said:
            found.append(Breach(Identity.SERIES, str(series), f"{window}: not published"))
        elif limits is not None and not limits.lowest <= said[name] <= limits.highest:
            wanted = (
                f"{limits.lowest}"
                if limits.lowest == limits.highest
                else f"{limits.lowest} to {limits.highest}"
            )
            detail = f"{window}: published {said[name]}, recounted {wanted}"
            found.append(Breach(Identity.GAUGE, str(series), detail))
    return found


def check_flow(window: Window, before: int, posted: int, ended: int, slack: int = 0) -> list[Breach]:
    """W15: open tasks at the end are those `before`, those posted more, those ended less.

    slack: how many of the rows near its two ends were committed after the figures were taken.
    """
    series = Series("open_tasks", Dimension.PLATFORM, ALL)
    said: list[Any] = [row["numerator"] for row in window.rows if row["metric"] == series.metric]
    wanted = before + posted - ended
    if not said or abs(said[0] - wanted) <= slack:
        return []
    detail = f"{window}: published {said[0]}, recounted {before} + {posted} posted - {ended} ended = {wanted}"
    return [Breach(Identity.FLOW, str(series), detail)]
