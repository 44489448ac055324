"""An embedded agent knows what a stranger's agent could know: the HTTP API and the public tools.

In particular it cannot know the demonstration's answer, the platform's settings or anybody else's bids.
"""

from tests.architecture.source_tree import ROOT, imported_modules, plant, python_files, where

OURS = {"app", "services", "migrations", "cron_registry", "tests"}
PUBLIC = ("app.agents", "app.tasks", "app.lazy")


def insiders(root):
    return [
        f"{where(root, path, node)}: an agent may not import {name}; ask the API, or take it as an argument"
        for path in python_files(root, "app/agents")
        for name, node in imported_modules(path)
        if name.partition(".")[0] in OURS
        and not any(name == public or name.startswith(f"{public}.") for public in PUBLIC)
    ]


def test_agents_know_nothing_from_inside():
    assert insiders(ROOT) == []


def test_a_planted_insider_is_found(tmp_path):
    plant(
        tmp_path,
        {
            "app/agents/honest.py": "from app.tasks import registry\nfrom app.agents import client\n",
            "app/agents/cheat.py": "from app import demonstration\n",
            "app/agents/spy.py": "from services.store import tx\n",
        },
    )
    places = [line.split(": ")[0] for line in insiders(tmp_path)]
    assert places == ["app/agents/cheat.py:1", "app/agents/spy.py:1"]
