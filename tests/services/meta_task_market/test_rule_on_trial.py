"""The award rule itself on trial: whole windows of the market run under one rule; windows are bet on."""

import pytest

from services import ab_sandbox
from services.domain.auction import AwardRule
from services.domain.errors import InvalidValueError
from services.domain.states import ExperimentScope, ProposalState
from services.operations import production_config
from services.store import sql, tables
from tests.plugins.platforms import TASK_TYPE

RULE = f"{TASK_TYPE}.award_rule"
HOUR = 3600


@pytest.fixture
def experiment(market, requester):
    """A running experiment that gives half of the hours to the lowest price: its row."""
    with market.write("system:experiment") as tx:
        before = production_config.effective(tx, RULE)
        proposal_id = sql.insert(
            tx, tables.proposal, proposer_id=requester, parameter=RULE, from_value=before.value,
            to_value=str(int(AwardRule.LOWEST_PRICE)), from_version=before.version, metric="task_success",
            expected_effect="0.2", cap_tasks=400, cap_days=14, admission_tasks=400, base_rate=0.6,
            root_cause="dear", evidence=[], content_hash="h", risk="open", state=ProposalState.PASSED, yes=3,
            no=0, abstain=0, electorate=3, opened_at_us=tx.now_us, minimum_until_us=tx.now_us,
            closes_at_us=tx.now_us, decided_at_us=tx.now_us, scope=ExperimentScope.PLATFORM,
        )  # fmt: skip
        number = ab_sandbox.start_experiment(
            tx, market.platform.registry, proposal_id, market.platform.context.entropy
        )
    return market.row(tables.experiment, id=number)


def test_each_window_is_awarded_by_the_rule_of_its_arm(market, requester, experiment):
    """Under the lowest price the cheaper bid always wins; whoever wins, the window's exposures agree."""
    cheap, good = market.agent(), market.agent()
    for _ in range(4):
        market.done(requester, good, is_good=True)
    winners = {0: [], 1: []}
    for _ in range(10):
        tasks = [market.post(requester) for _ in range(2)]
        for task_id in tasks:
            market.bid(cheap, task_id, 100_000)
            market.bid(good, task_id, 900_000)
        market.close_windows()
        exposures = [market.row(tables.exposure, task_id=task_id) for task_id in tasks]
        assert len({row["unit"] for row in exposures}) == 1, "one window, one unit"
        [arm] = {row["arm"] for row in exposures}
        for task_id, row in zip(tasks, exposures, strict=True):
            award, task = market.row(tables.award, task_id=task_id), market.task(task_id)
            wanted = AwardRule.LOWEST_PRICE if arm else AwardRule.COOLED
            assert (award["rule"], award["inputs"]["rule"]) == (wanted.label, wanted)
            assert task["effective_values"][RULE] == {
                "value": row["value"], "source": "arm", "version": 1, "arm": arm,
                "experiment_id": experiment["id"],
            }  # fmt: skip
            assert row["stratum"] == TASK_TYPE
            winners[arm].append((award["agent_id"], award["price_microcredits"]))
        market.pass_seconds(HOUR)
    assert winners[0], "both arms were drawn"
    assert set(winners[1]) == {(cheap, 100_000)}, "the lowest price wins and is paid what it asks"
    assert all(price > 100_000 for _, price in winners[0]), "the second score pays more than was asked"


def test_it_is_tried_in_windows_of_the_platform_only(lab):
    with pytest.raises(InvalidValueError) as refusal:
        lab.file(parameter="research_synthesis.award_rule", to="3")
    assert (refusal.value.field, refusal.value.code) == ("body.scope", "scope_platform_needed")
