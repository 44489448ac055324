"""The fleet's table: enough agents, each with its script and no more rights than its job needs."""

from importlib.util import find_spec

import pytest

from app.agents.fleet import FLEET, AgentSpec, Scope, demonstration_fleet, named

WHOLE = demonstration_fleet("http://127.0.0.1:9")


def with_scope(scope: Scope) -> list[AgentSpec]:
    return [spec for spec in WHOLE if scope in spec.scopes]


def test_there_are_enough_of_every_kind():
    assert len(WHOLE) >= 11
    assert len({spec.name for spec in WHOLE}) == len(WHOLE)
    assert len([spec for spec in WHOLE if spec.name.startswith("worker_")]) == 4
    assert len(with_scope(Scope.PROPOSE)) == 2
    assert len(with_scope(Scope.VOTE)) == 7  # six remain when a diagnostician proposes


def test_every_module_exists():
    assert all(find_spec(spec.module) is not None for spec in WHOLE)


@pytest.mark.parametrize("spec", WHOLE, ids=lambda spec: spec.name)
def test_rights_go_no_further_than_the_job(spec):
    kind = spec.name.partition("_")[0]
    allowed = {
        "worker": {Scope.BID},
        "diagnostician": {Scope.BID, Scope.PROPOSE, Scope.VOTE},
        "voter": {Scope.VOTE},
        "requester": {Scope.POST},
    }
    assert set(spec.scopes) == allowed[kind]
    assert spec.is_vouched is (kind != "worker")


def test_only_the_requester_knows_the_documents():
    told = [spec.name for spec in WHOLE if spec.environment]
    assert told == ["requester"]


def test_agents_can_be_picked_by_name():
    assert [spec.name for spec in named(["voter_cost", "worker_hasty"])] == ["worker_hasty", "voter_cost"]
    with pytest.raises(KeyError, match="nobody"):
        named(["nobody"])
    assert named(spec.name for spec in FLEET) == FLEET
