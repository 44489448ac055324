"""The health score: one number from 0 to 100, and how many points each part takes away.

Stands under the cron runner, which lets diagnosis go first when the score falls, and under every page that
shows it. Every part has a most that it can take; together they take 100. Pure: it never reads a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from services.domain.clock import MINUTE_US

FULL: Final = 100
MOST: Final[Mapping[str, float]] = MappingProxyType(
    {
        "metrics": 25.0,
        "checks": 25.0,
        "bus": 15.0,
        "cron": 15.0,
        "invariants": 10.0,
        "budgets": 5.0,
        "reviews": 5.0,
    }
)
"""What each part can take away at most."""

PLATFORM_EPISODE: Final = 15.0
SERIES_EPISODE: Final = 6.0
FAILING_CHECK: Final = 15.0
WARNING_CHECK: Final = 3.0
DEAD_LETTER: Final = 1.0
DEAD_LETTERS_MOST: Final = 5.0
LAG_MOST: Final = 10.0
LAG_FREE_US: Final = MINUTE_US
LAG_FULL_US: Final = 10 * MINUTE_US
JOB_AT_FAULT: Final = 5.0
BROKEN_INVARIANT: Final = 5.0
EXHAUSTED_BUDGET: Final = 5.0
OVERDUE_REVIEW: Final = 1.0

LOW_BELOW: Final = 80
"""A score under this is low..."""
WELL_FROM: Final = 85
"""...and counts as low until it has come back to this: no flapping at one line."""


@dataclass(frozen=True, slots=True)
class HealthFacts:
    """What the score is made of; every field is a count unless its name says otherwise.

    `jobs_at_fault` is the sum over jobs of their share of ticks that failed or overran among those that ran
    in the last hour: 1.0 is one job that never ends well. Missed ticks are no job's fault.
    """

    platform_episodes: int = 0
    series_episodes: int = 0
    failing_checks: int = 0
    warning_checks: int = 0
    dead_letters: int = 0
    overdue_us: int = 0
    jobs_at_fault: float = 0.0
    broken_invariants: int = 0
    exhausted_budgets: int = 0
    overdue_reviews: int = 0


@dataclass(frozen=True, slots=True)
class HealthScore:
    """The score in points, 0 to 100, and the points that each part takes away (0.0 for none)."""

    points: int
    parts: Mapping[str, float]


def score(facts: HealthFacts) -> HealthScore:
    """Return the score: 100 less what each part takes, each part at most its `MOST`."""
    late = (facts.overdue_us - LAG_FREE_US) / (LAG_FULL_US - LAG_FREE_US)
    lost = {
        "metrics": PLATFORM_EPISODE * facts.platform_episodes + SERIES_EPISODE * facts.series_episodes,
        "checks": FAILING_CHECK * facts.failing_checks + WARNING_CHECK * facts.warning_checks,
        "bus": min(DEAD_LETTERS_MOST, DEAD_LETTER * facts.dead_letters) + LAG_MOST * min(1.0, max(0.0, late)),
        "cron": JOB_AT_FAULT * facts.jobs_at_fault,
        "invariants": BROKEN_INVARIANT * facts.broken_invariants,
        "budgets": EXHAUSTED_BUDGET * facts.exhausted_budgets,
        "reviews": OVERDUE_REVIEW * facts.overdue_reviews,
    }
    parts = {name: round(min(MOST[name], points), 2) for name, points in lost.items()}
    return HealthScore(max(0, round(FULL - sum(parts.values()))), MappingProxyType(parts))


def steadied(points: int, before: int | None) -> int:
    """Return the score that drives the cron runner: one that was low counts as low until `WELL_FROM`.

    `before` is what this gave for the reading before, None for the first.
    """
    is_coming_back = before is not None and before < LOW_BELOW <= points < WELL_FROM
    return LOW_BELOW - 1 if is_coming_back else points
