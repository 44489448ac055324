"""The platform's health: its score now, what checks answered, and whether promotions wait for one of them.

Stands beside the layers: the cron runner asks the score, probes and watchdogs report what they found, and the
evolution ledger asks whether a promotion is held. It never promotes, rolls back or mends anything.
"""

from collections.abc import Collection
from typing import Final

from services.domain.checks import FAIL_AFTER_US, WARN_AFTER_US, Check, Layer, Status, aged
from services.domain.clock import DAY_US, HOUR_US, MINUTE_US
from services.domain.events import Event, EventType
from services.domain.health_score import HealthFacts, HealthScore, score
from services.event_bus import publish
from services.operations.self_checks import WRITTEN
from services.store import health as queries
from services.store.sql import Row
from services.store.tx import Tx

BROKEN_INVARIANT: Final = "invariant_broken"
"""The kind of review item that the market's watchdog opens."""
REVIEW_OVERDUE_US: Final = DAY_US
OUTPUT_LENGTH: Final = 500
PROBES: Final = "correctness_probes"
"""The job that makes the checks, and the name that it keeps its marks under."""
TASK_TYPE: Final = "task_type/"
KNOWN_ANSWERS: Final = "known_answers"
FIRST_ROUND_US: Final = 10 * MINUTE_US
"""So long after its first tick that job has made every check once; many times what it takes."""


def score_now(tx: Tx) -> HealthScore:
    """Return the platform's score with the points that each part takes; a handful of short queries."""
    platform_episodes, series_episodes = queries.open_episodes(tx)
    statuses = [check.status for check in correctness(tx)]
    broken, overdue = queries.reviews(tx, BROKEN_INVARIANT, tx.now_us - REVIEW_OVERDUE_US)
    ticks = queries.ticks_since(tx, tx.now_us - HOUR_US)
    return score(
        HealthFacts(
            platform_episodes=platform_episodes,
            series_episodes=series_episodes,
            failing_checks=statuses.count(Status.FAIL),
            warning_checks=statuses.count(Status.WARN),
            dead_letters=queries.dead_letters(tx),
            overdue_us=queries.overdue_us(tx),
            jobs_at_fault=sum(row["at_fault"] / max(1, row["ticks"] - row["missed"]) for row in ticks),
            broken_invariants=broken,
            exhausted_budgets=queries.exhausted_days(tx),
            overdue_reviews=overdue,
        )
    )


def report(
    tx: Tx,
    layer: str,
    component: str,
    measurement: str,
    status: str,
    *,
    observed: float | None = None,
    unit: str | None = None,
    output: str | None = None,
) -> None:
    """Keep what a check answered now; say CheckFailed or CheckRecovered when a check of correctness turned.

    A component with several measurements has recovered when none of them fails any more. `output` is a
    sentence for operators and agents.
    """
    now = Status(status)
    output = None if output is None else output[:OUTPUT_LENGTH]
    before = queries.check_of(tx, Layer(layer), component, measurement)
    failing_since_us = None
    was_failing = before is not None and before["status"] == Status.FAIL
    if now is Status.FAIL:
        failing_since_us = before["failing_since_us"] if before is not None and was_failing else tx.now_us
    values: dict[str, object] = {
        "status": now,
        "observed": observed,
        "unit": unit,
        "output": output,
        "failing_since_us": failing_since_us,
    }
    queries.put_check(tx, Layer(layer), component, measurement, before=before, values=values)
    if layer != Layer.CORRECT or was_failing == (now is Status.FAIL):
        return
    facts = {"component": component, "measurement": measurement, "output": output}
    if now is Status.FAIL:
        publish(tx, Event(EventType.CHECK_FAILED, _aggregate(component), facts))
    elif not queries.failing_of(tx, component):
        publish(tx, Event(EventType.CHECK_RECOVERED, _aggregate(component), facts))


def forget_others(tx: Tx, known: Collection[tuple[str, str]]) -> None:
    """Forget the checks of correctness but the `known` (component, measurement): nobody makes them any more.

    Whoever was told that a component fails is told that it does not.
    """
    for row in queries.drop_checks(tx, known):
        component = row["component"]
        if row["status"] == Status.FAIL and not queries.failing_of(tx, component):
            facts = {"component": component, "measurement": row["measurement"]}
            facts["output"] = "it is not checked any more"
            publish(tx, Event(EventType.CHECK_RECOVERED, _aggregate(component), facts))


def promotion_hold(tx: Tx) -> str | None:
    """Return why nothing may be promoted now, or None.

    Promotions wait while a check of correctness fails or is too old, and while one that must be made has not
    been made although the job of the probes began `FIRST_ROUND_US` ago: what is not known is not good.
    """
    found = correctness(tx)
    failing = [check for check in found if check.status is Status.FAIL]
    if not failing:
        return _never_made(tx, {(check.component, check.measurement) for check in found})
    first = failing[0]
    others = f" and {len(failing) - 1} more" if len(failing) > 1 else ""
    return f"check {first.key} fails{others}: {first.output or 'no reason given'}"


def _never_made(tx: Tx, made: Collection[tuple[str, str]]) -> str | None:
    """Return which check that must be made is missing, once there was time for it."""
    asked = [name for name in queries.peek_marks(tx, PROBES).get("turns", {}) if name.startswith(TASK_TYPE)]
    needed = [keys[0] for keys in WRITTEN.values()] + [(name, KNOWN_ANSWERS) for name in asked]
    missing = [f"{component}:{measurement}" for component, measurement in needed
               if (component, measurement) not in made]  # fmt: skip
    if not missing:
        return None
    began_us = queries.first_tick(tx, PROBES)
    if began_us is None or tx.now_us - began_us < FIRST_ROUND_US:
        return None
    others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"check {missing[0]}{others} was never made, although its job runs"


def correctness(tx: Tx) -> list[Check]:
    """Return every check of correctness as it is worth now: an old pass is a warning, then a failure."""
    return [_aged(row, tx.now_us) for row in queries.checks(tx, Layer.CORRECT)]


def _aged(row: Row, now_us: int) -> Check:
    age_us = now_us - row["checked_at_us"]
    told = Status(row["status"])
    status = aged(told, age_us, warn_after_us=WARN_AFTER_US, fail_after_us=FAIL_AFTER_US)
    output = row["output"]
    if status is not told:
        output = f"last looked at {age_us // 60_000_000} minutes ago, and then it was {told}"
    return Check(
        component=row["component"],
        measurement=row["measurement"],
        status=status,
        at_us=row["checked_at_us"],
        component_type=_type_of(row["component"]),
        observed=row["observed"],
        unit=row["unit"],
        output=output,
    )


def _type_of(component: str) -> str:
    kind, found, _ = component.partition("/")
    return kind if found else "platform"


def _aggregate(component: str) -> str:
    return f"check:{component}"[:64]
