"""`cron_registry.py` is a table: only the bootstrap runs it and only the docs generator prints it.

import-linter cannot take a single file as a root, so this test holds its direction: it stands between `app`,
which it does not import, and `services`.
"""

from tests.architecture.source_tree import ROOT, imported_modules, plant, python_files, where

READERS = {"app/bootstrap.py", "app/docs.py"}
TABLE = "cron_registry.py"


def wrong_directions(root):
    found = []
    for path in python_files(root):
        place = path.relative_to(root).as_posix()
        for name, node in imported_modules(path):
            top = name.partition(".")[0]
            if top == "cron_registry" and place not in READERS:
                found.append(f"{where(root, path, node)}: let app.bootstrap hand the jobs over")
            if place == TABLE and top == "app":
                found.append(f"{where(root, path, node)}: name the job; app.bootstrap binds it to its code")
    return found


def test_only_the_bootstrap_reads_the_table():
    assert wrong_directions(ROOT) == []


def test_a_planted_reader_is_found(tmp_path):
    plant(
        tmp_path,
        {
            "app/bootstrap.py": "from cron_registry import CRON_JOBS\n",
            "services/cron_runner.py": "import cron_registry\n",
            "cron_registry.py": "from app import settings\n",
        },
    )
    places = [line.split(": ")[0] for line in wrong_directions(tmp_path)]
    assert places == ["cron_registry.py:1", "services/cron_runner.py:1"]
