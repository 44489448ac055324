"""Pages of votes: proposals, their electorate, their ballots and their terms.

Stand over the read models of layer 5; the pure functions above the pages prepare what the templates show.
They recount nothing that decides: tally, rules and conflicts are shown as recorded.
"""

from collections import defaultdict
from collections.abc import Mapping

from app.web import charts
from app.web.formats import UNIT_OF_SCOPE, trial_length
from app.web.visits import Row, Shown, Visit, next_link, rows
from services.domain.states import ElectorateMode, ProposalState
from services.domain.tally import need

PROPOSAL_STATES = tuple(ProposalState)
MODE_WORDS = {
    ElectorateMode.AGENT: "each agent has a ballot",
    ElectorateMode.OWNER: "each owner has one ballot, whichever of its agents votes first",
}


# --- what the templates show -------------------------------------------------------------------------------


def tally_words(proposal: Row) -> str:
    """Return in words what the ballots say against the rule that the vote was opened under."""
    cast = proposal["yes"] + proposal["no"]
    rules, needed = proposal["rules"], proposal["need"]
    percent, least = rules["threshold_percent"], rules["minimum_ballots"]
    words = (
        f"{proposal['yes']} for and {proposal['no']} against, {proposal['abstain']} abstained, of an "
        f"electorate of {proposal['electorate']}. It takes {percent} % of the ballots for or against, and "
        f"at least {least} of them"
    )
    if proposal["state"] != ProposalState.OPEN:
        return f"{words}: of {cast} cast, {need(cast, percent)} had to be for."
    early, at_close = needed["early"], needed["at_close"]
    if at_close is None:
        return f"{words}: it can no longer be carried."
    now = f"{words}: {at_close} for would carry it if the vote closed now"
    return f"{now}, {early} whatever the silent do." if early is not None else f"{now}."


def silent_units(proposal: Row) -> list[Row]:
    """Return the units of the electorate without a ballot, each with its agents."""
    voted = {ballot["unit"] for ballot in proposal.get("ballots") or []}
    agents: dict[str, list[int]] = defaultdict(list)
    for elector in proposal.get("electors") or []:
        if elector["unit"] not in voted:
            agents[elector["unit"]].append(elector["agent_id"])
    return [{"unit": unit, "agents": of_unit} for unit, of_unit in agents.items()]


def admission_words(proposal: Row) -> str:
    """Return what the trial would take at the traffic of the opening, and its cap."""
    admission, unit = proposal["admission"], UNIT_OF_SCOPE.get(proposal["scope"], "units")
    lasts = trial_length(admission["expected_seconds"], admission["units_per_day"], unit)
    return (
        f"The trial needs about {admission['needed_tasks']:,} {unit}{lasts and f': {lasts}'}. "
        f"It may use {admission['cap_tasks']:,} in {admission['cap_days']} days."
    )


def proposal_context(proposal: Row, names: Mapping[int, str]) -> Row:
    """Return a proposal (with ballots and electors), its tally drawn and its silent electors named."""
    counts = (proposal["yes"], proposal["no"], proposal["abstain"], proposal["electorate"])
    percent = proposal["rules"]["threshold_percent"]
    chart = charts.tally_bar(
        *counts, threshold_percent=percent, title=f"Votes on proposal {proposal['proposal_id']}"
    )
    return {
        "proposal": proposal,
        "ballots": proposal.get("ballots") or [],
        "silent": silent_units(proposal),
        "names": names,
        "tally_chart": chart,
        "tally": tally_words(proposal),
        "mode": MODE_WORDS[ElectorateMode(proposal["electorate_mode"])],
        "admission": admission_words(proposal),
    }


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
    return None if found is None else Shown("proposal.html", proposal_context(found, visit.agent_names()))
