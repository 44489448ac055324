"""Proposals, reviews and voters as a terminal shows them: short facts first, then tables.

Stands beside `reading`. It never leaves out what a person decides on.
"""

from typing import Any

from app.terminal_text import plain
from app.web.formats import UNIT_OF_SCOPE, trial_length

JsonObject = dict[str, Any]


def proposal(item: JsonObject) -> JsonObject:
    """Return a proposal with its nested facts in words."""
    admission, rules, need = item["admission"], item["rules"], item["need"]
    unit = UNIT_OF_SCOPE[item["scope"]]
    lasts = trial_length(admission["expected_seconds"], admission["units_per_day"], unit)
    in_words: JsonObject = {
        "inverse": f"{item['inverse']['from']} to {item['inverse']['to']}",
        "admission": f"{admission['needed_tasks']:,} {unit} needed{lasts and f', {lasts}'}; "
        f"cap {admission['cap_tasks']:,} in {admission['cap_days']} days",
        "rules": _rules(rules),
        "need": f"{need['at_close'] or 'impossible'} at the close, {need['early'] or 'impossible'} early",
        "electors": [f"{one['agent_id']} {one['name']} ({one['unit']})" for one in item["electors"]],
        "conflicts": [f"agent {one['agent_id']}: {one['reason']}" for one in item["conflicts"]],
        "review": item["review"] and f"{item['review']['state']}, shown {item['review']['shown_sha256']}",
    }
    return {name: in_words.get(name, value) for name, value in item.items()}


def review(item: JsonObject) -> JsonObject:
    """Return a review with everything shown spelled out, a line for each ballot."""
    head = {name: value for name, value in item.items() if name != "shown"}
    shown = item["shown"]
    if shown is None:
        return {**head, "shown": "[erased]"}
    votes = shown["votes"]
    in_words = {
        "inverse": f"{shown['inverse']['from']} to {shown['inverse']['to']}",
        "expected_seconds": _lasts(shown),
        "rules": _rules(shown["rules"]),
        "conflicts": [f"{agent}: {why}" for agent, why in shown["conflicts"].items()],
        "votes": f"{votes['yes']} for, {votes['no']} against, {votes['abstain']} abstained, "
        f"of {votes['electorate']}",
    }
    facts = {f"shown.{name}": in_words.get(name, value) for name, value in shown.items() if name != "ballots"}
    ballots = {f"shown.ballots[{place}]": _ballot(one) for place, one in enumerate(shown["ballots"])}
    return {**head, **facts, **ballots}


def _rules(rules: JsonObject) -> str:
    return f"{rules['threshold_percent']} % of at least {rules['minimum_ballots']} for or against"


def _lasts(shown: JsonObject) -> str | None:
    """Return how long the trial takes, as it is kept (a fraction as text) and in words."""
    if shown["expected_seconds"] is None:
        return None
    seconds, per_day = float(shown["expected_seconds"]), float(shown["units_per_day"])
    words = trial_length(seconds, per_day, UNIT_OF_SCOPE[shown["scope"]])
    return f"{shown['expected_seconds']}, {words}"


def _ballot(ballot: JsonObject) -> str:
    """Return a ballot on one line: a table would cut long reasons, and the person must see all of them."""
    forecast = ballot["forecast_percent"]
    chance = "" if forecast is None else f", {forecast} %"
    return f"{ballot['voter']} {ballot['choice']}{chance}: {ballot['reason'] or 'no reason given'}"


def voter(item: JsonObject) -> JsonObject:
    """Return a voter's record with its sides in words, calibration and ballots as tables."""
    bins = [
        {
            "said": f"{one['low_percent']}-{one['high_percent']} %",
            "came_true": f"{one['came_true']} of {one['forecasts']}",
            "between": f"{100 * one['lower']:.0f}-{100 * one['upper']:.0f} %",
        }
        for one in item["calibration"]
    ]
    sides = item["sides"]
    words = (
        f"for: {sides['for_won']} won, {sides['for_lost']} did not; "
        f"against: {sides['against_lost']} did not win, {sides['against_won']} won"
    )
    facts = {name: value for name, value in item.items() if name not in ("calibration", "ballots", "sides")}
    return {**facts, "sides": words, "calibration": bins, "latest_ballots": item["ballots"]}


def question(item: JsonObject) -> str:
    """Return what a person is asked before a decision without `--shown`."""
    return plain(
        f"Decide on {item['parameter']} {item['from']} to {item['to']}? "
        "Type the first 8 digits of shown_sha256: "
    )
