"""The ledger ordered by what its entries are about: laps, proposals, experiments, and the words they name.

Stands between the entries and the sections of a report. It finds entries; figures are computed elsewhere. A
text is only shown when its bytes hash to the name that the entry gives; else it counts as erased.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.domain.ledger_history import EMPTY_BLOB_SHA256
from services.domain.ledger_schema import OPERATOR, Entry, EntryType
from services.domain.report_formulas import CONFIG_TYPES
from services.domain.report_model import LedgerRecord, Said
from services.domain.states import Leg

TEXT_LETTERS: Final = 1_200
"""Of an agent's text that a report shows."""


@dataclass(slots=True)
class Story:
    """Everything the ledger says of one proposal, in order, with the anomaly and the end of its lap."""

    number: int
    entries: list[Entry] = field(default_factory=list)
    of_lap: list[Entry] = field(default_factory=list)
    replaced: Entry | None = None
    """What first gave its parameter another value after all this, if anything has."""

    def first(self, *kinds: EntryType, leg: Leg | None = None) -> Entry | None:
        """Return the first entry of one of the types (of a leg: one that names none is of the trial)."""
        return next(iter(self.every(*kinds, leg=leg)), None)

    def every(self, *kinds: EntryType, leg: Leg | None = None) -> list[Entry]:
        """Return the entries of these types in order."""
        return [
            entry
            for entry in self.entries
            if entry.type in kinds and (leg is None or entry.payload.get("leg", Leg.TRIAL) == leg)
        ]

    def lap_first(self, kind: EntryType) -> Entry | None:
        """Return the first entry of a type in the proposal's lap."""
        return next((entry for entry in self.of_lap if entry.type is kind), None)

    @property
    def proposal(self) -> Entry:
        """Return the entry it was filed with."""
        return self.entries[0]

    @property
    def trial(self) -> Entry | None:
        """Return the verdict of its trial."""
        return self.first(EntryType.VERDICT, leg=Leg.TRIAL)

    @property
    def probation(self) -> Entry | None:
        """Return the verdict of its probation."""
        return self.first(EntryType.VERDICT, leg=Leg.PROBATION)

    @property
    def is_ranked(self) -> bool:
        """Whether its metric decides by rank (time, cost) and not by success."""
        return bool(self.proposal.payload["metric"] != "task_success")

    @property
    def end(self) -> Entry | None:
        """Return the entry that ended it, None while it goes on."""
        for kind in ENDS:
            found = self.every(kind)
            if found:
                return found[-1]
        tally = self.first(EntryType.TALLY)
        if tally is not None and tally.payload["outcome"] != "passed":
            return tally
        return None


ENDS: Final = (
    EntryType.ROLLED_BACK, EntryType.CONFIRMED, EntryType.REFUSED, EntryType.EXPIRED, EntryType.WITHDRAWN,
)  # fmt: skip


class Annals:
    """The entries of a ledger by what they are about."""

    def __init__(self, record: LedgerRecord) -> None:
        """Order the entries of `record` once."""
        self.record = record
        self.stories: dict[int, Story] = {}
        self.laps: dict[int, list[Entry]] = defaultdict(list)
        self.kinds: dict[EntryType, list[Entry]] = defaultdict(list)
        self.ballots: dict[str, list[Entry]] = defaultdict(list)
        self._proposal_of: dict[int, int] = {}
        self._proposal_of_promotion: dict[int, int] = {}
        for entry in record.entries:
            self._place(entry)
        for story in self.stories.values():
            lap = story.proposal.lap
            story.of_lap = self.laps[lap] if lap is not None else []
            story.replaced = self._replaced(story)

    def _place(self, entry: Entry) -> None:
        payload = entry.payload
        self.kinds[entry.type].append(entry)
        if entry.lap is not None:
            self.laps[entry.lap].append(entry)
        number = payload.get("proposal_id")
        if entry.type is EntryType.PROPOSAL:
            self.stories.setdefault(payload["proposal_id"], Story(payload["proposal_id"]))
        elif entry.type is EntryType.BALLOT:
            self.ballots[payload["voter"]].append(entry)
        elif entry.type is EntryType.EXPERIMENT_STARTED:
            self._proposal_of[payload["experiment_id"]] = payload["proposal_id"]
        elif entry.type is EntryType.PROMOTED:
            self._proposal_of_promotion[entry.index] = payload["proposal_id"]
        elif entry.type is EntryType.ROLLED_BACK:
            number = self._proposal_of_promotion.get(payload["promoted_index"])
        if number is None and payload.get("experiment_id") is not None:
            number = self._proposal_of.get(payload["experiment_id"])
        if number in self.stories:
            self.stories[number].entries.append(entry)

    def _replaced(self, story: Story) -> Entry | None:
        """Return the first change of a promoted parameter after the story's last entry that set it."""
        own = [entry.index for entry in story.every(EntryType.PROMOTED, EntryType.ROLLED_BACK)]
        if not own:
            return None
        name = story.proposal.payload["parameter"]
        later = self.of(EntryType.OVERRIDE, EntryType.PROMOTED, EntryType.ROLLED_BACK)
        found = (
            e for e in later if e.index > own[-1] and e.payload.get("parameter") == name and "to" in e.payload
        )
        return next(found, None)

    def config_entries(self, before: int) -> list[Entry]:
        """Return the entries with an index below `before` that the config follows from."""
        found = [entry for kind in CONFIG_TYPES for entry in self.kinds.get(kind, ())]
        changing = [
            entry
            for entry in found
            if entry.index < before and (entry.type is not EntryType.OVERRIDE or "to" in entry.payload)
        ]
        return sorted(changing, key=lambda entry: entry.index)

    def of(self, *kinds: EntryType) -> list[Entry]:
        """Return all entries of these types in order."""
        found = [entry for kind in kinds for entry in self.kinds.get(kind, ())]
        return sorted(found, key=lambda entry: entry.index)

    def about(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return the corrections and erasures that speak of entries, in order."""
        indexes: set[int] = set()
        digests: set[str] = set()
        for entry in entries:
            indexes.add(entry.index)
            digests |= {str(v) for name, v in entry.payload.items() if name.endswith("sha256")}
        corrections = self.kinds.get(EntryType.CORRECTION, ())
        erasures = self.kinds.get(EntryType.ERASED, ())
        found = [entry for entry in corrections if entry.payload["corrects"] in indexes]
        found += [entry for entry in erasures if entry.payload["sha256"] in digests]
        return sorted(found, key=lambda entry: entry.index)

    def said(self, entry: Entry, name: str, *, author: str = "", about: str = "") -> Said:
        """Return the words whose SHA-256 stands in a field of an entry; shown up to TEXT_LETTERS."""
        digest = entry.payload.get(name, EMPTY_BLOB_SHA256)
        content = b"" if digest == EMPTY_BLOB_SHA256 else self.blob(digest)
        who = author or entry.actor
        if content is None:
            return Said(who, None, (entry.index,), about)
        text = content.decode("utf-8", "replace")
        return Said(who, text[:TEXT_LETTERS], (entry.index,), about, is_cut=len(text) > TEXT_LETTERS)

    def blob(self, digest: str) -> bytes | None:
        """Return the bytes of a digest, None where they are erased or are not what their name says."""
        content = self.record.blobs.get(digest)
        if content is None or hashlib.sha256(content).hexdigest() != digest:
            return None
        return content

    def people(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return what people did among entries: every act of the operator, and reviews that were decided."""
        kinds = {EntryType.REVIEW_OPENED, EntryType.REVIEW_DECIDED, EntryType.CORRECTION, EntryType.ERASED}
        kinds |= {EntryType.OVERRIDE, EntryType.UNFROZEN, EntryType.SHIFT_ACCEPTED}
        return [entry for entry in entries if entry.type in kinds or entry.actor == OPERATOR]


def plain(payload: Mapping[str, object], name: str, otherwise: str = "") -> str:
    """Return a field as text."""
    value = payload.get(name)
    return otherwise if value is None else str(value)
