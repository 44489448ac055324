"""Failures that say the same: their words without what changes from one to the next, and how alike they are.

Stands under the nightly consolidation. The words come from agents: they are data, bounded before they are
looked at, compared as sets and never interpreted, and what founded a signature keeps its words. It knows
no reason and no agent by name.
"""

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

TEXT_READ: Final = 2_000
"""Characters of one text that are looked at."""
WORDS_KEPT: Final = 24
WORD_LENGTH: Final = 24
ALIKE: Final = 0.6
"""Two texts are one signature when they share this part of all their words (Jaccard's index)."""
SIGNATURES_PER_CAUSE: Final = 40
"""Signatures of one type and end reason that are told apart; further ones count as the one without words."""
TEXTS_PER_AGENT: Final = 20
"""New texts of one agent, type and reason in one run: who writes more cannot crowd out the others."""
EXAMPLES_KEPT: Final = 10
AGENTS_KEPT: Final = 20

SAID = re.compile(r'"(?:reason|done)"\s*:\s*"((?:[^"\\]|\\.)*)', re.DOTALL)
QUOTED = re.compile(r"\"[^\"]{0,200}\"|'[^']{0,200}'|`[^`]{0,200}`|“[^”]{0,200}”|«[^»]{0,200}»")
WORD = re.compile(r"\w+")
HEXADECIMAL = re.compile(r"[0-9a-f]{8,}")


class Cause(NamedTuple):
    """What signatures are told apart by before their words are."""

    task_type: str
    end_reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt and what was said about it."""

    cause: Cause
    agent_id: int | None
    task_id: int
    text: str
    at_us: int


@dataclass(slots=True)
class Cluster:
    """Failures of one signature: its founding words, how many, whose, and which."""

    cause: Cause
    words: str
    count: int = 0
    agents: Counter[int] = field(default_factory=Counter)
    task_ids: list[int] = field(default_factory=list)
    first_us: int = 2**63 - 1
    last_us: int = 0

    def add(self, failure: Failure) -> None:
        """Count one failure."""
        self.count += 1
        if failure.agent_id is not None:
            self.agents[failure.agent_id] += 1
        self.task_ids.append(failure.task_id)
        self.first_us = min(self.first_us, failure.at_us)
        self.last_us = max(self.last_us, failure.at_us)


def said_in(beginning: str) -> str | None:
    """Return the reason, or what was done, from the beginning of a JSON text that may be cut anywhere."""
    found = SAID.search(beginning)
    if found is None:
        return None
    try:
        return str(json.loads(f'"{found[1]}"', strict=False))
    except ValueError:
        return found[1].replace("\\", " ")


def plain_words(text: str) -> str:
    """Return a text's first words without numbers, ids, hexadecimal digits, quotations, marks and markup.

    Compatibility forms are unified (NFKC) and case is folded, so that a text in wide letters is the same.
    """
    read = unicodedata.normalize("NFKC", text[:TEXT_READ]).casefold()[:TEXT_READ]
    read = QUOTED.sub(" ", read)
    read = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in read)
    found = []
    for word in WORD.findall(read):
        is_id = any(character.isdigit() for character in word) or HEXADECIMAL.fullmatch(word)
        if not is_id and word.strip("_"):
            found.append(word.strip("_")[:WORD_LENGTH])
        if len(found) == WORDS_KEPT:
            break
    return " ".join(found)


def likeness(first: frozenset[str], second: frozenset[str]) -> float:
    """Return the share of all words that both have: 1 for equal sets, also for two without words."""
    union = len(first | second)
    return len(first & second) / union if union else 1.0


def clustered(failures: Iterable[Failure], known: Mapping[Cause, Sequence[str]]) -> list[Cluster]:
    """Return the failures by signature: each goes to the known words it is most like, else it founds its own.

    `known` are the words of the signatures there are, oldest first. New texts come in order of how often they
    were said, then by their letters, so that the answer does not depend on who failed first. Beyond what one
    agent or one cause may found, failures are counted under no words.
    """
    by_words: dict[tuple[Cause, str], list[Failure]] = defaultdict(list)
    plain: dict[str, str] = {}
    for failure in failures:
        words = plain.get(failure.text)
        if words is None:
            words = plain[failure.text] = plain_words(failure.text)
        by_words[failure.cause, words].append(failure)
    leaders = {cause: [(words, frozenset(words.split())) for words in known[cause]] for cause in known}
    founded: Counter[tuple[Cause, int | None]] = Counter()
    found: dict[tuple[Cause, str], Cluster] = {}
    for cause, words in sorted(by_words, key=lambda key: (-len(by_words[key]), key)):
        mine = leaders.setdefault(cause, [])
        members = by_words[cause, words]
        leader = _nearest(words, mine)
        if leader is None:
            founder = (cause, members[0].agent_id)
            is_full = len(mine) >= SIGNATURES_PER_CAUSE or founded[founder] >= TEXTS_PER_AGENT
            leader = "" if is_full else words
            if not is_full:
                mine.append((words, frozenset(words.split())))
                founded[founder] += 1
        cluster = found.setdefault((cause, leader), Cluster(cause, leader))
        for failure in members:
            cluster.add(failure)
    return [found[key] for key in sorted(found)]


def _nearest(words: str, leaders: Sequence[tuple[str, frozenset[str]]]) -> str | None:
    mine = frozenset(words.split())
    best, best_likeness = None, 0.0
    for leader, theirs in leaders:
        alike = likeness(mine, theirs)
        if alike >= ALIKE and alike > best_likeness:
            best, best_likeness = leader, alike
    return best


def newest(ids: Iterable[int], limit: int = EXAMPLES_KEPT) -> list[int]:
    """Return the newest distinct ids, newest first."""
    return sorted(set(ids), reverse=True)[:limit]


def most_concerned(agents: Mapping[str, int], limit: int = AGENTS_KEPT) -> dict[str, int]:
    """Return the agents with the most failures, as counts by id."""
    ranked = sorted(agents, key=lambda agent: (-agents[agent], agent))
    return {agent: agents[agent] for agent in ranked[:limit]}
