"""`nacre experiment plan`: how many tasks, and how long, an improvement takes to show and to confirm.

Stands before an experiment, over `services.domain.power`: no database, no settings. The figures are what to
expect when the improvement is exactly the one that is named; it never promises them.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from app.cli.actions.analysis import option_refused
from app.cli.actions.screen import counted, say_item, say_json, say_line
from services.domain.bet_refusals import PlanRefusedError
from services.domain.errors import InvalidValueError
from services.domain.parameters import PLATFORM_PARAMETERS
from services.domain.power import Forecast, forecast, smallest_effect
from services.domain.stream import StreamRule, next_level

TRAFFIC = re.compile(r"(?P<count>\d+(?:\.\d+)?)\s*/\s*(?P<unit>second|minute|hour|day|week)s?")
SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
SPANS = (("week", 4 * 604_800), ("day", 2 * 86_400), ("hour", 2 * 3_600), ("minute", 120), ("second", 0))
SHORT_COUNT = 10
DEFAULTS = {parameter.name: parameter.default for parameter in PLATFORM_PARAMETERS}
PROBATION_CAP_TASKS = int(DEFAULTS["sandbox.probation_tasks"])
MINIMUM_CYCLE_SECONDS = int(DEFAULTS["sandbox.minimum_cycle_seconds"])
RAMP_TASKS = int(DEFAULTS["sandbox.ramp_tasks"])
OPTIONS = {
    "base": "--base",
    "effect": "--mde",
    "alpha": "--alpha",
    "share": "--share",
    "confirm_alpha": "--confirm-alpha",
    "confirm_share": "--confirm-share",
}


def show_plan(asked: Mapping[str, Any], limits: Mapping[str, Any], *, as_json: bool) -> int:
    """Print what an improvement costs.

    asked: metric (a Measure), base, effect, alpha, share, confirm_alpha (None: the first level of a new
    stream), confirm_share. limits: traffic, cap_tasks, minimum_tasks. Raises InvalidValueError naming the
    option that is wrong.
    """
    per_second, cap, minimum = (
        tasks_per_second(limits["traffic"]),
        limits["cap_tasks"],
        limits["minimum_tasks"],
    )
    check_limits(cap, minimum)
    known = {**asked, "metric": asked["metric"].metric}
    is_first = asked["confirm_alpha"] is None
    try:
        if is_first:
            known["confirm_alpha"] = next_level(StreamRule.LORD, asked["alpha"], 1, [])
        found = forecast(**known)
        metric, base, alpha, share = (known[name] for name in ("metric", "base", "alpha", "share"))
        least = None if cap is None else smallest_effect(metric, base, alpha, cap, share)
    except PlanRefusedError as error:
        raise option_refused(error, OPTIONS, asked) from error
    stated = {**asked, "confirm_alpha": known["confirm_alpha"]}
    plan = as_object(stated, found, per_second, cap, minimum, least)
    if as_json:
        return say_json(plan)
    for line in (sentence(plan, limits["traffic"]), ""):
        say_line(line)
    return say_item(facts(plan, is_first_level=is_first), {}, as_json=False)


def tasks_per_second(traffic: str | None) -> float | None:
    """Return a traffic such as 500/day in tasks per second, None without one."""
    if traffic is None:
        return None
    found = TRAFFIC.fullmatch(traffic.strip().casefold())
    count = float(found["count"]) if found else 0.0
    if found is None or not 0.0 < count < math.inf:
        msg = f"--traffic must be like 500/day, 20/hour or 2/minute, got {traffic!r}"
        raise InvalidValueError(msg, field="traffic", code="option_refused")
    return count / SECONDS[found["unit"]]


def check_limits(cap: int | None, minimum: int) -> None:
    """Refuse a cap that leaves no room for the minimum."""
    if minimum < 0:
        said = f"--minimum-tasks must be at least 0, got {minimum}"
        raise InvalidValueError(said, field="minimum_tasks", code="option_refused")
    if cap is not None and cap < max(1, minimum):
        said = f"--cap: {cap} is below the minimum of {max(1, minimum)} tasks: nothing could be shown in time"
        raise InvalidValueError(said, field="cap_tasks", code="option_refused")


def as_object(
    asked: Mapping[str, Any],
    found: Forecast,
    per_second: float | None,
    cap: int | None,
    minimum: int,
    least: float | None,
) -> dict[str, Any]:
    """Return the plan as JSON has it; the figures at the top are the trial's.

    The trial's time is its tasks', and at least the minimum cycle: no win counts before that.
    """
    tasks, later = max(found.trial.tasks, minimum), found.probation.tasks
    trial_seconds = None if per_second is None else max(tasks / per_second, float(MINIMUM_CYCLE_SECONDS))
    later_seconds = None if per_second is None else later / per_second
    both = None if trial_seconds is None or later_seconds is None else trial_seconds + later_seconds
    confirmed = tasks + later
    return {
        "metric": str(asked["metric"]),
        "base": asked["base"],
        "mde": asked["effect"],
        "alpha": asked["alpha"],
        "share": asked["share"],
        "tasks": tasks,
        "bound_tasks": found.trial.bound_tasks,
        "information_nats": found.trial.information_nats,
        "seconds": trial_seconds,
        "minimum_cycle_seconds": MINIMUM_CYCLE_SECONDS,
        "probation": {
            "alpha": asked["confirm_alpha"],
            "share": asked["confirm_share"],
            "tasks": found.probation.tasks,
            "bound_tasks": found.probation.bound_tasks,
            "information_nats": found.probation.information_nats,
            "seconds": later_seconds,
            "cap_tasks": PROBATION_CAP_TASKS,
            "fits_cap": later <= PROBATION_CAP_TASKS,
        },
        "confirmed": {"tasks": confirmed, "bound_tasks": found.bound_tasks, "seconds": both},
        "minimum_tasks": minimum,
        "cap_tasks": cap,
        "fits_cap": None if cap is None else tasks <= cap,
        "smallest_mde": least,
        "tasks_per_day": None if per_second is None else per_second * SECONDS["day"],
    }


# --- words


def sentence(plan: Mapping[str, Any], traffic: str | None) -> str:
    """Return what the improvement costs, in one sentence."""
    base, mde, confirmed = plan["base"], plan["mde"], plan["confirmed"]
    if base is None:
        what = f"To be lower with a chance of {0.5 + mde:.4g} instead of 0.5"
    else:
        what = f"An improvement from {base:.4g} to {base + mde:.4g}"
    lasting = "" if traffic is None else f", {span(confirmed['seconds'])} at {traffic.strip()}"
    more = f"{plan['probation']['tasks']:,} more to confirm, {confirmed['tasks']:,} in all{lasting}"
    fits = "" if plan["probation"]["fits_cap"] else _refused(plan["probation"])
    return f"{what} takes about {counted(plan['tasks'], 'task')} to show and {more}.{fits}"


def _refused(probation: Mapping[str, Any]) -> str:
    cap = counted(probation["cap_tasks"], "task")
    return f" It would be refused: probation ends after {cap}."


def facts(plan: Mapping[str, Any], *, is_first_level: bool) -> dict[str, object]:
    """Return the figures, each with the words that say what it is."""
    probation, confirmed, cap = plan["probation"], plan["confirmed"], plan["cap_tasks"]
    level = f"{probation['alpha']:.3g}"
    nats = [f"{leg['information_nats']:.3g}" for leg in (plan, probation)]
    said: dict[str, object] = {
        "trial": f"{_leg(plan)}; share {plan['share']:g}, until E is {1.0 / plan['alpha']:,.6g}",
        "probation": (
            f"{_leg(probation)}; share {probation['share']:g}, until E is {1.0 / probation['alpha']:,.6g}"
        ),
        "level": f"{level}: the first of a new stream" if is_first_level else f"{level}, as given",
        "confirmed": _leg(confirmed),
        "one task tells": f"{nats[0]} nats in the trial, {nats[1]} in probation",
    }
    if plan["seconds"] is not None:
        said["time"] = (
            f"counts the {span(plan['minimum_cycle_seconds'])} that a trial lasts at least "
            f"(sandbox.minimum_cycle_seconds), not the ramp of its first {RAMP_TASKS} tasks"
        )
    if not probation["fits_cap"]:
        said["probation's cap"] = (
            f"{counted(probation['cap_tasks'], 'task')} by default (sandbox.probation_tasks): "
            "it does not fit and would be refused"
        )
    if cap is not None:
        least = plan["smallest_mde"]
        can = "no improvement at all" if least is None else f"improvements from {least:.3g} upwards"
        fits = "fits" if plan["fits_cap"] else "does not fit: it would be refused"
        tasks = counted(cap, "task")
        said["cap"] = f"{tasks}: the trial {fits}; {tasks} can show {can}"
    return said


def span(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    unit = next(unit for unit, least in SPANS if seconds >= least)
    count = seconds / SECONDS[unit]
    return f"{count:,.0f} {unit}s" if count >= SHORT_COUNT else f"{count:.2g} {unit}s"


def _leg(leg: Mapping[str, Any]) -> str:
    lasting = "" if leg["seconds"] is None else f", {span(leg['seconds'])}"
    return f"{counted(leg['tasks'], 'task')}{lasting} (information bound {leg['bound_tasks']:,})"
