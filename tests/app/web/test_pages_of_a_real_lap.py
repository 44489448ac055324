"""The pages over a whole real lap: real store, real read models, and the sample's shapes against them."""

import shutil

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.simulation.world import World
from app.web.charts.wealth import RUG_TASKS
from app.web.pages import PAGES, build_pages
from app.workings import PlatformWorkings
from services.domain.lost_bids import BidState
from services.domain.states import TaskState
from services.store import views
from services.store.views.series import SeriesAsked
from tests.app.web.sample_market import SampleMarket
from tests.plugins.databases import url_of_file

pytestmark = pytest.mark.slow

FREE_FORM = {
    "payload",
    "plan",
    "evidence",
    "inputs",
    "handoff",
    "verification",
    "parameters",
    "result",
    "context",
    "states",
}
"""What one shape cannot describe: JSON whose keys depend on the task, the rule or the job."""


@pytest.fixture(scope="module")
def world(sqlite_template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lap")
    shutil.copyfile(sqlite_template, folder / "lap.db")
    world = World(url_of_file(folder / "lap.db"), folder)
    assert world.run_lap() == "promoted"
    yield world
    world.close()


@pytest.fixture(scope="module")
def client(world):
    app = FastAPI(openapi_url=None)
    platform = world.platform
    app.include_router(build_pages(platform.store.read, platform.registry, PlatformWorkings(platform)))
    return TestClient(app)


@pytest.fixture
def tx(world):
    with world.platform.store.read() as tx:
        yield tx


@pytest.fixture
def lap(tx):
    return views.get_lap(tx, 1)


def test_every_page_of_the_table_shows_the_lap(client, lap):
    ids = {
        "/laps/{id:int}": 1,
        "/tasks/{id:int}": lap["meta_task"]["task_id"],
        "/agents/{id:int}": lap["meta_task"]["awarded_agent_id"],
        "/proposals/{id:int}": lap["proposal"]["proposal_id"],
        "/voters/{id:int}": lap["meta_task"]["awarded_agent_id"],
        "/experiments/{id:int}": lap["experiment"]["experiment_id"],
        "/ledger/{id:int}": lap["entries"][-1]["index"],
        "/parameters/{name}": lap["parameter"]["name"],
        "/metrics-board/{name}": "task_duration",
    }
    gated = "/reviews/{id:int}"  # this lap had none to review
    for page in (page for page in PAGES if page.path != gated):
        path = page.path.split("{")[0] + str(ids[page.path]) if page.path in ids else page.path
        assert client.get(path).status_code == 200, path


def test_the_lap_page_tells_what_happened(client, lap):
    text = client.get("/laps/1").text
    assert f"{lap['parameter']['before']} → {lap['parameter']['after']}" in text
    assert "The new value is better" in text
    for entry in lap["entries"]:
        assert f'href="/ledger/{entry["index"]}"' in text
    assert text.count("chamber done") == 7


def test_the_experiment_page_draws_every_folded_task(client, tx, lap):
    found = views.get_experiment(tx, lap["experiment"]["experiment_id"])
    text = client.get(f"/experiments/{found['experiment_id']}").text
    for leg in ("trial", "probation"):
        told = sum(point["leg"] == leg for point in found["path"])
        assert f"{leg}: {told} tasks folded" in text
    assert text.count('class="tick ') == (len(found["path"]) if len(found["path"]) <= RUG_TASKS else 0)
    assert ('class="mean ' in text) == (len(found["path"]) > RUG_TASKS)
    assert found["salt"] in text


def test_the_life_of_a_settled_task_is_complete(client, tx):
    settled = views.list_tasks(tx, state=TaskState.SETTLED, kind="user", limit=1)["items"][0]
    text = client.get(f"/tasks/{settled['task_id']}").text
    for step in ("posted", "bids", "award", "lease", "handoff", "verification", "money", "ended"):
        assert f'class="step-{step}"' in text
    again = client.get(f"/tasks/{settled['task_id']}?replay=1").text
    assert "the same award" in again
    assert 'class="winner"' in again


def test_a_page_asked_for_with_a_foreign_cursor_says_so(client):
    assert client.get("/market?cursor=not-one-of-ours").status_code == 400


def shape(value):
    """Return the keys of a read model, nested; what is free-form or empty is left out."""
    if isinstance(value, list):
        return shape(value[0]) if value else None
    if not isinstance(value, dict):
        return None
    return {key: None if key in FREE_FORM else shape(inner) for key, inner in value.items()}


def differences(sample, real, where):
    """Return where two shapes have different keys, wherever both say something."""
    if sample is None or real is None:
        return []
    found = [f"{where}.{key}" for key in sample.keys() ^ real.keys()]
    for key in sample.keys() & real.keys():
        found += differences(sample[key], real[key], f"{where}.{key}")
    return found


def without_states(health):
    """Leave out what is keyed by names, and checks that say more when they do not pass."""
    return {**health, "checks": {}, "failing_since": {}, "promotion_hold": None, "held_promotions": []}


def test_the_sample_has_the_shapes_of_the_read_models(world, tx, lap):
    sample, registry = SampleMarket(), world.platform.registry
    workings = PlatformWorkings(world.platform)
    done = views.list_tasks(tx, state=TaskState.SETTLED, kind="user", limit=1)["items"][0]
    settled, worker = done["task_id"], done["awarded_agent_id"]
    name = lap["parameter"]["name"]
    pairs = [
        (sample.get_lap(None, 3), lap),
        (sample.get_task(None, 11), views.get_task(tx, settled)),
        (sample.get_proposal(None, 4), views.get_proposal(tx, lap["proposal"]["proposal_id"])),
        (sample.list_voters(None), views.list_voters(tx)),
        (sample.get_voter(None, 4), views.get_voter(tx, world.electors[0])),
        (sample.get_experiment(None, 5), views.get_experiment(tx, lap["experiment"]["experiment_id"])),
        (sample.sandbox_state(None, None), views.sandbox_state(tx, registry)),
        (sample.get_parameter(None, None, "market.cooling"), views.get_parameter(tx, registry, name)),
        (sample.get_entry(None, 3), views.get_entry(tx, 3)),
        (sample.list_agents(None), views.list_agents(tx)),
        (sample.get_agent(None, 2), views.get_agent(tx, worker)),
        (sample.get_standing(None, 4), views.get_standing(tx, worker)),
        (
            sample.list_bids(None, agent_id=4, state="lost"),
            views.list_bids(tx, agent_id=worker, state=BidState.LOST),
        ),
        (sample.leaderboard(None), views.leaderboard(tx)),
        (sample.market_now(None), views.market_now(tx)),
        (sample.replay_task(None, 11), views.replay_task(tx, settled)),
        (sample.list_failed_work(None, kind="task"), views.list_failed_work(tx)),
        (sample.list_episodes(None), views.list_episodes(tx)),
        (sample.list_snapshots(None), views.list_snapshots(tx)),
        (sample.list_metrics(None), views.list_metrics(tx)),
        (
            sample.list_series(None, SeriesAsked("task_success")),
            views.list_series(tx, SeriesAsked("task_success")),
        ),
        (
            sample.list_keys(None, metric="task_success", dimension="agent"),
            views.list_keys(tx, metric="task_success", dimension="agent"),
        ),
        (sample.cron(None), workings.cron(tx)),
        (without_states(sample.health(None)), without_states(workings.health(tx))),
        (sample.score(None), workings.score(tx)),
        (sample.cron_history(None), views.cron_history(tx)),
        (sample.latest_ticks(None), views.latest_ticks(tx)),
        (
            {**sample.pulse(None), "tasks": {}, "recent_success": {}},
            {**views.pulse(tx), "tasks": {}, "recent_success": {}},
        ),
    ]
    found = []
    for number, (made_up, real) in enumerate(pairs):
        found += differences(shape(made_up), shape(real), str(number))
    assert found == []
