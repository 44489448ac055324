"""The parts that reports of a lap and of a period share: forecasters, times, cost, trust, config.

Stands over the annals, beside the stories. Each returns a section whose figures name their entries. It never
leaves a part out because it is empty: it says that there was nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from services.domain.ledger_schema import Entry, EntryType
from services.domain.report_acts import actor_of, value_of
from services.domain.report_annals import Annals, Story
from services.domain.report_formulas import config_of, figure
from services.domain.report_model import (
    Block,
    Cell,
    Chart,
    Figure,
    Joined,
    LedgerRecord,
    Listed,
    MarkDrawn,
    Section,
    Table,
    Unit,
    entries_of,
)
from services.domain.report_stories import INTERVAL
from services.domain.states import Leg

MARKS_DRAWN: Final = 400
DETECTED: Final = (EntryType.ANOMALY,)
LANES: Final = {
    EntryType.ANOMALY: "seen",
    EntryType.RECOVERED: "seen",
    EntryType.PROPOSAL: "proposed",
    EntryType.WITHDRAWN: "proposed",
    EntryType.EXPIRED: "proposed",
    EntryType.TALLY: "voted",
    EntryType.REVIEW_DECIDED: "voted",
    EntryType.EXPERIMENT_STARTED: "tested",
    EntryType.VERDICT: "tested",
    EntryType.PROMOTED: "in force",
    EntryType.CONFIRMED: "in force",
    EntryType.ROLLED_BACK: "in force",
    EntryType.REFUSED: "refused",
    EntryType.OVERRIDE: "people",
    EntryType.FROZEN: "people",
    EntryType.UNFROZEN: "people",
    EntryType.SHIFT_ACCEPTED: "people",
}
MARK_WORDS: Final = {
    EntryType.ANOMALY: "anomaly seen",
    EntryType.RECOVERED: "metric recovered",
    EntryType.PROPOSAL: "proposal filed",
    EntryType.TALLY: "vote ended",
    EntryType.EXPERIMENT_STARTED: "experiment started",
    EntryType.VERDICT: "verdict",
    EntryType.PROMOTED: "put into production",
    EntryType.CONFIRMED: "confirmed",
    EntryType.ROLLED_BACK: "rolled back",
    EntryType.REFUSED: "refused",
    EntryType.OVERRIDE: "a person acted",
    EntryType.REVIEW_DECIDED: "review decided",
    EntryType.FROZEN: "promotion frozen",
    EntryType.UNFROZEN: "freeze lifted",
    EntryType.SHIFT_ACCEPTED: "shift accepted",
}


def timeline(entries: Sequence[Entry], key: str, title: str) -> Chart | None:
    """Return when what happened, None where nothing of the loop did."""
    marks = [entry for entry in entries if entry.type in LANES]
    if not marks:
        return None
    kept = marks[:MARKS_DRAWN]
    drawn = tuple(MarkDrawn(entry.at_us, LANES[entry.type], _mark(entry), entry.index) for entry in kept)
    rows = tuple(
        (figure("mark_at", "when", "at", [entry], Unit.INSTANT), LANES[entry.type], _mark(entry))
        for entry in kept
    )
    table = Table(f"{key}_table", title, ("when", "what", "event"), rows)
    cut = f" The first {MARKS_DRAWN} of {len(marks)} are drawn." if len(marks) > MARKS_DRAWN else ""
    says = f"Each mark is one entry of the ledger, from left to right in time.{cut}"
    return Chart(key, title, says, drawn, table, tuple(entry.index for entry in kept))


def _mark(entry: Entry) -> str:
    words = MARK_WORDS.get(entry.type, entry.type.replace("_", " ").lower())
    if entry.type is EntryType.VERDICT:
        return f"{words} of the {leg_of(entry)}: {entry.payload['verdict']}"
    for name in ("outcome", "decision"):
        if name in entry.payload:
            return f"{words}: {entry.payload[name]}"
    return words


def forecasters(annals: Annals, stories: Iterable[Story]) -> Section:
    """Return how well those who voted have forecast so far, over everything that was settled."""
    voters = sorted({entry.payload["voter"] for story in stories for entry in story.every(EntryType.BALLOT)})
    rows = tuple(_forecaster(annals, voter) for voter in voters)
    table = Table(
        "forecasters",
        "Forecasters",
        ("voter", "votes cast", "forecasts settled", "mean score"),
        rows,
        none="Nobody voted.",
        explains=(
            "Over every experiment that had ended by then, not only those of this report. 0 is perfect; "
            "0.25 is what saying 50 % every time gets; above that, the forecasts mislead."
        ),
    )
    return Section("forecasters", "How well the voters forecast", (table,))


def _forecaster(annals: Annals, voter: str) -> tuple[Cell, ...]:
    ballots = annals.ballots[voter]
    told = [entry for entry in ballots if entry.payload["forecast_percent"] is not None]
    trials = [annals.stories[number].trial for number in {e.payload["proposal_id"] for e in told}]
    return (
        figure("voter", "voter", "field:voter", ballots[:1], Unit.TEXT),
        figure("voter_ballots", "votes cast", "count", ballots, Unit.VOTES),
        figure("voter_forecasts", "forecasts settled", "forecasts", [*told, *trials], Unit.COUNT),
        figure("voter_score", "mean score", "brier", [*told, *trials], Unit.SCORE),
    )


def times(entries: Sequence[Entry], *, is_one: bool) -> Section:
    """Return how long it took to detect, propose, promote and recover."""
    of = {kind: [entry for entry in entries if entry.type is kind] for kind in EntryType}
    dated = [entry for entry in of[EntryType.ANOMALY] if entry.payload.get("began_at_us") is not None]
    undated = len(of[EntryType.ANOMALY]) - len(dated)
    formula, what = ("elapsed", "") if is_one else ("median_elapsed", "median ")

    def span(name: str, label: str, start: EntryType, end: EntryType) -> Figure:
        used = of_span(entries, start, end, is_one=is_one)
        return figure(name, f"{what}time {label}", f"{formula}:{start}>{end}", used, Unit.MICROSECONDS)

    missing = f"{undated} of {len(of[EntryType.ANOMALY])} say not since when" if undated else ""
    found = (
        figure("time_to_detect", f"{what}time to detect", "detect", dated, Unit.MICROSECONDS, missing),
        span("time_to_propose", "to propose (from detection)", EntryType.ANOMALY, EntryType.PROPOSAL),
        span("time_to_decide", "to decide (from filing)", EntryType.PROPOSAL, EntryType.TALLY),
        span("time_to_test", "to test (to the verdict)", EntryType.EXPERIMENT_STARTED, EntryType.VERDICT),
        span("time_to_promote", "to promote (from detection)", EntryType.ANOMALY, EntryType.PROMOTED),
        span("time_to_recover", "to recover (from detection)", EntryType.ANOMALY, EntryType.RECOVERED),
    )
    says = "Detection counts from when the metric left its band, as far as the ledger says when that was."
    if not is_one:
        says += " Medians are over the turns of the loop in which both instants lie in this period."
    return Section("times", "How long it took", (says, found))


def of_span(entries: Iterable[Entry], start: EntryType, end: EntryType, *, is_one: bool) -> list[Entry]:
    """Return the entries that times are taken between: the first of a type, the first of another after it.

    One pair, or (without `is_one`) one of each lap; a single report that has no end yet gets its start alone.
    """
    begun: dict[int | None, Entry] = {}
    ended: dict[int | None, Entry] = {}
    for entry in entries:
        key = None if is_one else entry.lap
        if entry.type is start and (is_one or key is not None):
            begun.setdefault(key, entry)
        elif entry.type is end and key in begun:
            ended.setdefault(key, entry)
    if is_one:
        return [*begun.values(), *ended.values()]
    return [one for key, entry in ended.items() for one in (begun[key], entry)]


def cost(entries: Sequence[Entry]) -> Section:
    """Return what closed laps cost."""
    closed = [entry for entry in entries if entry.type is EntryType.LAP_CLOSED]
    found = (
        figure("laps_closed", "turns of the loop closed", "count", closed, Unit.COUNT),
        figure("spent", "spent on them", "total:spent_microcredits", closed, Unit.MICROCREDITS),
    )
    says = "What was paid for investigating and for the tasks of experiments is counted when a turn closes."
    return Section("cost", "What it cost", (says, found))


def trust(annals: Annals) -> Section:
    """Return how often placebos won: whether the instrument itself can be believed."""
    ends = annals.of(EntryType.PLACEBO_VERDICT)
    freezes = annals.of(EntryType.FROZEN)
    found = (
        figure("placebos", "placebos ended", "placebo:ended", ends, Unit.COUNT),
        figure("placebo_wins", "of these won", "placebo:wins", ends, Unit.COUNT),
        Joined(
            "share that won (95 % interval)",
            INTERVAL,
            (
                figure("placebo_rate", "share that won", "placebo:rate", ends, Unit.SHARE),
                figure("placebo_lower", "at least (95 %)", "placebo:lower", ends, Unit.SHARE),
                figure("placebo_upper", "at most (95 %)", "placebo:upper", ends, Unit.SHARE),
            ),
        ),
        figure("freezes", "freezes of promotion", "count", freezes, Unit.COUNT),
    )
    says = (
        "A placebo is an experiment on nothing: both groups get the same value, so it should almost never "
        "win (5 % at most). If placebos win too often, promotion is frozen until a person has looked. "
        "Counted from the ledger's beginning to this report's end."
    )
    blocks: tuple[Block, ...] = (says, found if ends else "No placebo has ended yet.")
    return Section("trust", "Whether the test itself can be believed", blocks)


def config(annals: Annals, first: int, end: int) -> Section:
    """Return the config before entry `first` and before entry `end`, what differs, and who changed it."""
    earlier, later = annals.config_entries(max(first, 1)), annals.config_entries(end)
    before, now = config_of(earlier), config_of(later)
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    rows = tuple(_changed(name, earlier, later) for name in changed)
    found = (
        figure("config_size", "settings in force", "config_size", later, Unit.COUNT),
        figure("config_hash_before", "fingerprint before", "config_hash", earlier, Unit.HASH),
        figure("config_hash_after", "fingerprint after", "config_hash", later, Unit.HASH),
    )
    columns = ("setting", "before", "after", "changed by")
    table = Table("config", "Settings that differ", columns, rows, none="No setting differs.")
    says = (
        "The config is what the ledger adds up to: its starting values, and every change in order, whoever "
        "made it."
    )
    return Section("config", "The settings before and after", (says, found, table))


def _changed(name: str, earlier: Sequence[Entry], later: Sequence[Entry]) -> tuple[Cell, ...]:
    def of_it(entries: Sequence[Entry]) -> list[Entry]:
        return [e for e in entries if e.type is EntryType.GENESIS or e.payload.get("parameter") == name]

    new = of_it(later)[len(of_it(earlier)) :]
    return (
        name,
        value_of("config_before", "before", f"config:{name}", of_it(earlier), name),
        value_of("config_after", "after", f"config:{name}", of_it(later), name),
        "; ".join(f"{actor_of(entry)}{_turn(entry)}, entry {entry.index}" for entry in new),
    )


def _turn(entry: Entry) -> str:
    return f" of lap {entry.lap}" if entry.lap is not None and not entry.is_by_person else ""


def appendix(record: LedgerRecord, blocks: Iterable[Block]) -> tuple[Listed, ...]:
    """Return every entry that the blocks rest on, in order."""
    used = sorted(set(entries_of(tuple(blocks))))
    return tuple(
        Listed(i, record.entries[i].type, record.entries[i].at_us, record.leaf_hashes[i]) for i in used
    )


def leg_of(entry: Entry) -> str:
    """Return the leg that a verdict is of; what names none belongs to the trial."""
    return str(entry.payload.get("leg", Leg.TRIAL))
