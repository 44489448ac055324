"""The report of one lap: from what was seen to what became of it, computed from the ledger alone.

Stands over the parts and stories of reports. It uses the ledger up to the lap's own last entry, so that it
stays the same, byte for byte, until something new is said of the lap.
"""

from services.domain import report_parts as parts
from services.domain import report_stories as stories
from services.domain.errors import NotFoundError
from services.domain.ledger_schema import Entry, EntryType
from services.domain.report_annals import Annals, Story
from services.domain.report_formulas import figure
from services.domain.report_model import Block, Figure, Joined, LedgerRecord, Report, Section, Unit


def lap_report(record: LedgerRecord, lap_id: int) -> Report:
    """Return the report of a lap; raise NotFoundError when the ledger has no entry of it."""
    mine = [entry for entry in record.entries if entry.lap == lap_id]
    if not mine:
        msg = f"the ledger has no entry of lap {lap_id}"
        raise NotFoundError(msg, field="lap_id")
    whole = Annals(record)
    remarks = whole.about(mine)
    end = max(entry.index for entry in (*mine, *remarks)) + 1
    used = record.first(end)
    annals = Annals(used)
    told = [story for story in annals.stories.values() if story.proposal.lap == lap_id]
    sections = _sections(annals, mine, told, end)
    headline = _headline(mine, told)
    blocks = [headline, *(block for section in sections for block in section.blocks)]
    return Report(
        kind="lap",
        subject=str(lap_id),
        title=f"Lap {lap_id}: one turn of the loop",
        lead=lead_of(mine, told),
        from_us=mine[0].at_us,
        to_us=max(mine[-1].at_us, *(entry.at_us for entry in (*remarks, mine[-1]))),
        headline=headline,
        sections=sections,
        appendix=parts.appendix(annals, blocks),
        origin=used.origin,
        size=end,
        root=used.root,
    )


def lead_of(mine: list[Entry], told: list[Story]) -> str:
    """Return the lap in a few sentences."""
    seen = next((entry for entry in mine if entry.type is EntryType.ANOMALY), None)
    said = []
    if seen is not None:
        where = f"{seen.payload['dimension'].replace('_', ' ')} {seen.payload['key']}"
        said.append(f"The platform saw {seen.payload['metric'].replace('_', ' ')} out of its band ({where}).")
    if not told:
        said.append("No change was proposed.")
    for story in told:
        terms = story.proposal.payload
        change = f"{terms['parameter']} from {terms['from']} to {terms['to']}"
        said.append(f"{terms['proposer']} proposed to change {change}.")
        said.append(stories.how_it_stands(story))
    closed = [entry for entry in mine if entry.type is EntryType.LAP_CLOSED]
    if closed:
        said.append(f"The turn is closed: {closed[-1].payload['outcome'].replace('_', ' ')}.")
    return " ".join(said)


def _headline(mine: list[Entry], told: list[Story]) -> tuple[Figure | Joined, ...]:
    of = {kind: [entry for entry in mine if entry.type is kind] for kind in EntryType}
    story = told[-1] if told else None
    figures: list[Figure | Joined] = []
    if story is not None:
        figures += [
            figure("parameter", "setting", "field:parameter", [story.proposal], Unit.TEXT),
            stories.values_of(story.proposal),
            stories.effect_of(story, story.trial),
            figure("evidence", "evidence E of the trial", "decimal:e", [story.trial], Unit.EVIDENCE),
        ]
    recovered = [*of[EntryType.ANOMALY], *of[EntryType.RECOVERED]]
    span = f"elapsed:{EntryType.ANOMALY}>{EntryType.RECOVERED}"
    figures.append(figure("recovered_in", "recovered after", span, recovered, Unit.MICROSECONDS))
    spent = of[EntryType.LAP_CLOSED]
    figures.append(figure("spent", "spent", "total:spent_microcredits", spent, Unit.MICROCREDITS))
    return tuple(figures)


def _sections(annals: Annals, mine: list[Entry], told: list[Story], end: int) -> tuple[Section, ...]:
    found: list[Section] = []
    drawn = parts.timeline(mine, "timeline", "When what happened")
    found.append(Section("timeline", "The course of it", (drawn,) if drawn is not None else ("Nothing.",)))
    if not told:
        seen = next((entry for entry in mine if entry.type is EntryType.ANOMALY), None)
        blocks: list[Block] = [stories.seen_figures(seen)] if seen is not None else []
        found.append(Section("seen", "What was seen", (*blocks, "No change was proposed in this turn.")))
    for story in told:
        terms = story.proposal.payload
        name = f"Proposal {story.number}: {terms['parameter']} {terms['from']} → {terms['to']}"
        found.append(Section(f"story_{story.number}", name, (stories.how_it_stands(story),)))
        found += [part(annals, story, 2) for part in stories.PARTS]
    if told:
        found.append(parts.forecasters(annals, told))
    found.append(parts.people(annals, mine))
    found.append(parts.times(mine, is_one=True))
    found.append(parts.cost(mine))
    found.append(parts.config(annals, mine[0].index, end))
    found.append(parts.trust(annals))
    return tuple(found)
