"""The settings of the simulated market: which attack runs, under which award rule; one table.

Stands between `nacre simulate market` and its runs. Everything that a run may vary is a field here; what is
true of the agents is the population's. It never touches a platform.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.simulation.market.population import VALUE
from services.domain.auction import AwardRule
from services.operations.agent_registry import GRANT_MICROCREDITS

STAKE_PERCENT = 20
"""The winner stakes a fifth of the reserve price: 2 credits of the simulation, what a failure costs."""
GRANT_IN_STAKES = 5
"""An unvouched newcomer's grant covers this many stakes; it sets the scale of the simulation's credit."""
CREDIT_MICROCREDITS = round(GRANT_MICROCREDITS / (GRANT_IN_STAKES * VALUE * STAKE_PERCENT / 100))
ASK_MARGIN_FIRST_PRICE = 1.15
"""Where the winner is paid its own ask, an honest agent asks this much above its break-even."""
TASKS = 4_000
TASKS_PER_STEP = 10
ALL = "all"


class Attack(StrEnum):
    """What the liars do besides asking little and failing."""

    NONE = "plain"
    """They bid, and fail three times in four."""
    RETURN = "return"
    """A liar whose record is bad or whose money is gone comes back under a new name."""
    BUY = "buy"
    """Each liar has a requester of its own whose tasks it wins and succeeds at, before it bids on others'."""
    RING = "ring"
    """Rings of four liars share four requesters; each liar buys from all four."""
    RING_AND_RETURN = "ring-return"
    """Rings, and whoever is found out comes back under a new name and buys again."""
    RING_LATE = "ring-late"
    """Rings that buy only after every five jobs for others: evidence against them is there to be buried."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """What a liar buys: so many successes per kind of work from each of so many requesters.

    At once, for all that its requesters were granted; or, with `every_jobs`, whenever it has done so many
    jobs for others, `times` times, each time with that part of the grant.
    """

    requesters: int
    per_kind: int
    every_jobs: int = 0
    times: int = 1


PURCHASES: Mapping[Attack, Purchase] = {
    Attack.BUY: Purchase(1, 20),
    Attack.RING: Purchase(4, 5),
    Attack.RING_AND_RETURN: Purchase(4, 5),
    Attack.RING_LATE: Purchase(4, 5, every_jobs=5, times=6),
}
RETURNING = (Attack.RETURN, Attack.RING_AND_RETURN)
LEAVE_AFTER_JOBS = 8
LEAVE_BELOW_SUCCESS = 0.45


@dataclass(frozen=True, slots=True)
class Setting:
    """One run's setting. `deviant` is a rank among the honest agents of the start, best first.

    The deviant is always present and asks `deviation` times its break-even; others do as the setting says.
    """

    attack: Attack = Attack.NONE
    rule: AwardRule = AwardRule.COOLED
    tasks: int = TASKS
    tasks_per_step: int = TASKS_PER_STEP
    stake_percent: int = STAKE_PERCENT
    is_stake_in_ask: bool = True
    deviant: int | None = None
    deviation: float = 1.0

    @property
    def stake(self) -> float:
        """Return the stake in credits of the simulation."""
        return VALUE * self.stake_percent / 100

    @property
    def margin(self) -> float:
        """Return what honest agents multiply their break-even with."""
        return 1.0 if self.rule.is_second_score else ASK_MARGIN_FIRST_PRICE


def rule_name(rule: AwardRule) -> str:
    """Return the rule as the command line spells it: "first-price"."""
    return rule.name.lower().replace("_", "-")


def settings_of(attack: str | None, rule: str | None, tasks: int | None) -> list[Setting]:
    """Return the settings that these names ask for: "all" is every one, None the plain market, cooled."""
    attacks = list(Attack) if attack == ALL else [Attack(attack or Attack.NONE)]
    rules = [one for one in AwardRule if rule in (ALL, rule_name(one))] if rule else [AwardRule.COOLED]
    return [Setting(one, by, tasks or TASKS) for one in attacks for by in rules]


def microcredits(amount: float) -> int:
    """Return credits of the simulation as micro-credits of the platform."""
    return round(amount * CREDIT_MICROCREDITS)
