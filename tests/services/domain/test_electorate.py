"""Who votes: splitting an owner never adds weight, and whoever gains by a change has no ballot."""

from hypothesis import given
from hypothesis import strategies as st

from services.domain.electorate import PAID, PROPOSER, SAME_OWNER, Voter, form
from services.domain.states import ElectorateMode

AGENT, OWNER = ElectorateMode.AGENT, ElectorateMode.OWNER
OWNERS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=12)


def voters_of(owners):
    return [Voter(number, owner) for number, owner in enumerate(owners, start=1)]


@given(OWNERS, st.sets(st.integers(1, 12)), st.sampled_from("abcdef"), st.integers(1, 50))
def test_more_agents_of_an_owner_never_weigh_more(owners, paid, split, copies):
    voters = voters_of(owners)
    proposer = voters[0]
    more = [*voters, *[Voter(100 + number, split) for number in range(copies)]]
    before = form(voters, proposer=proposer, paid=paid, mode=OWNER)
    after = form(more, proposer=proposer, paid=paid, mode=OWNER)
    known = {voter.owner for voter in voters}
    assert set(after.names) - set(before.names) <= ({f"owner:{split}"} - {f"owner:{name}" for name in known})
    assert len(after.names) == len(set(after.names)) <= len(before.names) + (split not in known)
    assert f"owner:{proposer.owner}" not in after.names


@given(OWNERS, st.sets(st.integers(1, 12)), st.sampled_from(ElectorateMode))
def test_everybody_votes_or_has_a_conflict(owners, paid, mode):
    voters = voters_of(owners)
    formed = form(voters, proposer=voters[0], paid=paid, mode=mode)
    assert set(formed.units) | set(formed.conflicts) == {voter.agent_id for voter in voters}
    assert set(formed.units).isdisjoint(formed.conflicts)
    assert set(formed.units).isdisjoint(paid)
    assert formed.conflicts[1] == PROPOSER
    of_paid = {voter.owner for voter in voters if voter.agent_id in paid}
    for voter in voters[1:]:
        is_kin = mode is OWNER and voter.owner == voters[0].owner
        is_paid = voter.agent_id in paid or (mode is OWNER and voter.owner in of_paid)
        assert (voter.agent_id in formed.conflicts) is (is_kin or is_paid)
        if voter.agent_id in formed.conflicts:
            assert formed.conflicts[voter.agent_id] in ({SAME_OWNER} if not is_paid else {SAME_OWNER, PAID})
        else:
            assert formed.units[voter.agent_id] == (
                f"owner:{voter.owner}" if mode is OWNER else f"agent:{voter.agent_id}"
            )
