"""`nacre experiment analyze`: what the records in a file show, in one sentence, figures and JSON.

Stands outside the loop, over `services.domain.analysis`: no database, no settings, nothing to trust but the
formulas. It never decides anything for the platform, and its exit code says only whether the input was right.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from app.cli.actions.exposures import Exposures, named, read_exposures, refuse
from app.cli.actions.screen import counted, say_item, say_json, say_line
from services.domain.analysis import UNDECIDED, Analysis, Arm, Evidence, Question, Stratum, analyze
from services.domain.bet import Verdict
from services.domain.bet_refusals import PlanRefusedError
from services.domain.errors import InvalidValueError
from services.domain.paths import RowRefusedError
from services.domain.sequential import FUTILE

OPTIONS = {"base_rate": "--base", "cap_tasks": "--cap", "minimum_tasks": "--minimum-tasks"}
COLUMNS = {"share": "pi"}
HINTS = {
    "share": "; a task whose arm was certain says nothing about the other: leave it out",
    "outcome": "; for a duration or a cost say --metric duration or --metric cost",
}
LEVELS = "▁▂▃▄▅▆▇█"
PATH_WIDTH = 48
LARGEST_PLAIN = 1e6
VISIBLE_SHARE = 0.5  # a bet on a gap gains when the true one is more than half of it
SMALLEST_PLAIN = 0.001
LARGEST_SHORT = 1000
LARGEST_LOG = 700.0
NO_EFFECT = "–"
STRATA_COLUMNS = (
    "stratum",
    "tasks",
    "control_tasks",
    "treatment_tasks",
    "control_mean",
    "treatment_mean",
    "estimate",
)


def analyze_file(file: str, asked: Mapping[str, Any], *, as_json: bool) -> int:
    """Print what a CSV file's records show.

    asked: the fields of `Question`, with `metric` a Measure or None. Raises InvalidValueError for an option
    that cannot be meant, and for the first place in the file that cannot be counted.
    """
    question_of(asked)  # options are refused before a large file is read
    exposures = read_exposures(file, asked["metric"])
    question = question_of({**asked, "metric": exposures.measure})
    columns = (exposures.shares, exposures.arms, exposures.outcomes)
    try:
        found = analyze(question, *columns, exposures.strata, exposures.units)
    except RowRefusedError as error:
        unit = exposures.units[error.row] if exposures.units and "unit" in error.rule else None
        rule = error.rule if unit is None else f"{error.rule}; unit {unit!r} has two"
        hint = "" if unit is not None or question.metric.is_ranked else HINTS.get(error.field, "")
        column = COLUMNS.get(error.field, error.field)
        refuse(named(file), exposures.lines[error.row], column, rule + hint)
    if as_json:
        return say_json(as_object(found, exposures))
    for line in (sentence(found), *remarks(found, exposures.unused), ""):
        say_line(line)
    return say_item(facts(found), {"strata": STRATA_COLUMNS}, as_json=False)


def question_of(asked: Mapping[str, Any]) -> Question:
    """Return the question that the options ask; raise InvalidValueError naming the option that is wrong."""
    measure = asked["metric"]
    known = {name: value for name, value in asked.items() if name != "metric"}
    try:
        return Question(**known) if measure is None else Question(**known, metric=measure.metric)
    except PlanRefusedError as error:
        raise option_refused(error, OPTIONS, asked) from error


def option_refused(
    error: PlanRefusedError, options: Mapping[str, str], asked: Mapping[str, Any]
) -> InvalidValueError:
    """Return the refusal of an option, with what was given for it.

    options: which option a field of the statistics comes from. asked: what was given, by field.
    """
    option = options.get(error.field, f"--{error.field}")
    said, given = str(error).removeprefix(f"{error.field}: "), asked.get(error.field)
    if given is not None and f"{given:g}" not in said:
        said = f"{said}, got {given:g}"
    return InvalidValueError(f"{option}: {said}", field=error.field, code="option_refused")


# --- JSON


def as_object(found: Analysis, exposures: Exposures) -> dict[str, Any]:
    """Return the analysis as JSON has it; numbers that do not exist are null, indices count rows from 0."""
    asked, futility, proof = found.question, found.futility, found.non_inferiority
    has_both = bool(found.control.units and found.treatment.units)
    return {
        "e": found.superiority.e,
        "e_max": found.superiority.e_max,
        "crossed_at": found.superiority.crossed_at,
        "alpha": asked.alpha,
        "estimate": found.estimate if has_both else None,
        "lower": found.lower,
        "upper": found.upper,
        "srm_e": found.srm.e,
        "tasks": found.tasks,
        "verdict": found.verdict,
        "strata": [_stratum(stratum) for stratum in found.strata],
        "reason": found.reason,
        "decided_at": found.decided_at,
        "units": found.units,
        "metric": str(exposures.measure),
        "effect": asked.effect,
        "base": asked.base_rate,
        "margin": asked.margin,
        "minimum_tasks": asked.minimum_tasks,
        "cap_tasks": asked.cap_tasks,
        "log_e": found.superiority.log,
        "log_e_max": found.superiority.log_max,
        "harm_e": found.harm.e,
        "harm_e_max": found.harm.e_max,
        "srm_e_max": found.srm.e_max,
        "futility_e": futility and futility.e,
        "futility_e_max": futility and futility.e_max,
        "non_inferiority_e": proof and proof.e,
        "non_inferiority_e_max": proof and proof.e_max,
        "non_inferiority_crossed_at": proof and proof.crossed_at,
        "control": asdict(found.control),
        "treatment": asdict(found.treatment),
        "unused_columns": list(exposures.unused),
    }


def _stratum(stratum: Stratum) -> dict[str, Any]:
    return {
        "stratum": stratum.name,
        "tasks": stratum.tasks,
        "units": stratum.units,
        "control_tasks": stratum.control.tasks,
        "treatment_tasks": stratum.treatment.tasks,
        "control_mean": stratum.control.mean,
        "treatment_mean": stratum.treatment.mean,
        "estimate": stratum.estimate,
    }


# --- words


def sentence(found: Analysis) -> str:
    """Return what the evidence says, in one sentence."""
    asked, e = found.question, found.superiority
    needed, at = _number(e.needed), _row(found, found.decided_at)
    if found.verdict == Verdict.WIN:
        chance = f"at most {100.0 * asked.alpha:g} % of useless changes ever get there"
        return f"Treatment is better: E reached {needed} {at}, and {chance}."
    if found.verdict == Verdict.LOSS:
        return f"Treatment is worse: the evidence of harm reached {_number(found.harm.needed)} {at}."
    if found.verdict == Verdict.INVALID:
        why = f"the arms do not have the shares that pi says (evidence {_number(found.srm.needed)} {at})"
        return f"Nothing can be concluded: {why}."
    if found.reason == FUTILE and found.futility is not None:
        against = f"the evidence against it reached {_number(found.futility.needed)} {at}"
        return f"The stated improvement of {asked.effect:g} is not there: {against}."
    so_far = f"E is {_number(e.e, e.log)}, at its highest {_number(e.e_max, e.log_max)}"
    if found.verdict == UNDECIDED:
        if e.crossed_at is not None and found.units < asked.minimum_tasks:
            crossed = f"E reached {needed} {_row(found, e.crossed_at)}"
            least = counted(asked.minimum_tasks, "task")
            return f"Not decided yet: {crossed}, and a win needs at least {least}."
        return f"Not decided yet: {so_far}, and a win needs {needed}."
    return f"Not decided within the cap of {counted(asked.cap_tasks or 0, 'task')}: {_capped(found)}."


def _capped(found: Analysis) -> str:
    """Return what E was at the cap, and what the rows after it would have made of it."""
    cap, e = found.question.cap_tasks or found.units, found.superiority
    logs = found.path[:cap]
    last, highest = float(logs[-1]), max(0.0, float(logs.max()))
    there = f"{_number_of(last)} there, at its highest {_number_of(highest)}"
    said = f"E was {there}, and a win needs {_number(e.needed)}"
    if found.units <= cap:
        return said
    unit = "task" if found.units == found.tasks else "unit"
    later = f"with all {counted(found.units, unit)}, which count no more, it is {_number(e.e, e.log)}"
    return f"{said}; {later}, at its highest {_number(e.e_max, e.log_max)}"


def remarks(found: Analysis, unused: Sequence[str]) -> list[str]:
    """Return what a reader should know besides."""
    said = []
    asked, crossed, decided = found.question, found.superiority.crossed_at, found.decided_at
    if crossed is not None and decided is not None and found.verdict != Verdict.WIN:
        order = "later" if crossed > decided else "earlier" if crossed < decided else "at once with it"
        said.append(
            f"E for better also reached its mark, {order} ({_row(found, crossed)}); the verdict stands."
        )
    if found.units != found.tasks:
        rows, units = counted(found.tasks, "row"), counted(found.units, "unit")
        said.append(f"{rows} of {units}: each unit is bet on once, on its mean.")
    if not asked.metric.is_ranked and found.control.mean is not None:
        said.extend(_about_effect(found, found.control.mean))
    if unused:
        said.append(f"Columns not used: {', '.join(unused)}.")
    return said


def _about_effect(found: Analysis, control_mean: float) -> list[str]:
    """Return what is odd about the stated effect, or what the bet cannot see without one."""
    stated = found.question.effect
    if stated is not None and stated + control_mean > 1.0:
        return [f"The stated effect is more than the control mean of {control_mean:.3g} leaves room for."]
    if stated is None and found.verdict == UNDECIDED and found.treatment.mean is not None:
        treated = found.treatment.units / found.units
        mean = (1.0 - treated) * control_mean + treated * found.treatment.mean
        widest = min(mean / max(treated, 1e-9), (1.0 - mean) / max(1.0 - treated, 1e-9))
        seen = VISIBLE_SHARE * min(found.question.plan(found.units).grid) * widest
        if seen > 0.0:
            return [f"Gains below about {seen:.2g} are seen only if stated: --effect, fixed beforehand."]
    return []


def facts(found: Analysis) -> dict[str, object]:
    """Return the figures, each with the words that say what it is."""
    asked, e, futility, proof = found.question, found.superiority, found.futility, found.non_inferiority
    gap = "P(treated is lower) - 1/2" if asked.metric.is_ranked else "treatment - control"
    level = f"{100.0 * (1.0 - asked.alpha):g} %, at every look"
    estimate = f"{found.estimate:+.4g}" if found.control.units and found.treatment.units else NO_EFFECT
    limits = f"between {found.lower:+.4g} and {found.upper:+.4g} ({level})"
    said: dict[str, object] = {
        "effect": f"{estimate} {gap}, {limits}",
        "evidence": f"E {_evidence(e)}; {_number(e.needed)} is needed to win",
        "path": f"{sparkline(found.path, math.log(e.needed))} log E, left to right",
        "harm": f"E {_evidence(found.harm)}; {_number(found.harm.needed)} means worse",
    }
    if futility is not None:
        words = f"{_number(futility.needed)} refutes an improvement of {asked.effect:g}"
        said["futility"] = f"E {_evidence(futility)}; {words}"
    if proof is not None:
        shown = "not shown" if proof.crossed_at is None else f"shown {_row(found, proof.crossed_at)}"
        needed = f"E {_evidence(proof)}, {_number(proof.needed)} is needed"
        said["not worse"] = f"by {asked.margin:g}: {shown}; {needed}"
    said["shares"] = f"E {_evidence(found.srm)}; {_number(found.srm.needed)} makes it invalid"
    said["control"] = _arm(found, found.control)
    said["treatment"] = _arm(found, found.treatment)
    if found.strata:
        said["strata"] = [_stratum(stratum) for stratum in found.strata]
    return said


def sparkline(path: npt.NDArray[np.float64], needed_log: float) -> str:
    """Return a path of log E as blocks: the lowest is E ≤ 1, the highest its mark or its highest value."""
    top = max(needed_log, float(path.max()))
    ends = [part[-1] for part in np.array_split(path, min(PATH_WIDTH, len(path)))]
    return "".join(LEVELS[round(max(0.0, float(end)) / top * (len(LEVELS) - 1))] for end in ends)


def _arm(found: Analysis, arm: Arm) -> str:
    if arm.mean is None or arm.median is None:
        return "no task"
    count = counted(arm.tasks, "task")
    if found.units != found.tasks:
        count = f"{counted(arm.tasks, 'row')} of {counted(arm.units, 'unit')}"
    ranked = f", median {arm.median:.4g}" if found.question.metric.is_ranked else ""
    return f"{count}, mean {arm.mean:.4g}{ranked}"


def _evidence(evidence: Evidence) -> str:
    last = _number(evidence.e, evidence.log)
    return f"{last} at the end, {_number(evidence.e_max, evidence.log_max)} at its highest"


def _row(found: Analysis, index: int | None) -> str:
    noun = "task" if found.units == found.tasks else "row"
    return "" if index is None else f"with {noun} {index + 1} of {found.tasks}"


def _number_of(log: float) -> str:
    """Return the positive number of a natural logarithm, as `_number` does."""
    return _number(math.exp(min(log, LARGEST_LOG)), log)


def _number(value: float, log: float | None = None) -> str:
    """Return a positive number in few characters; `log` is its natural logarithm, for what no float holds."""
    if value < SMALLEST_PLAIN:
        return f"under {SMALLEST_PLAIN}"
    if value < LARGEST_SHORT:
        return f"{value:.3g}"
    if value < LARGEST_PLAIN:
        return f"{value:,.0f}"
    power, digits = divmod((math.log(value) if log is None else log) / math.log(10.0), 1.0)
    return f"{10.0**digits:.1f}e{power:.0f}"
