"""Certificates hold as they are; every changed field is found and named; levels follow from the stream."""

import copy
import json

import pytest

from app.bootstrap import open_platform
from app.settings import Settings
from services.domain.certificate import (
    CertificateError,
    claims_of,
    read_certificate,
    verify_certificate,
)
from services.domain.errors import ConflictError, NotFoundError
from services.evolution_ledger.certificates import certificate
from tests.app.sandbox_history import make_history

NAMES = (
    "confirmed", "rolled_back", "ranked", "taken_back_by_a_person", "futile", "aborted", "probation",
    "placebo",
)  # fmt: skip


@pytest.fixture(scope="module")
def platform_and_ids(sqlite_template, tmp_path_factory):
    made = make_history(sqlite_template, tmp_path_factory.mktemp("certificates"))
    platform = open_platform(Settings(made.url, var_directory=made.folder), is_migrated=True)
    yield platform, made.ids
    platform.close()


@pytest.fixture(scope="module")
def certificates(platform_and_ids):
    platform, ids = platform_and_ids
    with platform.store.read() as tx:
        return {name: certificate(tx, platform.signer, ids[name]) for name in NAMES}


def difference(content):
    return verify_certificate(read_certificate(json.loads(json.dumps(content)))).difference


def leaves(value, path=()):
    """Yield the path of every scalar in a JSON value."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from leaves(item, (*path, place))
    else:
        yield path


def changed(content, path):
    """Return a copy in which the scalar at `path` is another one of its kind."""
    made = copy.deepcopy(content)
    holder = made
    for step in path[:-1]:
        holder = holder[step]
    value = holder[path[-1]]
    if isinstance(value, bool):
        other = not value
    elif isinstance(value, int):
        other = value + 1
    elif isinstance(value, str):
        other = flipped(value)
    else:
        other = 1
    holder[path[-1]] = other
    return made


def flipped(text):
    """Return a text of the same length that differs in one place; a decimal stays one."""
    place = next((n for n, letter in enumerate(text) if letter in "0123456789"), 0)
    if not text:
        return "x"
    letter = text[place]
    other = str((int(letter) + 1) % 10) if letter.isdigit() else ("y" if letter != "y" else "z")
    return text[:place] + other + text[place + 1 :]


@pytest.mark.parametrize("name", NAMES)
def test_a_certificate_holds_as_it_is(certificates, name):
    assert difference(certificates[name]) is None


@pytest.mark.parametrize("name", ["confirmed", "ranked", "placebo", "rolled_back"])
def test_every_changed_field_is_found(certificates, name):
    content = certificates[name]
    unseen = []
    for path in leaves(content):
        if path[0] == "checkpoint" or (path[0] == "legs" and path not in sampled(content)):
            continue
        try:
            found = difference(changed(content, path))
        except CertificateError:
            continue
        if found is None:
            unseen.append(path)
    assert unseen == []


def sampled(content):
    """Return the paths of the legs that are tried: all but most of the records, of which there are many."""
    chosen = set()
    for number, leg in enumerate(content["legs"]):
        rows = leg["records"]["records"]
        for place in {0, 1, len(rows) // 2, len(rows) - 1}:
            chosen |= set(leaves(rows[place], ("legs", number, "records", "records", place)))
            chosen |= set(leaves(leg["claims"][place], ("legs", number, "claims", place)))
        chosen |= {("legs", number, "leg")}
        chosen |= {("legs", number, "records", name) for name in ("experiment_id", "leg")}
    return chosen


def put(content, path, value):
    """Return a copy with another value at `path`; a function is given the old one."""
    made = copy.deepcopy(content)
    holder = made
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value(holder[path[-1]]) if callable(value) else value
    return made


def entry_at(content, kind, leg="trial"):
    return next(
        place
        for place, entry in enumerate(content["entries"])
        if entry["type"] == kind and entry["payload"].get("leg", "trial") == leg
    )


RECORD = ("legs", 0, "records", "records", 17)
NAMED = [
    ((*RECORD, 2), lambda arm: 1 - arm, "trial: record 17 (unit "),
    ((*RECORD, 3), "0.3", "trial: record 17 has share 0.3 in the ramp"),
    (("legs", 1, "records", "records", 2, 3), "0.5", "probation: record 2 has share 0.5, not the plan's"),
    ((*RECORD, 4), lambda outcome: "0.0" if outcome == "1.0" else "1.0", "trial: record 17: log E is "),
    ((*RECORD, 4), "2.0", "trial: record 17 cannot be counted: outcome: "),
    ((*RECORD, 0), 18, "trial: record 17 cannot be counted: ordinal: 18 is out of assignment order"),
    ((*RECORD, 6), lambda at_us: at_us + 1, "trial: the records blob does not hash to records_sha256"),
    ((*RECORD, 4), 1, "trial: record 17 is not [ordinal, unit, arm, "),
    (("legs", 0, "claims", 17, "m"), "0.5", "trial: record 17: m is 0.5, the records give "),
    (("legs", 0, "claims", 17, "log_e"), "1.2031", "trial: record 17: log E is 1.2031, the records give "),
    (("legs", 0, "claims"), lambda claims: claims[:-1], "has no claim of m and log E"),
    (("legs", 0, "claims"), lambda claims: [*claims, claims[0]], "there are claims for "),
    (("legs", 1, "claims", 3, "log_e"), "0.0", "probation: record 3: log E is 0, the records give "),
    (("legs",), lambda legs: legs[:1], "the records of the probation are missing"),
    (("legs",), lambda legs: [*legs, legs[0]], "there are records of a trial that no verdict speaks of"),
    (("checkpoint", "note"), "nacre\n9\nxx\n", "the checkpoint is none: "),
    (("entries", 0, "proof"), lambda proof: proof[1:], " is not in the ledger of the checkpoint"),
    (("entries",), lambda entries: entries[1:], "there is no EXPERIMENT_STARTED entry"),
    (("entries",), lambda entries: entries[:1], "there is no VERDICT entry of the trial"),
    (("entries",), lambda entries: [*entries, entries[1]], "are both VERDICT"),
]


@pytest.mark.parametrize(("path", "value", "said"), NAMED, ids=range(len(NAMED)))
def test_the_first_difference_is_named(certificates, path, value, said):
    assert said in difference(put(certificates["confirmed"], path, value))


def test_what_is_shown_must_be_what_the_leaf_says(certificates):
    content = certificates["confirmed"]
    place = entry_at(content, "VERDICT", "probation")
    index = content["entries"][place]["index"]
    said = difference(put(content, ("entries", place, "payload", "e"), "9.9"))
    assert said.startswith(f"entry {index}: e is '9.9', its leaf says '")


def test_a_leaf_rewritten_with_what_it_shows_is_not_in_the_log(certificates):
    content = certificates["futile"]
    place = entry_at(content, "VERDICT")
    entry = copy.deepcopy(content["entries"][place])
    entry["leaf"] = entry["leaf"].replace('"verdict":"inconclusive"', '"verdict":"win"')
    entry["payload"]["verdict"] = "win"
    said = difference(put(content, ("entries", place), entry))
    assert said.startswith(f"entry {entry['index']} is not in the ledger of the checkpoint")


def test_records_of_another_experiment_are_refused(certificates):
    other = certificates["futile"]["legs"][0]
    assert difference(put(certificates["aborted"], ("legs", 0), other)).startswith("trial: record ")


def test_the_level_follows_from_the_confirmations_before_it(certificates):
    content = certificates["probation"]
    confirmed = [entry for entry in content["stream"] if entry["type"] == "CONFIRMED"]
    assert len(confirmed) == 2
    fewer = [entry for entry in content["stream"] if entry is not confirmed[0]]
    said = difference(put(content, ("stream",), fewer))
    assert said.startswith("the level of confirmation is ")
    assert "1 confirmations before it give" in said
    twice = difference(put(content, ("stream",), [*content["stream"], confirmed[1]]))
    assert twice == f"entry {confirmed[1]['index']} is twice in the stream"
    alone = difference(put(content, ("stream",), confirmed))
    assert "the starts around the confirmation" in alone
    later = certificates["confirmed"]
    after = put(later, ("stream",), [later["entries"][entry_at(later, "CONFIRMED")]])
    assert "came after the start" in difference(after)


def test_there_is_no_certificate_before_the_verdict(platform_and_ids):
    platform, ids = platform_and_ids
    with platform.store.read() as tx:
        with pytest.raises(ConflictError) as early:
            certificate(tx, platform.signer, ids["running"])
        with pytest.raises(NotFoundError):
            certificate(tx, platform.signer, 10**6)
    assert (early.value.code, early.value.arguments["state"]) == ("verdict_missing", "running")


def test_claims_are_the_bet_s_own_figures(certificates):
    found = verify_certificate(read_certificate(certificates["confirmed"]))
    for leg, told in zip(found.legs, certificates["confirmed"]["legs"], strict=True):
        claims = claims_of(leg.plan, leg.states[0], leg.records)
        assert [repr(claim.log_e) for claim in claims] == [claim["log_e"] for claim in told["claims"]]
        assert [repr(claim.mean) for claim in claims] == [claim["m"] for claim in told["claims"]]
        assert leg.last.e_log == claims[-1].log_e
    assert found.legs[1].states[0].e_log == found.legs[0].last.e_log, "one wealth through both legs"


def test_a_certificate_that_says_nothing_of_the_form_is_refused():
    for content in (None, [], {}, {"format": "nacre-certificate/2"}):
        with pytest.raises(CertificateError):
            read_certificate(content)
