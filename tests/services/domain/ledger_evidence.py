"""The bets behind the ledger's test history: plans, salts and records of trials, probations and placebos.

Everything is drawn from fixed seeds and ends where the bet decides; nothing here is written by hand.
"""

import hashlib
import random
from dataclasses import dataclass, replace
from typing import Any

from services.domain.assignment import arm_of, commitment
from services.domain.bet import BetPlan, BetState, Record
from services.domain.confidence import confidence_sequence
from services.domain.guardrails import Guardrail
from services.domain.ledger_records import outcome_fields, records_bytes
from services.domain.metrics import Metric
from services.domain.sequential import Replay, replay, share_now, start, start_probation, update
from services.domain.states import Leg
from services.domain.stream import StreamRule, next_level

SETTINGS = {
    "sandbox.alpha": "0.05",
    "sandbox.dependence": "0",
    "sandbox.treatment_percent": "50",
    "sandbox.minimum_tasks": "20",
    "sandbox.minimum_per_arm": "5",
    "sandbox.minimum_cycle_seconds": "0.1",
    "sandbox.ramp_percent": "20",
    "sandbox.ramp_tasks": "10",
    "sandbox.probation_percent": "15",
    "sandbox.probation_tasks": "400",
    "sandbox.probation_seconds": "1209600",
    "sandbox.holdout_percent": "3",
    "sandbox.placebo_tasks": "60",
    "sandbox.window_seconds": "3600",
}
PLAN = BetPlan(
    effect=0.2,
    cap_tasks=400,
    base_rate=0.67,
    guardrails=(Guardrail(Metric.COST, 0.4, 100.0),),
    minimum_per_arm=5,
    minimum_cycle_us=100_000,
    ramp_share=0.2,
    ramp_tasks=10,
)
PLACEBO_PLAN = BetPlan(effect=0.1, cap_tasks=60, minimum_per_arm=5, futility_alpha=None)
SPACING_US = 5_000  # between two assignments


def level_of(number: int) -> float:
    """The level of the stream's experiment of this number: the first one is confirmed before the second."""
    return next_level(StreamRule.LORD, 0.05, number, [1] if number > 1 else [])


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def salt_of(name: str) -> str:
    return sha(name.encode())


@dataclass(frozen=True)
class Bet:
    """One leg from its plan to its end: the records are those up to the decision."""

    experiment_id: int
    leg: Leg
    plan: BetPlan
    state: BetState
    salt: str
    records: list[Record]
    interval_alpha: float = 0.05

    @property
    def commitment(self) -> str:
        return commitment(self.salt)

    @property
    def blob(self) -> bytes:
        return records_bytes(self.experiment_id, self.records, self.leg)

    @property
    def result(self) -> Replay:
        return replay(self.plan, self.records, self.state)

    def with_records(self, records: list[Record]) -> "Bet":
        return replace(self, records=records)

    def figures(self) -> dict[str, Any]:
        """The payload fields of a verdict that the records fix."""
        interval = confidence_sequence(self.plan, self.records, self.interval_alpha)
        return {
            **outcome_fields(self.result),
            **{name: repr(value) for name, value in interval._asdict().items()},
            "salt": self.salt,
            "records_sha256": sha(self.blob),
        }

    def verdict(self) -> dict[str, Any]:
        decision = self.result.decision
        ids = {"experiment_id": self.experiment_id}
        return {**ids, "verdict": str(decision.verdict), "reason": decision.reason, **self.figures()}


def drawn(bet: Bet, rates: tuple[float, float], *, seed: int = 7) -> Bet:
    """The bet with tasks of these success rates (control, treatment) until it is decided."""
    source = random.Random(seed)
    state, records = bet.state, list[Record]()
    share = bet.plan.ramp_share or bet.plan.treatment_share
    while state.decision.verdict is None:
        share = share_now(bet.plan, state, share)
        ordinal = len(records)
        unit = f"{bet.experiment_id}{bet.leg}:{ordinal}"
        arm = arm_of(bet.salt, unit, share)
        costs = tuple(source.uniform(40, 60) - 10 * arm for _ in bet.plan.guardrails)
        outcome = float(source.random() < rates[arm])
        at_us = SPACING_US * ordinal
        records.append(Record(ordinal, unit, arm, share, outcome, "research", at_us, True, costs))
        state = update(bet.plan, state, records[-1])
    return bet.with_records(records)


def trial(number: int, rates: tuple[float, float], plan: BetPlan = PLAN) -> Bet:
    salt = salt_of(f"trial {number}")
    return drawn(Bet(number, Leg.TRIAL, plan, start(plan), salt, []), rates)


def probation(won: Bet, alpha: float, rates: tuple[float, float]) -> Bet:
    plan, state = start_probation(won.plan, won.result.state, alpha=alpha, share=0.85, cap_tasks=400)
    salt = salt_of(f"probation {won.experiment_id}")
    return drawn(Bet(won.experiment_id, Leg.PROBATION, plan, state, salt, []), rates)


def placebo(number: int, rates: tuple[float, float]) -> Bet:
    return trial(number, rates, PLACEBO_PLAN)


BETTER, ALIKE, WORSE = (0.6, 0.97), (0.7, 0.7), (0.95, 0.3)
WON = trial(1, BETTER)
LOST = trial(1, WORSE)
HELD = probation(WON, level_of(1), BETTER)
WON_2 = trial(2, BETTER)
FELL = probation(WON_2, level_of(2), WORSE)
QUIET = placebo(10, ALIKE)
ALARMS = [placebo(number, (0.3, 0.98)) for number in (11, 12, 13)]  # an instrument that is out of order
FIRST_PLAN = BetPlan(effect=0.2, cap_tasks=400, base_rate=0.67)
WON_FIRST = trial(1, BETTER, FIRST_PLAN)
BETS = [WON, LOST, HELD, WON_2, FELL, QUIET, *ALARMS]
