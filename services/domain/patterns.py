"""What a day of ended tasks teaches: counts per agent and per setting, kept by day so that old days fade.

Stands under the nightly consolidation. A pattern's facts hold one entry per UTC day, so that days fall away
whole and nothing decays in place; what a pattern says today is a fold of its days. Text from agents is never
looked at here (`signatures` does), and nothing is decided: `candidates` ranks, diagnosticians judge.
"""

import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from services.domain.clock import DAY_US, SECOND_US
from services.domain.states import EndReason

Entry = dict[str, Any]
"""One day of one pattern, as JSON: tasks, failures, reasons, ended (with a duration), duration_us, histogram
(bucket of the duration → tasks that ended by themselves), first_us, last_us, and for agents `values`
(fingerprint of the values in force → [successes, failures])."""

KEPT_DAYS: Final = 28
"""A day is forgotten by a pattern whose newest day is this much younger."""
HALF_LIFE_DAYS: Final = 7.0
"""Where days are weighed, one counts half as much as one that is a week younger."""
BUCKETS_PER_OCTAVE: Final = 8
SETS_KEPT: Final = 16
"""Sets of values in force that one agent's pattern tells apart; the rarest beyond are counted as others."""
OTHERS: Final = "others"
KEY_LENGTH: Final = 160
NUMBER: Final = re.compile(r"-?\d{1,30}(\.\d{1,30})?", re.ASCII)
TEXTS_CACHED: Final = 4_096
SETTINGS_READ: Final = 64
"""Values in force of one task that are looked at."""


class PatternKind(StrEnum):
    """What a pattern is about."""

    AGENT = "agent"
    """How one agent did at one type of task, and under which values in force."""
    SETTING = "setting"
    """How tasks of a type went under one value of one parameter."""
    SIGNATURE = "signature"
    """Failures of a type that say the same, whoever failed."""
    STALE = "stale"
    """A series without new evidence, or a promoted value whose evidence has aged."""
    CANDIDATE = "candidate"
    """A setting that is worth an investigation, with what speaks for it and what was tried."""


@dataclass(frozen=True, slots=True)
class Ended:
    """One ended task, or one attempt that ended before its task did.

    `values_text` is the JSON text of the values in force; `is_task` is False for an earlier attempt, which
    counts for its agent only.
    """

    task_type: str
    agent_id: int | None
    is_success: bool
    reason: str
    duration_us: int | None
    values_text: str | None
    at_us: int
    is_task: bool = True


@dataclass(slots=True)
class _Sum:
    count: int = 0
    ended: int = 0
    duration_us: int = 0
    histogram: Counter[int] = field(default_factory=Counter)
    first_us: int = 2**63 - 1
    last_us: int = 0

    def take(self, other: "_Sum") -> None:
        self.count += other.count
        self.ended += other.ended
        self.duration_us += other.duration_us
        self.histogram.update(other.histogram)
        self.first_us = min(self.first_us, other.first_us)
        self.last_us = max(self.last_us, other.last_us)


@dataclass(slots=True)
class DayFold:
    """Sums ended tasks by what tells them apart; memory grows with the groups, not with the tasks."""

    sums: dict[tuple[str, int | None, bool, str, str | None, bool], _Sum] = field(default_factory=dict)

    def add(self, one: Ended) -> None:
        """Count one."""
        key = (one.task_type, one.agent_id, one.is_success, one.reason, one.values_text, one.is_task)
        found = self.sums.get(key)
        if found is None:
            found = self.sums[key] = _Sum()
        found.count += 1
        found.first_us = min(found.first_us, one.at_us)
        found.last_us = max(found.last_us, one.at_us)
        if one.duration_us is not None and (one.is_success or one.reason == EndReason.VERIFICATION_FAILED):
            found.ended += 1
            found.duration_us += one.duration_us
            found.histogram[bucket_of(one.duration_us)] += 1

    def agents(self) -> tuple[dict[tuple[str, int], Entry], dict[str, dict[str, list[str]]]]:
        """Return an entry per (type, agent), and what each fingerprint of values in force stands for."""
        found: dict[tuple[str, int], Entry] = defaultdict(empty_entry)
        meaning: dict[str, dict[str, list[str]]] = {}
        marks: dict[str | None, str] = {}
        for (task_type, agent_id, is_success, reason, text, _), one in self.sums.items():
            if agent_id is None:
                continue
            values = values_in_force(text)
            mark = marks.get(text)
            if mark is None:
                mark = marks[text] = fingerprint(values)
            meaning[mark] = dict(values)
            entry = found[task_type, agent_id]
            _count(entry, one, reason, is_success=is_success)
            pair = entry.setdefault("values", {}).setdefault(mark, [0, 0])
            pair[0 if is_success else 1] += one.count
        return found, meaning

    def settings(self) -> dict[tuple[str, str, str], tuple[Entry, list[str]]]:
        """Return per (type, parameter, value) its entry, and the newest version and source of the value."""
        entries: dict[tuple[str, str, str], Entry] = defaultdict(empty_entry)
        origins: dict[tuple[str, str, str], list[str]] = {}
        for (task_type, is_success, reason, text), one in self._of_all_agents().items():
            for parameter, (value, version, source) in values_in_force(text).items():
                key = (task_type, parameter, value)
                _count(entries[key], one, reason, is_success=is_success)
                origins[key] = [version, source]
        return {key: (entry, origins[key]) for key, entry in entries.items()}

    def _of_all_agents(self) -> dict[tuple[str, bool, str, str | None], _Sum]:
        """Return the sums of tasks whoever did them: far fewer, to be counted once per parameter."""
        found: dict[tuple[str, bool, str, str | None], _Sum] = defaultdict(_Sum)
        for (task_type, _, is_success, reason, text, is_task), one in self.sums.items():
            if is_task:
                found[task_type, is_success, reason, text].take(one)
        return found


def empty_entry() -> Entry:
    """Return the entry of a day on which nothing has happened yet."""
    return {
        "tasks": 0, "failures": 0, "reasons": {}, "ended": 0, "duration_us": 0, "histogram": {},
        "first_us": None, "last_us": None,
    }  # fmt: skip


def _count(entry: Entry, one: _Sum, reason: str, *, is_success: bool) -> None:
    entry["tasks"] += one.count
    if not is_success:
        entry["failures"] += one.count
        entry["reasons"][reason] = entry["reasons"].get(reason, 0) + one.count
    entry["ended"] += one.ended
    entry["duration_us"] += one.duration_us
    for bucket, count in one.histogram.items():
        entry["histogram"][str(bucket)] = entry["histogram"].get(str(bucket), 0) + count
    entry["first_us"] = one.first_us if entry["first_us"] is None else min(entry["first_us"], one.first_us)
    entry["last_us"] = max(entry["last_us"] or 0, one.last_us)


def merged(first: Entry, second: Entry) -> Entry:
    """Return two parts of one day as one: counts add up, nested ones too."""
    both: Entry = dict(first)
    for name, item in second.items():
        mine = both.get(name)
        if mine is None:
            both[name] = item
        elif name == "first_us":
            both[name] = min(mine, item) if item is not None else mine
        elif name == "last_us":
            both[name] = max(mine, item) if item is not None else mine
        else:
            both[name] = _added(mine, item)
    return both


def _added(first: Any, second: Any) -> Any:
    if isinstance(first, dict):
        return {
            name: _added(first[name], second[name])
            if name in first and name in second
            else first.get(name, second.get(name))
            for name in [*first, *(name for name in second if name not in first)]
        }
    if isinstance(first, list):
        return [_added(mine, theirs) for mine, theirs in zip(first, second, strict=True)]
    return first + second


def with_part(days: Mapping[str, Entry], day: int, entry: Entry) -> dict[str, Entry]:
    """Return a pattern's days (number of the day → entry) with one more part of a day, old days dropped."""
    kept = dict(days)
    name = str(day)
    kept[name] = merged(kept[name], entry) if name in kept else entry
    newest = max(map(int, kept))
    return {name: kept[name] for name in sorted(kept, key=int) if int(name) > newest - KEPT_DAYS}


def folded(days: Mapping[str, Entry]) -> Entry:
    """Return all days of a pattern as one entry."""
    total = empty_entry()
    for entry in days.values():
        total = merged(total, entry)
    return total


def weighed(days: Mapping[str, Entry], today: int) -> Entry:
    """Return all days as one entry in which a day's counts are halved for each week of its age."""
    total = empty_entry()
    for day, entry in days.items():
        weight = 2.0 ** (-max(0, today - int(day)) / HALF_LIFE_DAYS)
        counts = {name: entry[name] for name in entry if name not in ("first_us", "last_us", "values")}
        total = merged(total, _scaled(counts, weight))
    return total


def _scaled(item: Any, weight: float) -> Any:
    if isinstance(item, dict):
        return {name: _scaled(inner, weight) for name, inner in item.items()}
    return item * weight


def bounded_sets(
    days: Mapping[str, Entry], meaning: Mapping[str, dict[str, list[str]]]
) -> tuple[dict[str, Entry], dict[str, dict[str, list[str]]]]:
    """Return an agent's days and the meaning of their sets of values, with at most 16 sets told apart."""
    seen: Counter[str] = Counter()
    for entry in days.values():
        for mark, pair in entry.get("values", {}).items():
            seen[mark] += sum(pair)
    ranked = sorted(seen, key=lambda mark: (-seen[mark], mark))
    kept = {mark for mark in ranked if mark != OTHERS and mark in meaning}
    kept = set([mark for mark in ranked if mark in kept][:SETS_KEPT])
    shown = {day: {**entry, "values": _within(entry.get("values", {}), kept)} for day, entry in days.items()}
    return shown, {mark: meaning[mark] for mark in sorted(kept)}


def _within(values: Mapping[str, list[int]], kept: set[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for mark, (successes, failures) in values.items():
        name = mark if mark in kept else OTHERS
        before = found.get(name, [0, 0])
        found[name] = [before[0] + successes, before[1] + failures]
    return found


@lru_cache(maxsize=TEXTS_CACHED)
def values_in_force(text: str | None) -> Mapping[str, list[str]]:
    """Return [value, version, source] by parameter from the JSON text stored with a task; empty if none.

    The answer is shared: nobody writes into it.
    """
    if text is None:
        return {}
    raw = json.loads(text)
    if not isinstance(raw, dict):
        return {}
    found = {}
    for name, item in list(raw.items())[:SETTINGS_READ]:
        if isinstance(item, dict) and NUMBER.fullmatch(str(item.get("value"))):
            found[str(name)] = [str(item["value"]), str(item.get("version")), str(item.get("source"))]
    return found


def fingerprint(values: Mapping[str, list[str]]) -> str:
    """Return what names a set of values in force (with versions and sources)."""
    return short_hash(json.dumps(values, sort_keys=True))[:12]


def short_hash(text: str) -> str:
    """Return 32 hexadecimal digits that name a text."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def key_of(*parts: object) -> str:
    """Return the key of a pattern within its kind: its parts, or their hash where they are too long."""
    text = ":".join(str(part) for part in parts)
    return text if len(text) <= KEY_LENGTH else f"{text[: KEY_LENGTH - 33]}:{short_hash(text)}"


def bucket_of(duration_us: int) -> int:
    """Return the bucket of a duration: floor(8·log2(µs)), eight to an octave."""
    return math.floor(BUCKETS_PER_OCTAVE * math.log2(max(1, duration_us)))


def seconds_of_bucket(bucket: int) -> float:
    """Return the geometric middle of a bucket in seconds."""
    return float(2.0 ** ((bucket + 0.5) / BUCKETS_PER_OCTAVE)) / SECOND_US


def day_of(at_us: int) -> int:
    """Return the number of the UTC day of an instant, counted from the epoch."""
    return at_us // DAY_US


def weight_now(tasks: int, last_seen_us: int, now_us: int) -> float:
    """Return what a pattern weighs where there are too many: its tasks, halved per week of silence."""
    return tasks * float(2.0 ** (-max(0, now_us - last_seen_us) / (HALF_LIFE_DAYS * DAY_US)))


def faded(found: Iterable[Mapping[str, Any]], limit: int, now_us: int) -> list[int]:
    """Return the ids of patterns (id, tasks, last_seen_us) to forget: the silent, and the lightest beyond
    the limit.
    """
    alive: list[Mapping[str, Any]] = []
    gone: list[Mapping[str, Any]] = []
    for row in found:
        is_silent = now_us - row["last_seen_us"] > KEPT_DAYS * DAY_US
        (gone if is_silent else alive).append(row)
    alive.sort(key=lambda row: (-weight_now(row["tasks"], row["last_seen_us"], now_us), row["id"]))
    return [row["id"] for row in (*gone, *alive[limit:])]
