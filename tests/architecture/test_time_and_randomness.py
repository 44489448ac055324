"""Time comes from a clock that is passed in, randomness from a seed that is recorded.

Only then can two weeks run in a minute and a verdict be replayed. The wall clock is read in
`services/domain/clock.py` and at the edges named below; security's randomness (`secrets`) is free.
"""

from tests.architecture.source_tree import ROOT, calls, plant, python_files, where

CLOCK = "services/domain/clock.py"
EDGES = {
    CLOCK: "the one wall clock of the platform; everything else is handed a Clock",
    "app/agents/": "agents are outsiders: processes of their own, in real time, with their own keys",
}
UNSEEDED = {
    "app/agents/": "they make the keys of their own requests",
    "app/api/middleware.py": "the id of a request names it in the log and decides nothing",
}
WALL_CLOCK = {
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
}
SEEDABLE = {"Random", "default_rng", "SeedSequence", "PCG64", "Philox"}
NOT_DRAWING = {"Generator", "BitGenerator"}


def reads_the_wall_clock(root):
    found = []
    for path in python_files(root):
        if not is_among(EDGES, root, path):
            found += [
                f"{where(root, path, node)}: {name}() reads the wall clock; take a Clock or an instant"
                for name, node in calls(path)
                if name in WALL_CLOCK
            ]
    return found


def is_among(edges, root, path):
    place = path.relative_to(root).as_posix()
    return any(place == edge or (edge.endswith("/") and place.startswith(edge)) for edge in edges)


def draws_without_a_seed(root):
    return [
        f"{where(root, path, node)}: {name}() is random and nobody seeded it; take a seed as an argument"
        for path in python_files(root)
        for name, node in calls(path)
        if is_unseeded(name, node) and not is_among(UNSEEDED, root, path)
    ]


def is_unseeded(name, node):
    module, _, function = name.rpartition(".")
    if name in {"uuid.uuid4", "uuid.uuid1"}:
        return True
    if module not in {"random", "numpy.random"} or function in NOT_DRAWING:
        return False
    return function not in SEEDABLE or not (node.args or node.keywords)


def test_the_wall_clock_is_read_only_at_the_edges():
    assert reads_the_wall_clock(ROOT) == []


def test_every_generator_is_seeded():
    assert draws_without_a_seed(ROOT) == []


def test_a_planted_look_at_the_clock_is_found(tmp_path):
    plant(
        tmp_path,
        {
            "services/observatory.py": "import time\nx = time.time()\n",
            "services/loop.py": "from datetime import UTC, datetime as d\nx = d.now(UTC)\n",
            "services/domain/clock.py": "import time\nx = time.time_ns()\n",
            "app/agents/worker.py": "import time\nx = time.time()\n",
            "app/main.py": "import datetime\nx = datetime.datetime.now()\n",
        },
    )
    places = [line.split(": ")[0] for line in reads_the_wall_clock(tmp_path)]
    assert places == ["app/main.py:2", "services/loop.py:2", "services/observatory.py:2"]


def test_a_planted_unseeded_draw_is_found(tmp_path):
    plant(
        tmp_path,
        {
            "services/ab_sandbox.py": "import random\nx = random.random()\ny = random.Random(7).random()\n",
            "services/loop.py": "import numpy as np\nx = np.random.default_rng()\n",
            "services/observatory.py": "from uuid import uuid4\nx = uuid4()\n",
        },
    )
    places = [line.split(": ")[0] for line in draws_without_a_seed(tmp_path)]
    assert places == ["services/ab_sandbox.py:2", "services/loop.py:2", "services/observatory.py:2"]
