"""The bars of the market's speed: what is asked, and how each figure comes out of the samples.

Ratios are of two cases of the same run. Absolute rates are asked for as well and depend on the machine; each
stands beside a ratio that does not. A bar whose cases could not be measured is not reached.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.market import names
from tests.benchmarks.market.backlog import name_of
from tests.benchmarks.market.measure import Results
from tests.benchmarks.market.names import ENGINES, POSTGRESQL, SQLITE
from tests.benchmarks.market.sections import SIZES

SENSES: dict[str, Callable[[float, float], bool]] = {"≥": operator.ge, "≤": operator.le, "=": operator.eq}


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: `figure` is computed from the results once all of `cases` have been measured."""

    what: str
    sense: str
    line: float
    unit: str
    cases: tuple[str, ...]
    figure: Callable[[Results], float]
    beside: Callable[[Results], str] = lambda _: ""


@dataclass(frozen=True, slots=True)
class Row:
    """A bar with what was measured; `figure` None where it could not be."""

    bar: Bar
    figure: float | None
    beside: str

    @property
    def is_reached(self) -> bool:
        """Tell whether the figure is there and on the right side of the line."""
        return self.figure is not None and SENSES[self.bar.sense](self.figure, self.bar.line)


def row_of(bar: Bar, results: Results) -> Row:
    """Return the bar with its figure."""
    if not results.has(*bar.cases):
        why = "; ".join(results.failures[name] for name in bar.cases if name in results.failures)
        return Row(bar, None, why or "not run")
    return Row(bar, bar.figure(results), bar.beside(results))


def ratio(what: str, sense: str, line: float, case: str, to: str) -> Bar:
    """Return a bar on the ratio of two rates."""
    return Bar(
        what,
        sense,
        line,
        "×",
        (case, to),
        lambda results: results.ratio(case, to),
        lambda results: f"{results.rate(case):,.0f}/s to {results.rate(to):,.0f}/s",
    )


def rate(what: str, line: float, case: str) -> Bar:
    """Return a bar on a rate."""
    return Bar(
        what,
        "≥",
        line,
        "/s",
        (case,),
        lambda results: results.rate(case),
        lambda results: f"{results.cpu_us(case):,.0f} µs CPU each",
    )


def percent(what: str, line: float, case: str, to: str) -> Bar:
    """Return a bar on one rate as a share of another."""
    return Bar(
        what,
        "≥",
        line,
        "%",
        (case, to),
        lambda results: 100 * results.ratio(case, to),
        lambda results: f"{results.rate(case):,.0f}/s to {results.rate(to):,.0f}/s",
    )


def growth(act: str, engine: str) -> Bar:
    """Return the bar on what a hundred times the backlog does to the median of an act."""
    few, many = (name_of(act, engine, size) for size in (SIZES[0], SIZES[-1]))
    return Bar(
        f"{act}, {engine}: median with a million open tasks to that with ten thousand",
        "≤",
        1.2,
        "×",
        (few, many),
        lambda results: results.percentile_us(many, 50) / results.percentile_us(few, 50),
        lambda results: f"{results.percentile_us(many, 50):,.0f} to {results.percentile_us(few, 50):,.0f} µs",
    )


def median_us(engine: str, line: float) -> Bar:
    """Return the bar on the median of taking a lease among a million open tasks, before its commit."""
    case = name_of("lease", engine, SIZES[-1])
    return Bar(
        f"taking a lease with a million open tasks, {engine}, before the commit",
        "≤",
        line,
        "µs",
        (case,),
        lambda results: results.percentile_us(case, 50),
        lambda results: f"p99 {results.percentile_us(case, 99):,.0f} µs",
    )


def none_of(what: str, case: str, counted: str) -> Bar:
    """Return the bar that something never happened."""
    return Bar(
        what,
        "=",
        0,
        "",
        (case,),
        lambda results: results.total(case, counted),
        lambda results: f"of {sum(sample.operations for sample in results.samples[case]):,} lives",
    )


def naive_double_pay(results: Results) -> str:
    """Return what the naive app paid twice, where it was measured."""
    if not results.has(names.NAIVE):
        return ""
    last = results.samples[names.NAIVE][-1].counts
    return f"the naive app: {last['paid_twice']:,.0f} of {last['settled']:,.0f}"


BARS: tuple[Bar, ...] = (
    ratio("lives over HTTP, FULL, to a naive ORM app", "≥", 25, names.HTTP, names.NAIVE),
    ratio("lives over HTTP, FULL, to a typed app with one writer", "≥", 1.5, names.HTTP, names.CAREFUL),
    rate("lives over HTTP in batches of 20, FULL", 7_700, names.HTTP_BATCH),
    ratio("the same to jobs of pgqueuer in batches", "≥", 1, names.HTTP_BATCH, names.PGQUEUER_BATCH),
    rate("lives in process, SQLite FULL, grouped", 5_000, names.GROUPED.format(engine=SQLITE)),
    rate("lives in process, SQLite FULL, in sets", 15_000, names.SETS.format(engine=SQLITE)),
    rate("lives in process, PostgreSQL, per step", 900, names.THREADED.format(engine=POSTGRESQL)),
    rate("lives in process, PostgreSQL, in sets", 7_000, names.SETS.format(engine=POSTGRESQL)),
    percent("bids over HTTP, SQLite FULL, of bare one-row commits", 60, names.BIDS, names.BESIDE),
    percent("bids over HTTP, SQLite FULL, of the same with NORMAL", 95, names.BIDS, names.BIDS_NORMAL),
    *(growth(act, engine) for engine in ENGINES for act in ("list", "lease")),
    median_us(SQLITE, 50),
    median_us(POSTGRESQL, 500),
    Bar(
        "p99 of the others while one agent floods, to that without",
        "≤",
        2,
        "×",
        (names.CALM, names.FLOODED),
        lambda results: results.percentile_us(names.FLOODED, 99) / results.percentile_us(names.CALM, 99),
        lambda results: (
            f"{results.percentile_us(names.FLOODED, 99) / 1e3:,.1f} to "
            f"{results.percentile_us(names.CALM, 99) / 1e3:,.1f} ms"
        ),
    ),
    Bar(
        "tasks paid twice by 48 connections",
        "=",
        0,
        "",
        (names.HTTP,),
        lambda results: results.samples[names.HTTP][-1].counts["paid_twice"],
        naive_double_pay,
    ),
    none_of("tasks paid twice when the server is killed under load", names.KILLED, "paid_twice"),
    none_of("acknowledged acts lost when the server is killed under load", names.KILLED, "lost"),
)
