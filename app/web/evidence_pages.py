"""Pages of votes and evidence: proposals, experiments, parameters.

Stand over the read models of layers 5 to 7; the pure functions above the pages prepare what the templates
show. They recount nothing that decides: tally and verdict are shown as recorded.
"""

import math
from collections.abc import Mapping

from app.web import charts
from app.web.formats import points, significant
from app.web.visits import Row, Shown, Visit, next_link, rows
from services.domain.bet import Verdict
from services.domain.parameters import Risk
from services.domain.states import ExperimentState, ProposalState, ValueSource
from services.domain.tally import THRESHOLD_PERCENT, need

PROPOSAL_STATES = tuple(ProposalState)
EXPERIMENT_STATES = tuple(ExperimentState)
NORMAL_95 = 1.959964
LARGEST_EXPONENT = 300.0

_ENDS = {
    Verdict.WIN: "The new value is better: the evidence reached the line.",
    Verdict.LOSS: "The new value is worse: the evidence of harm reached its line.",
    Verdict.INCONCLUSIVE: "No decision: neither better nor worse could be shown, so the old value stays.",
    Verdict.INVALID: "Nothing can be concluded: the arms did not get the shares they were promised.",
}
RISK_WORDS = {
    Risk.OPEN: "the loop may promote a tested change by itself",
    Risk.GATED: "a person must confirm a change",
    Risk.FIXED: "never changes by proposal: it restrains the loop",
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


def verdict_words(experiment: Row) -> str:
    """Return in words how an experiment (single, with its path) stands or ended."""
    e_value, line = e_value_words(experiment["log_e"]), e_value_words(experiment["threshold_log_e"])
    folded = len(experiment.get("path") or [])
    if experiment["verdict"] is None:
        return f"Running: E = {e_value} after {folded} tasks in order of assignment; the line is {line}."
    effect = ""
    if experiment["estimate"] is not None:
        effect = (
            f" Success changed by {points(experiment['estimate'])}"
            f" ({points(experiment['lower'])} to {points(experiment['upper'])}, valid at every look)."
        )
    return f"{_ENDS[Verdict(experiment['verdict'])]} E = {e_value} after {folded} tasks.{effect}"


def experiment_context(experiment: Row) -> Row:
    """Return an experiment (single, with its path) with its charts and its verdict in words."""
    arms = [
        ("control", "old", experiment["control_value"]),
        ("treatment", "new", experiment["treatment_value"]),
    ]
    drawn = [drawn_arm(f"{name}: {value}", experiment[arm]) for arm, name, value in arms]
    path = [
        charts.PathPoint(p["ordinal"], p["log_e"], p["arm"], p["outcome"])
        for p in experiment.get("path") or []
        if p["log_e"] is not None and p["outcome"] is not None
    ]
    number = experiment["experiment_id"]
    return {
        "experiment": experiment,
        "words": verdict_words(experiment),
        "e_value": e_value_words(experiment["log_e"]),
        "line": e_value_words(experiment["threshold_log_e"]),
        "arms": [{"arm": arm, "name": name, "value": value, **experiment[arm]} for arm, name, value in arms],
        "arms_chart": charts.arms_bar(drawn, title=f"Success by arm in experiment {number}"),
        "wealth_chart": charts.wealth_path(
            path, experiment["threshold_log_e"], title=f"Wealth in experiment {number}"
        ),
    }


def tally_words(proposal: Row, threshold_percent: int = THRESHOLD_PERCENT) -> str:
    """Return in words what the ballots say against the line."""
    cast = proposal["yes"] + proposal["no"]
    sides = proposal["electorate"] - proposal["abstain"]
    return (
        f"{proposal['yes']} for and {proposal['no']} against, {proposal['abstain']} abstained, of an "
        f"electorate of {proposal['electorate']}. With {cast} cast, "
        f"{need(cast, threshold_percent)} would carry; "
        f"{need(sides, threshold_percent)} carry whatever the silent do."
    )


def proposal_context(
    proposal: Row, names: Mapping[int, str], threshold_percent: int = THRESHOLD_PERCENT
) -> Row:
    """Return a proposal (with ballots and electors), its tally drawn and its silent electors named."""
    ballots = proposal.get("ballots") or []
    voted = {ballot["agent_id"] for ballot in ballots}
    silent = [agent for agent in proposal.get("electors") or [] if agent not in voted]
    counts = (proposal["yes"], proposal["no"], proposal["abstain"], proposal["electorate"])
    chart = charts.tally_bar(
        *counts, threshold_percent=threshold_percent, title=f"Votes on proposal {proposal['proposal_id']}"
    )
    return {
        "proposal": proposal,
        "ballots": ballots,
        "silent": silent,
        "names": names,
        "tally_chart": chart,
        "tally": tally_words(proposal, threshold_percent),
        "threshold_percent": threshold_percent,
    }


def consensus_threshold(visit: Visit) -> int:
    """Return the share of votes that carries, in per cent, as in force."""
    found = visit.views.get_parameter(visit.tx, visit.registry, "consensus.threshold_percent")
    return int(found["value"]) if found else THRESHOLD_PERCENT


# --- the pages ---------------------------------------------------------------------------------------------


def proposals(visit: Visit) -> Shown:
    """Every proposed change, newest first."""
    state = visit.chosen("state", PROPOSAL_STATES)
    page = visit.views.list_proposals(visit.tx, state=state, **visit.window())
    return Shown(
        "proposals.html",
        {
            "proposals": rows(page),
            "next": next_link(visit, page),
            "state": state,
            "states": PROPOSAL_STATES,
            "names": visit.agent_names(),
        },
    )


def proposal(visit: Visit) -> Shown | None:
    """One proposed change with its evidence, electorate, ballots and tally."""
    number = visit.identity()
    found = visit.views.get_proposal(visit.tx, number) if number is not None else None
    if found is None:
        return None
    return Shown("proposal.html", proposal_context(found, visit.agent_names(), consensus_threshold(visit)))


def experiments(visit: Visit) -> Shown:
    """Every experiment, newest first."""
    state = visit.chosen("state", EXPERIMENT_STATES)
    page = visit.views.list_experiments(visit.tx, state=state, **visit.window())
    shown = [{**found, "e_words": e_value_words(found["log_e"])} for found in rows(page)]
    return Shown(
        "experiments.html",
        {"experiments": shown, "next": next_link(visit, page), "state": state, "states": EXPERIMENT_STATES},
    )


def experiment(visit: Visit) -> Shown | None:
    """One experiment: arms, wealth path, verdict, salt."""
    number = visit.identity()
    found = visit.views.get_experiment(visit.tx, number) if number is not None else None
    return Shown("experiment.html", experiment_context(found)) if found else None


def parameters(visit: Visit) -> Shown:
    """Every setting with the value in force and where it comes from."""
    found = rows(visit.views.list_parameters(visit.tx, visit.registry))
    changed = [row for row in found if row["source"] != ValueSource.DEFAULT]
    return Shown("parameters.html", {"parameters": found, "changed": len(changed), "risks": RISK_WORDS})


def parameter(visit: Visit) -> Shown | None:
    """One setting with its bounds and its history."""
    found = visit.views.get_parameter(visit.tx, visit.registry, str(visit.path["name"]))
    if found is None:
        return None
    return Shown(
        "parameter.html", {"parameter": found, "risk_words": RISK_WORDS.get(Risk(found["risk"]), "")}
    )
