"""A ledger that was begun before levels and probations existed: what runs goes on, and the audit holds."""

from types import SimpleNamespace

import pytest

from services.ab_sandbox import starting
from services.domain.ledger_schema import LATER, EntryType
from services.operations import audit_log, production_config
from services.store import sql, tables
from tests.services.laboratory import TIMEOUT


@pytest.fixture
def lab(monkeypatch, lab_with):
    """A laboratory whose ledger is of the first format."""
    monkeypatch.setattr(production_config, "FORMAT", 1)
    return lab_with()


def running_since_before(lab, monkeypatch):
    """Return an experiment that was started, and written down, as the first format did it."""

    def append(tx, kind, payload):
        kept = {name: value for name, value in payload.items() if name not in LATER[2][kind]}
        return audit_log.append(tx, kind, kept)

    older = SimpleNamespace(append=append, take_turn=audit_log.take_turn)
    with monkeypatch.context() as patched:
        patched.setattr(starting, "audit_log", older)
        experiment_id = lab.running()
    with lab.write() as tx:
        sql.update(tx, tables.experiment, {"id": experiment_id}, stream_position=None, confirm_alpha=None)
    entry = lab.payloads("EXPERIMENT_STARTED")[0]
    assert not LATER[2][EntryType.EXPERIMENT_STARTED].keys() & entry.keys()
    return experiment_id


def test_the_promotion_ends_an_experiment_from_before(lab, monkeypatch):
    experiment_id = running_since_before(lab, monkeypatch)
    lab.run_experiment(experiment_id)
    lab.deliver()
    found = lab.experiment(experiment_id)
    assert (found["state"], found["verdict"], found["ended_at_us"]) == ("confirmed", "win", lab.now_us)
    assert lab.rows(tables.probation) == []
    assert lab.assign()[1][TIMEOUT].source == "promoted"
    assert lab.audit().ok, lab.audit().reason
    lab.roll_back()
    lab.deliver()
    assert lab.experiment(experiment_id)["state"] == "rolled_back"
    assert lab.value().value == "90"
    assert lab.audit().ok, lab.audit().reason


def test_the_next_experiment_of_an_older_ledger_has_its_level(lab, monkeypatch):
    experiment_id = running_since_before(lab, monkeypatch)
    lab.run_experiment(experiment_id, (0.9, 0.2))
    lab.deliver()
    following = lab.running(**lab.other_type())
    assert lab.experiment(following)["stream_position"] == 2
    assert lab.audit().ok, lab.audit().reason
