"""Pages of evidence: experiments with both of their legs, and the sandbox as an instrument.

Stand over the read models of layers 6 and 7; the pure functions above the pages prepare what the templates
show. They recount nothing that decides: verdicts and evidence are shown as recorded.
"""

import math

from app.web import charts
from app.web.formats import NOTHING, credits_text, duration, percent, points, significant
from app.web.visits import Row, Shown, Visit, next_link, rows
from services.domain.bet import Verdict
from services.domain.metrics import Metric
from services.domain.states import ExperimentKind, ExperimentScope, ExperimentState, Leg

EXPERIMENT_STATES = tuple(ExperimentState)
EXPERIMENT_KINDS = tuple(ExperimentKind)
NORMAL_95 = 1.959964
LARGEST_EXPONENT = 300.0
PERCENT = 100.0

STATE_WORDS = {
    ExperimentState.RUNNING: "On trial: some tasks get the new value, the others the old one.",
    ExperimentState.PROVISIONAL: "Won its trial: the ledger puts the new value into production.",
    ExperimentState.PROBATION: "In production, in probation: a share of tasks stays on the old value.",
    ExperimentState.CONFIRMED: "Confirmed: the new value held in probation and stays.",
    ExperimentState.ROLLED_BACK: "Rolled back: the old value is in force again.",
    ExperimentState.REFUSED: "Won its trial, and was refused: it is not in production.",
    ExperimentState.ABORTED: "Stopped: the old value stays.",
    ExperimentState.FUTILE: "No decision: the improvement it stated was refuted, so the old value stays.",
    ExperimentState.INCONCLUSIVE: "No decision: its tasks or its time were used up, so the old value stays.",
}
ENDS = {
    Verdict.WIN: "The new value is better: the evidence reached the line.",
    Verdict.LOSS: "The new value is worse: the evidence of harm reached its line.",
    Verdict.INCONCLUSIVE: "No decision: neither better nor worse could be shown.",
    Verdict.INVALID: "Nothing can be concluded: the arms did not get the shares they were promised.",
}
LEG_WORDS = {Leg.TRIAL: "Trial", Leg.PROBATION: "Probation"}
METRIC_WORDS = {
    Metric.SUCCESS: "success",
    Metric.DURATION: "duration (by rank: lower is better)",
    Metric.COST: "cost (by rank: lower is better)",
}
SCOPE_WORDS = {
    ExperimentScope.TASK: "each task",
    ExperimentScope.AGENT: "each agent in a time window",
    ExperimentScope.PLATFORM: "each time window of the task type",
}


# --- what the templates show -------------------------------------------------------------------------------


def wilson(successes: float, resolved: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion (Wilson 1927); the whole of [0, 1] without evidence."""
    if not resolved:
        return 0.0, 1.0
    share, square = successes / resolved, NORMAL_95**2
    centre = (share + square / (2 * resolved)) / (1 + square / resolved)
    half = (
        NORMAL_95
        * math.sqrt(share * (1 - share) / resolved + square / (4 * resolved**2))
        / (1 + square / resolved)
    )
    return max(0.0, centre - half), min(1.0, centre + half)


def drawn_arm(label: str, arm: Row) -> charts.Arm:
    """Return one arm of an experiment for the chart."""
    lower, upper = wilson(arm["successes"], arm["resolved"])
    return charts.Arm(label, arm["successes"], arm["resolved"], lower, upper)


def e_value_words(log_e: float | None) -> str:
    """Return a natural logarithm of wealth as an E value."""
    return significant(None if log_e is None else math.exp(min(log_e, LARGEST_EXPONENT)))


def is_placebo(experiment: Row) -> bool:
    """Tell whether an experiment is an A/A placebo."""
    return bool(experiment["kind"] == ExperimentKind.PLACEBO)


def verdict_words(experiment: Row) -> str:
    """Return in words how an experiment stands or ended."""
    if is_placebo(experiment):
        is_false = experiment["verdict"] == Verdict.WIN
        said = "A false win: both arms are alike." if is_false else "Both arms are alike: it should not win."
        return f"A placebo. {said}"
    return STATE_WORDS[ExperimentState(experiment["state"])]


def leg_words(leg: Row, metric: str) -> str:
    """Return in words how one leg stands or ended."""
    e_value, line = e_value_words(leg["log_e"]), e_value_words(leg["threshold_log_e"])
    units = f"{leg['units']:,} task" + ("" if leg["units"] == 1 else "s")
    if leg["verdict"] is None:
        return f"E = {e_value} after {units} in order of assignment; the line is {line}."
    effect = ""
    if leg["estimate"] is not None:
        limits = (leg["lower"], leg["upper"])
        effect = f" {effect_words(leg['estimate'], limits, metric)}, valid at every look."
    said = ENDS[Verdict(leg["verdict"])]
    if leg["verdict"] != Verdict.WIN and leg["reason"]:
        said = f"{said.removesuffix('.')} ({leg['reason']})."
    return f"{said} E = {e_value} after {units}, line {line}.{effect}"


def effect_words(estimate: float, limits: tuple[float, float], metric: str) -> str:
    """Return an effect with its limits: a change of success, or the chance to be better (rank gap + ½)."""
    if metric == Metric.SUCCESS:
        return f"Success changed by {points(estimate)} ({points(limits[0])} to {points(limits[1])})"
    chances = [percent(min(1.0, max(0.0, 0.5 + gap))) for gap in (estimate, *limits)]
    return (
        f"A treated task beats an untreated one with a chance of {chances[0]} ({chances[1]} to {chances[2]}; "
        "50 % is no difference)"
    )


def guardrail_rows(leg: Row) -> list[Row]:
    """Return a leg's guardrails with their margins and how each stands, in words."""
    shown = []
    for guardrail in leg["guardrails"]:
        metric, margin = guardrail["metric"], percent(guardrail["margin"], 0)
        is_success = metric == Metric.SUCCESS
        stands = "no harm shown"
        if guardrail["harm_e"] >= guardrail["harm_threshold"]:
            stands = "harm shown"
        elif guardrail["proof_e"] >= guardrail["proof_threshold"]:
            stands = "proved not worse"
        shown.append(
            {
                **guardrail,
                "may": f"{margin} lower at most" if is_success else f"{margin} of its ceiling higher at most",
                "ceiling_words": NOTHING if is_success else significant(guardrail["ceiling"]),
                "stands": stands,
                "tone": {"harm shown": "bad", "proved not worse": "good"}.get(stands, "plain"),
            }
        )
    return shown


def leg_context(experiment: Row, leg: Row) -> Row:
    """Return one leg with its arms drawn and everything about it in words."""
    values = {"control": experiment["control_value"], "treatment": experiment["treatment_value"]}
    names = {"control": "old", "treatment": "new"}
    if is_placebo(experiment):
        names = {"control": "first", "treatment": "second"}
    labels = [f"{names[arm]}: {values[arm]}".removesuffix(": ") for arm in names]
    drawn = [drawn_arm(label, leg[arm]) for label, arm in zip(labels, names, strict=True)]
    title = f"Success by arm in the {leg['leg']} of experiment {experiment['experiment_id']}"
    return {
        **leg,
        "title": LEG_WORDS[Leg(leg["leg"])],
        "words": leg_words(leg, experiment["metric"]),
        "e_words": e_value_words(leg["log_e"]),
        "line_words": e_value_words(leg["threshold_log_e"]),
        "arms": [
            {
                **leg[arm],
                "arm": arm,
                "name": name,
                "value": values[arm] or NOTHING,
                "time": duration(leg[arm]["mean_duration_seconds"]),
                "cost": _cost(leg[arm]["mean_cost_microcredits"]),
            }
            for arm, name in names.items()
        ],
        "arms_chart": charts.arms_bar(drawn, title=title),
        "guardrail_rows": guardrail_rows(leg),
    }


def _cost(microcredits: float | None) -> str:
    return credits_text(None if microcredits is None else round(microcredits))


def drawn_legs(experiment: Row) -> list[charts.WealthLeg]:
    """Return the legs of an experiment (with its path) for the chart of the evidence."""
    legs = []
    for name in (Leg.TRIAL, Leg.PROBATION):
        leg = experiment[name]
        if leg is None:
            continue
        told = [p for p in experiment.get("path") or [] if p["leg"] == name]
        ramp = experiment["plan"].get("ramp_share") if name is Leg.TRIAL else None
        legs.append(
            charts.WealthLeg(
                [
                    charts.PathPoint(p["ordinal"], p["log_e"], p["arm"], p["outcome"])
                    for p in told
                    if p["log_e"] is not None and p["outcome"] is not None
                ],
                leg["threshold_log_e"],
                name.value,
                0 if ramp is None else sum(point["share"] == float(ramp) for point in told),
                is_shaded=name is Leg.PROBATION,
            )
        )
    return legs


def experiment_context(experiment: Row) -> Row:
    """Return an experiment (single, with its path) with its charts and its state in words."""
    number, drawn = experiment["experiment_id"], drawn_legs(experiment)
    legs = [leg_context(experiment, leg) for leg in (experiment["trial"], experiment["probation"]) if leg]
    return {
        "experiment": experiment,
        "is_placebo": is_placebo(experiment),
        "words": verdict_words(experiment),
        "legs": legs,
        "has_ramp": any(leg.ramp_tasks for leg in drawn),
        "metric_words": METRIC_WORDS[Metric(experiment["metric"])],
        "unit_words": SCOPE_WORDS[ExperimentScope(experiment["scope"])],
        "level": e_value_words(experiment["confirm_threshold_log_e"]),
        "arms_chart": legs[-1]["arms_chart"],
        "wealth_chart": charts.wealth_legs(drawn, title=f"Wealth in experiment {number}"),
    }


def experiment_row(experiment: Row) -> Row:
    """Return an experiment for the list: the evidence of the leg that counts now."""
    leg = experiment["probation"] or experiment["trial"]
    return {
        **experiment,
        "now": leg,
        "e_words": e_value_words(leg["log_e"]),
        "line_words": e_value_words(leg["threshold_log_e"]),
        "is_placebo": is_placebo(experiment),
    }


def holdout_words(holdout: Row) -> str:
    """Return in words what the holdout says of all promotions together."""
    if holdout["difference"] is None:
        return "No task was held out and ended yet: there is nothing to compare."
    limits = f"{points(holdout['lower'])} to {points(holdout['upper'])}"
    if holdout["lower"] <= 0 <= holdout["upper"]:
        return (
            "All promotions since the epoch's start together: no change shown yet "
            f"({points(holdout['difference'])} of success, {limits})."
        )
    gained = "gained" if holdout["difference"] >= 0 else "lost"
    return (
        f"All promotions since the epoch's start together have {gained} "
        f"{points(abs(holdout['difference'])).lstrip('+')} of success ({limits})."
    )


def placebo_words(placebos: Row, alpha: float) -> str:
    """Return in words how often placebos win."""
    counted = placebos["ended"] - placebos["invalid"]
    if not counted:
        return "No placebo has ended yet."
    return (
        f"{placebos['wins']} of {counted} placebos won: {percent(placebos['rate'])}, with 95 % confidence "
        f"between {percent(placebos['lower'])} and {percent(placebos['upper'])}. "
        f"At most {percent(alpha, 0)} may."
    )


# --- the pages ---------------------------------------------------------------------------------------------


def experiments(visit: Visit) -> Shown:
    """Every experiment of a kind, newest first."""
    state = visit.chosen("state", EXPERIMENT_STATES)
    kind = visit.chosen("kind", EXPERIMENT_KINDS) or ExperimentKind.CHANGE.value
    page = visit.views.list_experiments(visit.tx, state=state, kind=kind, **visit.window())
    return Shown(
        "experiments.html",
        {
            "experiments": [experiment_row(found) for found in rows(page)],
            "next": next_link(visit, page),
            "state": state,
            "states": EXPERIMENT_STATES,
            "kind": kind,
        },
    )


def experiment(visit: Visit) -> Shown | None:
    """One experiment: both legs, wealth path, guardrails, verdicts, salts."""
    number = visit.identity()
    found = visit.views.get_experiment(visit.tx, number) if number is not None else None
    return Shown("experiment.html", experiment_context(found)) if found else None


def sandbox(visit: Visit) -> Shown:
    """The sandbox as an instrument: placebos, freeze, stream, holdout, who is in which layer."""
    state = visit.views.sandbox_state(visit.tx, visit.registry)
    placebos = rows(visit.views.list_experiments(visit.tx, kind=ExperimentKind.PLACEBO, limit=10))
    return Shown(
        "sandbox.html",
        {
            "sandbox": state,
            "placebo_words": placebo_words(state["placebos"], state["alpha"]),
            "holdout_words": holdout_words(state["holdout"]) if state["holdout"] else None,
            "placebos": [experiment_row(found) for found in placebos],
            "next_line": significant(state["stream"]["next_threshold"]),
        },
    )
