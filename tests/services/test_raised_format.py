"""A ledger of the second format goes on: it is raised by an entry, and open votes keep their own rule."""

import pytest

from services.domain.errors import InvalidValueError
from services.domain.states import BallotChoice
from services.operations import audit_log, production_config
from services.store import sql, tables
from tests.services.laboratory import TYPE, VOTING_PERIOD_SECONDS

GATED = f"{TYPE}.maximum_attempts"


@pytest.fixture
def lab(monkeypatch, lab_with):
    """A laboratory whose ledger was begun in the second format, before parameters were declared."""
    with monkeypatch.context() as before:
        for module in (production_config, audit_log):
            before.setattr(module, "FORMAT", 2)
        made = lab_with()
    with made.write() as tx:
        sql.change(tx, tables.parameter.update().values(declaration=None))
    return made


def reopen(lab):
    with lab.write("system:start") as tx:
        production_config.install(tx, lab.platform.registry, origin="ignored")


def test_open_votes_keep_their_rule_and_new_ones_follow_the_new(lab):
    before = lab.file()
    with pytest.raises(InvalidValueError) as refused:
        lab.file(parameter=GATED, to="3")
    assert refused.value.code == "parameter_gated"
    lab.cast(before, lab.voters[0])
    lab.cast(before, lab.voters[1])
    reopen(lab)
    reopen(lab)
    assert lab.types().count("FORMAT") == 1
    assert lab.types().count("DECLARED") == len(lab.platform.registry)
    lab.pass_seconds(0.9 * VOTING_PERIOD_SECONDS)
    lab.cast(before, lab.voters[2], BallotChoice.AGAINST, "late")
    assert "EXTENDED" not in lab.types(), "the vote was opened when nothing extended one"
    lab.pass_seconds(0.1 * VOTING_PERIOD_SECONDS)
    lab.tally()
    assert lab.state(before) == "passed"
    lab.deliver()
    assert lab.state(before) == "testing"
    lab.ended_tasks(60)
    lab.pass_seconds(3_600)
    gated = lab.file(lab.agent("propose"), parameter=GATED, to="3", expected_effect="0.25")
    for agent_id in lab.voters[:4]:
        lab.cast(gated, agent_id)
    lab.pass_seconds(300)
    lab.tally()
    assert lab.state(gated) == "review"
    report = lab.audit()
    assert report.ok, report.reason
