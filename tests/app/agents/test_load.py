"""The load: the same from the same seed, mixed as weighted, and workable by good workers only."""

import json
from collections import Counter

import pytest

from app.agents import worker_careful, worker_hasty, worker_quick, worker_steady
from app.agents.load import WEIGHTS, Document, wanted_task
from app.demonstration.corpus import DOCUMENTS
from app.tasks.registry import TASK_TYPE_REGISTRY

TASKS = 100
URL = "http://127.0.0.1:1/documents/"
LIBRARY = tuple(Document(f"{URL}{name}", one.text) for name, one in DOCUMENTS.items())


def test_the_same_seed_gives_the_same_tasks_and_another_gives_others():
    load = [wanted_task(number, 7, LIBRARY) for number in range(50)]
    assert load == [wanted_task(number, 7, LIBRARY) for number in range(50)]
    assert load != [wanted_task(number, 8, LIBRARY) for number in range(50)]
    assert len({json.dumps(one.payload) for one in load}) > 40


def test_the_mix_is_as_weighted():
    counted = Counter(wanted_task(number, 7, LIBRARY).type for number in range(2000))
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    for name, weight in WEIGHTS.items():
        assert counted[name] / 2000 == pytest.approx(weight, abs=0.03)


def test_without_documents_the_other_types_take_their_share():
    counted = Counter(wanted_task(number, 7, ()).type for number in range(200))
    assert set(counted) == set(WEIGHTS) - {"research_synthesis"}


def test_every_task_fits_its_type_and_is_small():
    for number in range(TASKS):
        wanted = wanted_task(number, 3, LIBRARY)
        prepared = TASK_TYPE_REGISTRY[wanted.type].prepare(wanted.payload)
        assert len(json.dumps(prepared.public)) < 1_000


def verified_share(effort: float) -> float:
    """Share of the load that a worker of this effort gets verified; documents come at once."""
    content = {one.url: one.text.encode() for one in LIBRARY}
    verified = 0
    for number in range(TASKS):
        wanted = wanted_task(number, 11, LIBRARY)
        kind = TASK_TYPE_REGISTRY[wanted.type]
        prepared = kind.prepare(wanted.payload)
        result = json.loads(json.dumps(kind.load_tool()(prepared.public, effort, 20.0)))
        verified += kind.load_verifier()(
            prepared.public, prepared.private, result, content.__getitem__
        ).is_verified
    return verified / TASKS


@pytest.fixture
def documents_at_once(monkeypatch):
    def fetched(urls, _seconds):
        return {one.url: one.text.encode() for one in LIBRARY if one.url in urls}

    monkeypatch.setattr("app.tasks.research_synthesis.tool.fetch_all", fetched)


@pytest.mark.parametrize(
    ("worker", "least", "most"),
    [
        (worker_careful, 0.98, 1.0),
        (worker_steady, 0.97, 1.0),
        (worker_quick, 0.92, 1.0),
        (worker_hasty, 0.0, 0.25),
    ],
    ids=["careful", "steady", "quick", "hasty"],
)
def test_three_workers_are_good_and_one_is_poor(documents_at_once, worker, least, most):
    assert least <= verified_share(worker.PROFILE.effort) <= most


def test_the_poor_one_is_the_cheapest_and_the_best_the_dearest():
    workers = (worker_careful, worker_steady, worker_quick, worker_hasty)
    asked = [one.PROFILE.price_factor for one in workers]
    assert asked == sorted(asked, reverse=True)
    assert worker_hasty.PROFILE.effort < 0.3 < worker_quick.PROFILE.effort
