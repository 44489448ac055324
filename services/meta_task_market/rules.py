"""The market's rules in force, read once per batch: windows, stakes, limits, and each type's retry policy.

Stands in layer 4 beside every verb. It never decides by them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.domain.clock import seconds
from services.domain.errors import NacreError
from services.domain.parameters import PLATFORM_PARAMETERS
from services.domain.reputation import StandingRules
from services.store import sql, tables
from services.store.tx import Tx

T = TypeVar("T")

NAMES = tuple(item.name for item in PLATFORM_PARAMETERS if item.task_type == "market")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a task goes on after an attempt that came to nothing."""

    maximum_attempts: int
    is_failure_retried: bool
    wait_us: int


@dataclass(frozen=True, slots=True)
class MarketRules:
    """Every setting of the market as it is in force now, and the retry policies of the types concerned."""

    values: Mapping[str, str]

    def number(self, name: str) -> float:
        """Return the setting `market.<name>`."""
        return float(self.values[f"market.{name}"])

    def whole(self, name: str) -> int:
        """Return the setting `market.<name>`, which is a whole number."""
        return int(self.values[f"market.{name}"])

    def microseconds(self, name: str) -> int:
        """Return the setting `market.<name>_seconds` in microseconds."""
        return seconds(float(self.values[f"market.{name}_seconds"]))

    def stake_microcredits(self, reserve_price_microcredits: int) -> int:
        """Return what the winner of a task with this reserve price puts up."""
        return reserve_price_microcredits * self.whole("stake_percent") // 100

    def retry_policy(self, task_type: str) -> RetryPolicy:
        """Return the retry policy of a type; never more attempts than the market allows."""
        most = self.whole("maximum_attempts")
        return RetryPolicy(
            min(most, int(self.values.get(f"{task_type}.maximum_attempts", most))),
            self.values.get(f"{task_type}.retry_failures") == "1",
            seconds(float(self.values.get(f"{task_type}.retry_wait_seconds", "0"))),
        )

    @property
    def standing(self) -> StandingRules:
        """Return what the fold of outcomes needs."""
        return StandingRules(
            self.whole("crash_limit"), self.number("counterparty_jobs"), self.whole("entry_jobs")
        )


def rules_now(tx: Tx, task_types: Iterable[str] = ()) -> MarketRules:
    """Return the rules in force, with the retry policies of these task types, in one statement."""
    policies = [
        f"{name}.{suffix}"
        for name in sorted(set(task_types))
        for suffix in ("maximum_attempts", "retry_failures", "retry_wait_seconds")
    ]
    found = sql.find_all(tx, tables.parameter, order_by="name", name=[*NAMES, *policies])
    return MarketRules({row["name"]: row["value"] for row in found})


def only(answers: Sequence[T | NacreError]) -> T:
    """Return the one answer of a batch of one; raise it when it is a refusal."""
    (answer,) = answers
    if isinstance(answer, NacreError):
        raise answer
    return answer
