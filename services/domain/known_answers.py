"""Known answers: inputs whose right answer is known, and how many wrong ones in a row of probes are too many.

Stands under the probes of correctness. A verifier is asked about results that are known to be good and about
results that are known to be bad, some only subtly; each direction has a sum of its own (Page's CUSUM), so
that a verifier that accepts everything, or refuses a tenth of good work, is found soon, and a healthy one is
left alone. Pure: it never asks anybody.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

TOLERATED_WRONG: Final = 0.02
"""Share of wrong answers that is still called healthy."""
INTOLERABLE_WRONG: Final = 0.10
"""Share of wrong answers that must be found soon."""
ALARM_AT: Final = 5.0
"""Where the sum raises the alarm. At most 1.3 % of healthy runs of 100 probes reach it (see the docs)."""
WRONG_STEP: Final = math.log(INTOLERABLE_WRONG / TOLERATED_WRONG)
RIGHT_STEP: Final = math.log((1 - INTOLERABLE_WRONG) / (1 - TOLERATED_WRONG))


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """One result whose worth is known: the task as agents and platform see it, the result, is it good.

    `name` says what is right or wrong with it.
    """

    name: str
    public: Mapping[str, object]
    private: Mapping[str, object]
    result: Mapping[str, object]
    is_good: bool


KnownAnswers: TypeAlias = Callable[[int, bool], KnownAnswer]
"""From a number and whether it should be good to a case: the same for a number, another for the next."""


@dataclass(frozen=True, slots=True)
class WrongSum:
    """Page's sum over one direction of a verifier: `points` in 0 to `ALARM_AT`, and whether it has alarmed.

    A wrong answer adds log(p1/p0), a right one takes log((1-p0)/(1-p1)) away; never under 0, never over the
    alarm. It alarms when it comes to `ALARM_AT`, and is quiet again only when it is back at 0: 59 right
    answers in a row, so that a verifier near the line does not flap.
    """

    points: float = 0.0
    has_alarmed: bool = False

    def after(self, *, is_right: bool) -> "WrongSum":
        """Return the sum after one more answer."""
        points = min(ALARM_AT, max(0.0, self.points + (RIGHT_STEP if is_right else WRONG_STEP)))
        has_alarmed = points >= ALARM_AT or (self.has_alarmed and points > 0.0)
        return WrongSum(points, has_alarmed)
