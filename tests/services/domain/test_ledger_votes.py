"""Votes in the ledger's third format: units, rules, late swings and reviews are recomputed, not believed."""

import pytest

from services.domain.canonical import canonical_bytes
from services.domain.ledger_schema import EntryType
from tests.services.domain.ledger_evidence import SETTINGS, WON
from tests.services.domain.ledger_history import (
    PARAMETER,
    PROMOTED,
    RULES,
    SECOND_US,
    START_US,
    TEXTS,
    VOTERS,
    Step,
    assert_found,
    ballot,
    change,
    proposal,
    sha,
    started,
    verdict_of,
    write,
)

PERIOD_SECONDS = 400
CONSENSUS = {
    "consensus.threshold_percent": "51", "consensus.minimum_ballots": "3", "consensus.electorate": "agent",
    "consensus.voting_period_seconds": str(PERIOD_SECONDS), "consensus.review_seconds": "60",
    "consensus.minimum_period_seconds": "60", "consensus.start_grace_seconds": "500",
}  # fmt: skip
CONFIG = {PARAMETER: "0.9", **SETTINGS, **CONSENSUS}
LIMITS = {
    "risk": "gated", "kind": "number", "low": "0.1", "high": "9", "step_max": "2", "is_whole": False,
    "choices": [], "length_max": 4_000,
}  # fmt: skip
REASON = b"the evidence is sound"
KIND = EntryType
OPENS = START_US + SECOND_US
EXTENDED_AT = 350
REVIEW_AT = 460


def at(second):
    return OPENS + second * SECOND_US


def terms(**changes):
    shared = {"opens_at_us": OPENS, "closes_at_us": at(PERIOD_SECONDS), "risk": "gated", "rules": RULES}
    units = {"electorate_mode": "agent", "electors": {name: name for name in VOTERS}, "proposer_unit": "doc"}
    conflicts = {"conflicts": {"doc": "proposer", "gil": "paid by what the change sets"}}
    return {**proposal(1, PARAMETER, "0.9", "1.8", VOTERS), **shared, **units, **conflicts, **changes}


def cast(voter, choice, second, **changes):
    said = {**ballot(voter, choice), "agent": voter, **changes}
    return Step(f"ballot_{voter}", KIND.BALLOT, said, at(second), voter)


BALLOTS = [
    (name, side, 10) for name, side in zip(VOTERS[:4], ("for", "for", "against", "against"), strict=True)
]
BALLOTS.append(("eve", "for", EXTENDED_AT))


def shown_of(**changes):
    """What the person is shown: the change, its inverse, and every ballot with its reason."""
    told = {name: terms()[name] for name in (
        "parameter", "from", "to", "proposer", "evidence", "metric", "scope", "guardrails", "expected_effect",
        "cap_tasks", "cap_days", "risk", "conflicts", "rules",
    )}  # fmt: skip
    said = [cast(*one).payload for one in BALLOTS]
    ballots = [
        {**{name: one[name] for name in ("voter", "choice", "forecast_percent")}, "reason": TEXTS[1].decode()}
        for one in said
    ]
    votes = {"yes": 3, "no": 2, "abstain": 0, "electorate": 6}
    inverse = {"from": "1.8", "to": "0.9"}
    texts = {"root_cause": TEXTS[0].decode(), "ballots": ballots}
    return {**told, "proposal_id": 1, "inverse": inverse, "votes": votes, **texts, **changes}


SHOWN = canonical_bytes(shown_of())


def steps():
    """A GATED change: a late third for extends a vote of two to two, it passes, and a person approves."""
    counts = {"electorate": 6, "yes": 3, "no": 2, "abstain": 0, "is_closed": True, "outcome": "passed"}
    shown = {"proposal_id": 1, "shown_sha256": sha(SHOWN)}
    expires = {"expires_at_us": at(REVIEW_AT + 60)}
    approved = {**shown, "decision": "approved", "reviewer": "Ida", "reason_sha256": sha(REASON)}
    genesis = {"origin": "nacre.test/ledger", "config": CONFIG, "rules": RULES, "format": 3}
    genesis["declarations"] = {PARAMETER: LIMITS}
    late = {"proposal_id": 1, "closes_at_us": at(EXTENDED_AT + 100), "cause": "flip"}
    return [
        Step("genesis", KIND.GENESIS, genesis, START_US),
        Step("proposal", KIND.PROPOSAL, terms(), OPENS, "doc"),
        *[cast(*one) for one in BALLOTS],
        Step("extended", KIND.EXTENDED, late, at(EXTENDED_AT)),
        Step("tally", KIND.TALLY, {"proposal_id": 1, **counts}, at(REVIEW_AT)),
        Step("review", KIND.REVIEW_OPENED, {**shown, **expires}, at(REVIEW_AT)),
        Step("decided", KIND.REVIEW_DECIDED, approved, at(REVIEW_AT + 59), "operator"),
        Step("started", KIND.EXPERIMENT_STARTED, started(WON, "0.9", "1.8", PARAMETER), at(600)),
    ]  # fmt: skip


def audit(made):
    ledger = write(made)
    blobs = {**ledger.blobs, **{sha(text): text for text in (SHOWN, REASON, *TEXTS)}}
    return ledger._replace(blobs=blobs).audit()


def lied(name, **payload):
    return [
        step._replace(payload={**step.payload, **payload}) if step.name == name else step for step in steps()
    ]


def test_an_honest_vote_passes_and_goes_on_to_its_promotion():
    end = [
        Step("verdict", KIND.VERDICT, verdict_of(WON), at(700)),
        Step("promoted", KIND.PROMOTED,
             {"experiment_id": 1, "proposal_id": 1, "version": 2, "read_back": "1.8",
              **change(CONFIG, {**CONFIG, PARAMETER: PROMOTED[PARAMETER]})}, at(701)),
    ]  # fmt: skip
    report = audit([*steps(), *end])
    assert report.ok, report.reason
    assert report.config[PARAMETER] == "1.8"


UNITS = {name: f"owner:{name}" for name in VOTERS}
LIES = [
    ("proposal", {"electorate_mode": "owner"}, "one per owner"),
    ("proposal", {"electors": UNITS}, "units of the electors are not the electorate"),
    ("proposal", {"electorate": list(UNITS.values()), "electors": UNITS}, "not its own unit"),
    ("proposal", {"conflicts": {"ada": "paid"}}, "conflict of interest has a ballot"),
    ("proposal", {"electors": {name: name for name in VOTERS} | {"doc": "ada"}}, "the proposer is among"),
    ("proposal", {"rules": {**RULES, "threshold_percent": 50}}, "threshold_percent is not the rule in force"),
    ("proposal", {"rules": {**RULES, "minimum_ballots": 1}}, "minimum_ballots is not the rule in force"),
    ("proposal", {"closes_at_us": at(PERIOD_SECONDS - 1)}, "not open for its period"),
    ("proposal", {"opens_at_us": OPENS - 1}, "another time than it was filed"),
    ("proposal", {"risk": "open"}, "is gated as declared"),
    ("proposal", {"to": "1.9"}, "at most to"),
    ("proposal", {"to": "1.80"}, "not the one spelling"),
    ("proposal", {"proposer_unit": "ada"}, "not its own unit"),
    ("proposal", {"conflicts": {}}, "not among the conflicts"),
    ("ballot_ada", {"agent": "bob", "voter": "bob"}, "not in the frozen electorate"),
    ("ballot_ada", {"agent": "ben"}, "'ada' cast the ballot of 'ben'|does not vote for"),
    ("extended", {"cause": "quorum"}, "no late swing of this kind"),
    ("extended", {"closes_at_us": at(EXTENDED_AT + 101)}, "an extended vote closes at"),
    ("review", {"expires_at_us": at(REVIEW_AT + 61)}, "a person has until"),
    ("review", {"shown_sha256": sha(REASON)}, "does not state the change"),
    ("decided", {"shown_sha256": sha(REASON)}, "something else than was shown"),
    ("decided", {"decision": "expired"}, "not over"),
    ("decided", {"reviewer": ""}, "only a person"),
    ("decided", {"reason_sha256": sha(b"")}, "needs a reason"),
]


@pytest.mark.parametrize(("name", "payload", "reason"), LIES)
def test_each_lie_is_named_at_its_entry(name, payload, reason):
    made = lied(name, **payload)
    assert_found(audit(made), [step.name for step in made].index(name), reason)


def test_an_entry_that_is_missing_or_out_of_place_is_named_at_the_next():
    named = [step.name for step in steps()]
    for left_out, found, reason in (
        ("extended", "tally", "has to extend the vote before it is tallied"),
        ("review", "decided", "nothing was shown"),
        ("decided", "started", "review, not passed"),
        ("tally", "review", "open, not review"),
    ):
        made = [step for step in steps() if step.name != left_out]
        assert_found(audit(made), [step.name for step in made].index(found), reason)
    twice = steps()
    twice.insert(named.index("extended") + 1, twice[named.index("extended")])
    assert_found(audit(twice), named.index("extended") + 1, "extended before")
    for name in ("review", "decided"):
        again = steps()
        again.insert(named.index(name) + 1, again[named.index(name)])
        assert not audit(again).ok, name


def test_only_a_person_decides_and_only_in_time():
    by_platform = [
        step._replace(actor="system:vote_tally") if step.name == "decided" else step for step in steps()
    ]
    assert_found(audit(by_platform), 10, "only a person")
    late = [step._replace(at_us=at(REVIEW_AT + 60)) if step.name == "decided" else step for step in steps()]
    assert_found(audit(late), 10, "after its time")


@pytest.mark.parametrize("decision", ["refused", "expired"])
def test_nothing_starts_after_a_no(decision):
    seconds_after = {"refused": 59, "expired": 60}[decision]
    said = {"decision": decision} | (
        {"reviewer": "", "reason_sha256": sha(b"")} if decision == "expired" else {}
    )
    made = [
        step._replace(at_us=at(REVIEW_AT + seconds_after)) if step.name == "decided" else step
        for step in lied("decided", **said)
    ]
    assert_found(audit(made), 11, f"{decision}, not passed")


def test_whatever_is_shown_otherwise_than_voted_is_found():
    told = shown_of()
    others = {
        name: {**value, "x": "y"} if isinstance(value, dict) else value[:-1]
        for name, value in told.items()
        if isinstance(value, dict | list | str)
    }
    others |= {"proposal_id": 2, "cap_tasks": 1, "cap_days": 1}
    others["ballots"] = [{**told["ballots"][0], "reason": "another"}, *told["ballots"][1:]]
    assert others.keys() == told.keys()
    for name, value in others.items():
        shown = canonical_bytes({**told, name: value})
        ledger = write(lied("review", shown_sha256=sha(shown)))
        blobs = {**ledger.blobs, **{sha(text): text for text in (shown, REASON, *TEXTS)}}
        place = ledger.index("review")
        assert_found(ledger._replace(blobs=blobs).audit(), place, "than was voted on|does not state")


def test_whoever_filed_voted_or_withdrew_is_who_acted():
    for name, actor, reason in (
        ("proposal", "ada", "filed for"),
        ("ballot_ada", "ben", "cast the ballot of"),
    ):
        made = [step._replace(actor=actor) if step.name == name else step for step in steps()]
        assert_found(audit(made), [step.name for step in made].index(name), reason)
    filed = steps()[:2]
    for actor, is_honest in (("doc", True), ("system:test", False)):
        made = [*filed, Step("withdrawn", KIND.WITHDRAWN, {"proposal_id": 1}, at(5), actor)]
        assert audit(made).ok is is_honest
    second = Step(
        "second", KIND.PROPOSAL, terms(proposal_id=2, opens_at_us=at(5), closes_at_us=at(405)), at(5), "doc"
    )
    assert_found(audit([*filed, second]), 2, "a proposal on this parameter is live")


def test_nothing_happens_before_its_time_or_long_after():
    early = {"proposal_id": 1, "electorate": 6, "yes": 4, "no": 0, "abstain": 0, "is_closed": False}
    filed = [*steps()[:2], *[cast(name, "for", 10) for name in VOTERS[:4]]]
    for second, reason in ((59, "before its minimum period"), (60, "")):
        made = [*filed, Step("tally", KIND.TALLY, {**early, "outcome": "passed"}, at(second))]
        assert_found(audit(made), 6, reason) if reason else None
        assert audit(made).ok is (not reason)
    late = [step._replace(at_us=at(519 + 500)) if step.name == "started" else step for step in steps()]
    assert_found(audit(late), len(late) - 1, "was over")
    for second, is_honest in ((519 + 499, False), (519 + 500, True)):
        gone = Step("expired", KIND.EXPIRED, {"proposal_id": 1}, at(second))
        assert audit([*steps()[:-1], gone]).ok is is_honest


def test_a_parameter_is_what_the_ledger_declares():
    fixed = Step(
        "declared", KIND.DECLARED, {"parameter": PARAMETER, "declaration": {**LIMITS, "risk": "fixed"}}, OPENS
    )
    made = [steps()[0], fixed, *steps()[1:]]
    assert_found(audit(made), 2, "is fixed as declared")
    made[2] = made[2]._replace(payload=terms(risk="fixed"))
    assert not audit(made).ok
    for lie in ({"low": "x"}, {"kind": "tale"}, {"step_max": "0"}, {"choices": [1]}, {"is_whole": 1}):
        made[1] = fixed._replace(payload={"parameter": PARAMETER, "declaration": {**LIMITS, **lie}})
        assert_found(audit(made[:2]), 1, "")
    platform = lied("proposal", parameter="consensus.review_seconds", **{"from": "60", "to": "61"})
    declarations = {"declarations": {PARAMETER: LIMITS, "consensus.review_seconds": {**LIMITS, "high": "99"}}}
    platform[0] = platform[0]._replace(payload={**platform[0].payload, **declarations})
    assert_found(audit(platform), 1, "governs no task type")
    person = {"act": "set_parameter", "reason": "r", **change(CONFIG, {**CONFIG, PARAMETER: "99"})}
    assert_found(
        audit([steps()[0], Step("set", KIND.OVERRIDE, person, OPENS, "operator")]), 1, "must be within"
    )


def test_no_late_swing_where_the_vote_is_final_or_early():
    """A ballot before the last quarter extends nothing, nor one after which nothing can change."""
    made = steps()
    place = [step.name for step in made].index("ballot_eve")
    early = [
        step._replace(at_us=at(299)) if step.name in ("ballot_eve", "extended") else step for step in made
    ]
    assert_found(audit(early), place + 1, "no late swing")
    final = [*made[:place], cast("fay", "for", 50), cast("eve", "against", EXTENDED_AT)]
    assert_found(audit([*final, made[place + 1]]), place + 2, "no late swing")
    counts = {"electorate": 6, "yes": 3, "no": 3, "abstain": 0, "is_closed": False, "outcome": "rejected"}
    assert audit([*final, Step("tally", KIND.TALLY, {"proposal_id": 1, **counts}, at(EXTENDED_AT))]).ok


def test_the_next_ballot_waits_for_the_extension():
    made = [step for step in steps() if step.name != "extended"]
    place = [step.name for step in made].index("tally")
    made.insert(place, cast("fay", "against", EXTENDED_AT + 1))
    assert_found(audit(made), place, "before the next ballot")


def test_a_ledger_of_the_second_format_is_raised_once():
    genesis, registered = write_second()
    raised = Step("format", KIND.FORMAT, {"format": 3}, OPENS)
    declared = Step("declared", KIND.DECLARED, {"parameter": PARAMETER, "declaration": LIMITS}, OPENS)
    assert audit([genesis, raised, declared, *steps()[1:]]).ok
    assert_found(audit([genesis, raised, *steps()[1:]]), 2, "never declared")
    assert_found(audit([genesis, raised, raised]), 2, "does not follow")
    assert_found(
        audit([genesis, registered, Step("format", KIND.FORMAT, {"format": 4}, OPENS)]), 2, "format 4"
    )
    lacking = {name: value for name, value in terms().items() if name != "rules"}
    unraised = [genesis, Step("proposal", KIND.PROPOSAL, lacking, OPENS, "doc")]
    assert audit(unraised).ok
    assert_found(audit([genesis, raised, unraised[1]]), 2, "lacks rules")


def write_second():
    genesis = steps()[0]
    hashes = {"config_before": config_of(CONFIG), "config_after": config_of({**CONFIG, "x.y": "1"})}
    del genesis.payload["declarations"]
    return (
        genesis._replace(payload={**genesis.payload, "format": 2}),
        Step("registered", KIND.REGISTERED, {"parameter": "x.y", "value": "1", **hashes}, OPENS),
    )


def config_of(config):
    return sha(canonical_bytes(config))


def test_a_lap_is_closed_once():
    closed = {"outcome": "promoted", "opened_at_us": START_US, "spent_microcredits": 5}
    step = Step("closed", KIND.LAP_CLOSED, closed, at(700))
    assert audit([*steps(), step]).ok
    assert_found(audit([*steps(), step, step]), len(steps()) + 1, "closed once")
