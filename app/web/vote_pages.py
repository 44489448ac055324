"""Pages of votes: proposals, their electorate and their ballots.

Stand over the read models of layers 5 to 7; the pure functions above the pages prepare what the templates
show. They recount nothing that decides: tally and verdict are shown as recorded.
"""

from collections.abc import Mapping

from app.web import charts
from app.web.visits import Row, Shown, Visit, next_link, rows
from services.domain.states import ProposalState
from services.domain.tally import THRESHOLD_PERCENT, need

PROPOSAL_STATES = tuple(ProposalState)


# --- what the templates show -------------------------------------------------------------------------------


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
