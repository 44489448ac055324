"""Who agreed to a change, as a section of reports: the vote, each ballot, who was silent, the review.

Stands over the annals, beside the stories. Every figure comes from a formula over the entries it names. It
never says how somebody should have voted.
"""

from services.domain.ledger_schema import Entry, EntryType
from services.domain.report_annals import Annals, Story
from services.domain.report_formulas import figure
from services.domain.report_model import Block, Cell, Figure, Joined, Section, Table, Unit
from services.domain.states import ElectorateMode, Leg


def votes(annals: Annals, story: Story, level: int) -> Section:
    """Return the vote: counts against what was needed, each ballot with reason, forecast and its score."""
    verdicts = story.every(EntryType.VERDICT, leg=Leg.TRIAL)
    ballots = story.every(EntryType.BALLOT)
    table = Table(
        f"ballots_{story.number}",
        "Ballots",
        ("voter", "vote", "chance it gave", "score of that", "reason, in its own words"),
        tuple(_ballot_row(annals, ballot, verdicts) for ballot in ballots),
        none="No ballot was cast.",
        explains=(
            "Each voter may say with what chance the experiment will win. The score is Brier's: 0 is a "
            "perfect forecast, 0.25 is what saying 50 % always gets, 1 is the worst."
        ),
    )
    blocks: list[Block] = [_counts(annals, story, ballots, verdicts)]
    late = story.first(EntryType.EXTENDED)
    if late is not None:
        closes = figure("extended_to", "extended until", "field:closes_at_us", [late], Unit.INSTANT)
        cause = figure("extended_for", "because a late ballot", "field:cause", [late], Unit.TEXT)
        blocks.append((closes, cause))
    blocks += [table, *review_blocks(annals, story)]
    return Section(f"votes_{story.number}", "Who agreed", tuple(blocks), level)


def _counts(
    annals: Annals, story: Story, ballots: list[Entry], verdicts: list[Entry]
) -> tuple[Figure | Joined, ...]:
    filed, counted = story.proposal, story.first(EntryType.TALLY)
    rules = [] if "rules" in filed.payload else annals.of(EntryType.GENESIS)
    silent = "did not vote" if counted is not None else "have not voted yet"
    return (
        figure("outcome", "outcome of the vote", "field:outcome", [counted], Unit.TEXT),
        figure("yes", "for", "field:yes", [counted], Unit.VOTES),
        figure("no", "against", "field:no", [counted], Unit.VOTES),
        figure("abstain", "abstained", "field:abstain", [counted], Unit.VOTES),
        figure("electorate", "who could vote", "list:electorate", [filed], Unit.VOTES),
        figure("electorate_mode", "a vote for each", "field:electorate_mode", [filed], Unit.TEXT),
        figure("need", "votes for that suffice at once", "need", [*rules, filed], Unit.VOTES),
        figure("silent", silent, "silent", [filed, *ballots], Unit.TEXT),
        figure("conflicts", "had no vote, for a conflict of interest", "conflicts", [filed], Unit.TEXT),
        figure("brier", "mean score of the forecasts", "brier", [*ballots, *verdicts], Unit.SCORE),
    )


def _ballot_row(annals: Annals, ballot: Entry, verdicts: list[Entry]) -> tuple[Cell, ...]:
    return (
        _voter(ballot),
        figure("choice", "vote", "field:choice", [ballot], Unit.TEXT),
        figure("forecast", "chance it gave", "field:forecast_percent", [ballot], Unit.PERCENT),
        figure("forecast_score", "score", "brier", [ballot, *verdicts], Unit.SCORE),
        annals.said(ballot, "reason_sha256", author=ballot.payload["voter"]),
    )


def _voter(ballot: Entry) -> Figure | Joined:
    """Return who voted; where owners vote, also by which of their agents."""
    voter = figure("voter", "voter", "field:voter", [ballot], Unit.TEXT)
    if ballot.payload.get("agent", voter.value) == voter.value:
        return voter
    return Joined(
        "voter", "{} by {}", (voter, figure("cast_by", "cast by", "field:agent", [ballot], Unit.TEXT))
    )


def proposer_of(filed: Entry) -> Figure | Joined:
    """Return who proposed a change; where owners vote, also whose agent that is."""
    proposer = figure("proposer", "proposed by", "field:proposer", [filed], Unit.TEXT)
    if filed.payload.get("electorate_mode") != ElectorateMode.OWNER or "proposer_unit" not in filed.payload:
        return proposer
    unit = figure("proposer_unit", "of", "field:proposer_unit", [filed], Unit.TEXT)
    return Joined("proposed by", "{} of {}", (proposer, unit))


def review_blocks(annals: Annals, story: Story) -> list[Block]:
    """Return what a person was shown and decided, where the change needed one."""
    opened, decided = story.first(EntryType.REVIEW_OPENED), story.first(EntryType.REVIEW_DECIDED)
    if opened is None:
        return []
    blocks: list[Block] = ["This change is gated: a person must approve exactly what was shown, or it ends."]
    blocks.append(
        (
            figure("review_decision", "the person's decision", "field:decision", [decided], Unit.TEXT),
            figure("reviewer", "decided by", "field:reviewer", [decided], Unit.TEXT),
            figure("review_at", "decided at", "at", [decided], Unit.INSTANT),
            figure("review_shown", "hash of what was shown", "field:shown_sha256", [opened], Unit.HASH),
        )
    )
    if decided is not None:
        author = decided.payload["reviewer"] or decided.actor
        blocks.append(annals.said(decided, "reason_sha256", author=author, about="Reason"))
    return blocks
