"""What is truly so in a scenario: how likely a task succeeds and how long it takes, whatever anyone believes.

Stands outside the platform: its agents draw their work from here, and no service, view or proposal can look.
Success of one task has log-odds = level of its kind (at this time) + ability of its agent + the true effect
of every change whose new value is in force for this very task. It never reads the platform.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.simulation.task_types import TIMEOUT

QUICK_SECONDS = 1.0
SLOW_SUCCESS_SECONDS = (5.0, 60.0)


def logit(probability: float) -> float:
    """Return the log-odds of a probability in (0, 1)."""
    return math.log(probability / (1.0 - probability))


def expit(log_odds: float) -> float:
    """Return the probability with these log-odds."""
    return 1.0 / (1.0 + math.exp(-log_odds))


@dataclass(frozen=True, slots=True)
class Change:
    """The truth about one proposed value: what it adds to the log-odds of success where it is in force."""

    parameter: str
    value: str
    log_odds: float


@dataclass(frozen=True, slots=True)
class Trend:
    """A level that moves in a straight line, in probability, from the instant a change is proposed."""

    start: float
    end: float
    seconds: float

    def at(self, elapsed_seconds: float) -> float:
        """Return the probability after so many seconds; it stays at the end."""
        share = min(1.0, max(0.0, elapsed_seconds / self.seconds))
        return self.start + (self.end - self.start) * share


@dataclass(frozen=True, slots=True)
class Work:
    """One attempt: how long it takes in seconds, and how it ends."""

    seconds: float
    is_good: bool
    is_in_time: bool = True


@dataclass
class Environment:
    """The truth of one scenario. `levels` are probabilities by kind of work.

    With `is_failing_slowly` a failing task hangs until its time limit, and a good one takes 5 to 60 s.
    """

    rng: random.Random
    levels: dict[str, float]
    trend: Trend | None = None
    is_failing_slowly: bool = False
    abilities: dict[int, float] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    began_seconds: dict[str, float] = field(default_factory=dict)

    def level(self, kind: str, now_seconds: float) -> float:
        """Return the success probability of a kind of work, by a middling agent under the old values."""
        if self.trend is None:
            return self.levels[kind]
        return self.trend.at(now_seconds - self.began_seconds.get(kind, now_seconds))

    def propose(self, kind: str, change: Change, now_seconds: float) -> None:
        """Note the truth about a change that was just proposed for a kind of work."""
        self.changes[change.parameter] = change
        self.began_seconds[kind] = now_seconds

    def settle(self, parameter: str) -> None:
        """Forget a change that was decided: whatever it gained, the work grows harder by as much."""
        self.changes.pop(parameter, None)

    def attempt(
        self, kind: str, values: Mapping[str, Mapping[str, Any]], agent_id: int, now_seconds: float
    ) -> Work:
        """Draw one attempt at a task of this kind under these values in force."""
        log_odds = logit(self.level(kind, now_seconds)) + self.abilities.get(agent_id, 0.0)
        for name, change in self.changes.items():
            found = values.get(name)
            if found is not None and found["value"] == change.value:
                log_odds += change.log_odds
        is_good = self.rng.random() < expit(log_odds)
        if not self.is_failing_slowly:
            return Work(QUICK_SECONDS, is_good)
        if is_good:
            return Work(self.rng.uniform(*SLOW_SUCCESS_SECONDS), is_good)
        return Work(float(values[f"{kind}.{TIMEOUT}"]["value"]), is_good, is_in_time=False)
