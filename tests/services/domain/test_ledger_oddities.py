"""The audit reports what it is given and never stumbles: any field of any payload, made odd."""

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from services.domain.canonical import canonical_bytes, parse_canonical
from services.domain.hash_chain import Frontier, leaf_hash
from services.domain.ledger_audit import audit_ledger
from tests.services.domain import test_ledger_votes as votes
from tests.services.domain.ledger_history import FIRST, HONEST, TEXTS, Ledger, root_after, sha

MOST_PLACES = 12  # of one entry
LATER_ENTRIES = 4  # that must be able to follow what was let through
ODDITIES_EACH = 12
ODD: list[Any] = [
    None, True, -1, 0, 2**53 - 1, "", "x", "nan", "inf", "-1e999", "1e99999999999", "0.5", [], {}, [[]],
    [{}], {"metric": 1}, [None], "\u0000", "5a" * 16, "0" * 64,
    "1e308", "-1e308", -(2**53 - 1), "9" * 400,
]  # fmt: skip


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a payload, containers included."""
    if path:
        yield path
    places = value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else [])
    for key, item in places:
        yield from paths(item, (*path, key))


def with_odd(
    ledger: Ledger, index: int, path: tuple[Any, ...], odd: Any, behind: int = LATER_ENTRIES
) -> list[bytes]:
    """The leaves with one place replaced (or left out, for ...) and every later hash made to fit."""
    frontier, leaves = Frontier(), list[bytes]()
    for number, leaf in enumerate(ledger.leaves[: index + 1 + behind]):
        entry: Any = copy.deepcopy(parse_canonical(leaf))
        if number == index:
            holder = entry["payload"]
            for key in path[:-1]:
                holder = holder[key]
            if odd is ...:
                del holder[path[-1]]
            else:
                holder[path[-1]] = odd
        entry["previous_root"] = frontier.root().hex()
        leaves.append(canonical_bytes(entry))
        frontier = frontier.append(leaf_hash(leaves[-1]))
    return leaves


@pytest.mark.parametrize("ledger", [HONEST, FIRST], ids=["second format", "first format"])
def test_any_odd_value_anywhere_is_reported(ledger):
    source = random.Random(11)
    reports = []
    for index, leaf in enumerate(ledger.leaves):
        entry: Any = parse_canonical(leaf)
        places = list(paths(entry["payload"]))
        for path in source.sample(places, min(MOST_PLACES, len(places))):
            leaves = with_odd(ledger, index, path, source.choice([..., *ODD]))
            frontier = Frontier()
            for item in leaves:
                frontier = frontier.append(leaf_hash(item))
            report = audit_ledger(leaves, ledger.blobs, claimed=(len(leaves), frontier.root()))
            assert report.ok or report.first_error_index >= index
            assert report.ok == (report.reason == "")
            reports.append(report.ok)
    assert 0.5 < reports.count(False) / len(reports) < 1.0


def test_no_odd_value_in_a_vote_or_a_setting_stops_the_audit():
    """Every place of every payload of a small ledger, a field more in each, and every setting, by turns."""
    source = random.Random(13)
    texts = [votes.SHOWN, votes.REASON, *TEXTS]
    ledger = votes.write(votes.steps())._replace(blobs={sha(text): text for text in texts})
    assert ledger.audit().ok
    found = 0
    for index, leaf in enumerate(ledger.leaves):
        entry: Any = parse_canonical(leaf)
        for path in [*paths(entry["payload"]), ("x_sha256",)]:
            for odd in source.sample(ODD, ODDITIES_EACH):
                leaves = with_odd(ledger, index, path, odd, behind=len(ledger.leaves))
                report = audit_ledger(leaves, ledger.blobs, claimed=(len(leaves), root_after(leaves)))
                assert report.ok == (report.reason == "")
                assert report.ok or report.first_error_index >= index
                found += 1
            if path == ("x_sha256",):
                for odd in ([], {}, -1, None, True, "ab"):
                    leaves = with_odd(ledger, index, path, odd)
                    report = audit_ledger(leaves, ledger.blobs, claimed=(len(leaves), root_after(leaves)))
                    assert (report.first_error_index, "x_sha256" in report.reason) == (index, True), report
    assert found > 2_000
    genesis: Any = parse_canonical(ledger.leaves[0])
    for setting in genesis["payload"]["config"]:
        for odd in ("1e308", "-1e308", "9" * 400, "1e-320"):
            leaves = with_odd(ledger, 0, ("config", setting), odd, behind=len(ledger.leaves))
            report = audit_ledger(leaves, ledger.blobs, claimed=(len(leaves), root_after(leaves)))
            assert report.ok == (report.reason == "")
