"""Episodes in words and figures: what left its band, how far, since when, and what its evidence points at.

Pure functions over the read model of episodes, under the pages of anomalies, laps and metrics. Figures come
in the metric's own unit with the counts they were made of. They never judge a metric.
"""

import math
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from app.web.formats import NOTHING, between, measured, percent, rate, words
from app.web.visits import Row
from services.domain.anomaly import Rule
from services.domain.clock import to_rfc3339
from services.domain.measures import BY_NAME, Dimension, MetricKind
from services.domain.states import EpisodeState

CHECK: Final = "check"
"""The kind of an episode that a failing check opened, not a metric."""
CELLS_SHOWN: Final = 3
TASKS_SHOWN: Final = 12


def is_share(episode: Row) -> bool:
    """Tell whether an episode's figures are shares."""
    return bool(episode["kind"] == MetricKind.PROPORTION)


def said(episode: Row, value: float | None) -> str:
    """Return a figure of an episode in its metric's unit."""
    return measured(value, episode["unit"], is_share=is_share(episode))


def subject(episode: Row) -> str:
    """Return what a metric is of: a task type, an agent, or the platform."""
    if episode["dimension"] == Dimension.PLATFORM:
        return "the platform"
    prefix = {Dimension.AGENT: "agent ", Dimension.MODEL: "model ", Dimension.JOB: "job "}
    return prefix.get(episode["dimension"], "") + str(episode["key"])


def episode_words(episode: Row) -> str:
    """Return in one sentence what was seen, against what was usual."""
    if episode["kind"] == CHECK:
        output = episode["evidence"].get("output")
        return failing_words(episode) + (f": {output}" if output else "")
    name = f"{words(episode['metric'])} of {subject(episode)}"
    if is_share(episode):
        share = percent(rate(episode["numerator"], episode["denominator"]))
        seen = f"{episode['numerator']:,} of {episode['denominator']:,}"
        return f"{name} was {share} ({seen}){_usual_words(episode)}"
    over = (
        f" in {lasted}" if episode["kind"] == MetricKind.COUNT and (lasted := _counted_for(episode)) else ""
    )
    observed, expected = said(episode, episode["observed"]), said(episode, episode["expected"])
    return f"{name}: {observed}{over}, expected {expected}"


def failing_words(episode: Row) -> str:
    """Return of which component a check fails."""
    return f"{episode['key']} does not answer as it should"


def _usual_words(episode: Row) -> str:
    """Return what a share is held against: its own past, or without one the fixed line."""
    if episode["baseline_rate"] is not None:
        return f", usually {percent(episode['baseline_rate'])}"
    if episode["expected"] is None:
        return ""
    against = "the line is" if episode["rule"] == Rule.LINE else "expected"
    return f", {against} {percent(episode['expected'])}"


def interval_words(episode: Row) -> str:
    """Return between what the figure lies in 99 of 100 cases when nothing has changed."""
    interval = episode["interval"]
    if not interval:
        return NOTHING
    low, high = interval
    if not math.isfinite(high):
        return f"at least {said(episode, low)}"
    return f"{said(episode, low)} to {said(episode, high)}"


def counted_words(episode: Row) -> str:
    """Return the counts that an episode's figure was made of, with the time they cover."""
    if episode["kind"] == CHECK:
        return "one check"
    numerator, denominator = episode["numerator"], episode["denominator"]
    if is_share(episode):
        return f"{numerator:,} of {denominator:,}"
    if episode["kind"] == MetricKind.COUNT:
        windows = "window" if denominator == 1 else "windows"
        return f"{measured(numerator, episode['unit'])} in {denominator:,} {windows}"
    of = "readings" if episode["kind"] == MetricKind.GAUGE else "tasks"
    return f"{measured(numerator, episode['unit'])} over {denominator:,} {of}"


def observed_window(episode: Row) -> tuple[str | None, str | None]:
    """Return from when until when the counts that opened an episode were taken."""
    evidence = episode["evidence"] or {}
    edges = (evidence.get("window_start_us"), evidence.get("window_end_us"))
    start, end = (to_rfc3339(edge) if isinstance(edge, int) else None for edge in edges)
    return start, end


def _counted_for(episode: Row) -> str | None:
    start, end = observed_window(episode)
    return between(start, end) if start and end and start != end else None


def times(episode: Row) -> Row:
    """Return how long it took to see an episode and to be rid of it.

    `detect` is from the first bad window's start to the episode, `recover` from there to its recovery.
    """
    began = episode["began_at"] or episode["opened_at"]
    is_recovered = episode["state"] == EpisodeState.CLOSED
    return {
        "began_at": began,
        "detect": between(began, episode["opened_at"]),
        "recover": between(began, episode["closed_at"]) if is_recovered else NOTHING,
    }


def ending_words(episode: Row) -> str:
    """Return how an episode ended, or that it lasts."""
    ended = {
        EpisodeState.OPEN: "still out of its band",
        EpisodeState.CLOSED: "recovered",
        EpisodeState.GIVEN_UP: "its lap ended and it had not come back",
    }
    return ended.get(episode["state"], words(episode["state"]))


def series_link(episode: Row) -> str | None:
    """Return the page of an episode's series, or None for a check."""
    if episode["metric"] not in BY_NAME:
        return None
    return metric_link(episode["metric"], episode["dimension"], episode["key"])


def metric_link(metric: str, dimension: str = Dimension.PLATFORM, key: str | None = None) -> str:
    """Return the page of a series; of the platform's own, without a query."""
    if dimension == Dimension.PLATFORM:
        return f"/metrics-board/{metric}"
    asked = {"by": dimension} | ({} if key is None else {"key": key})
    return f"/metrics-board/{metric}?{urlencode(asked)}"


def cell_rows(payload: Mapping[str, Any] | None) -> list[Row]:
    """Return the best cells of an investigation: where the failures were, and how well that explains them.

    What the evidence of older investigations does not hold is None.
    """
    return [_cell_row(cell) for cell in ((payload or {}).get("cells") or [])[:CELLS_SHOWN]]


def _cell_row(cell: Row) -> Row:
    failing = (cell.get("failing_task_ids") or [])[:TASKS_SHOWN]
    return {
        "where": ", ".join(f"{words(name)} {value}" for name, value in cell["dimensions"].items()),
        "failures": cell["failures"],
        "attempts": cell["attempts"],
        "expected": cell.get("expected_failures"),
        "coverage": cell.get("coverage"),
        "purity": cell.get("purity"),
        "task_ids": failing,
        "others": max(0, cell["failures"] - len(failing)) if failing else 0,
    }


def episode_row(episode: Row, payload: Mapping[str, Any] | None = None) -> Row:
    """Return an episode as the page of anomalies shows it; `payload` is that of its investigation."""
    start, end = observed_window(episode)
    return {
        **episode,
        "seen": episode_words(episode),
        "headline": failing_words(episode) if episode["kind"] == CHECK else episode_words(episode),
        "is_check": episode["kind"] == CHECK,
        "shown_observed": said(episode, episode["observed"]),
        "shown_expected": said(episode, episode["expected"]),
        "shown_interval": interval_words(episode),
        "counted": counted_words(episode),
        "window": (start, end),
        "is_early": bool((episode["evidence"] or {}).get("low_confidence")),
        "ending": ending_words(episode),
        "href": series_link(episode),
        "cells": cell_rows(payload),
        "output": (episode["evidence"] or {}).get("output"),
        "times": times(episode),
    }
