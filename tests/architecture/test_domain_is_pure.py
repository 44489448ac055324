"""`services/domain` may only compute: an allow-list of imports, and no reading, printing or opening.

A random generator made from a seed computes, too; unseeded ones are found by `test_time_and_randomness.py`.
"""

import sys

from tests.architecture.source_tree import ROOT, calls, imported_modules, plant, python_files, where

DOMAIN = "services/domain"
OUTSIDE_WORLD = {
    "asyncio",
    "concurrent",
    "http",
    "importlib",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "secrets",
    "shutil",
    "socket",
    "sqlite3",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
}
COMPUTES = ("services.domain", "numpy", "scipy.special", "scipy.optimize")
ACTS = {"open", "print", "input", "exec", "eval"}
CLOCK = "services/domain/clock.py"
CLOCK_NEEDS = {"time", "threading"}  # it reads the time, and its virtual form wakes whoever sleeps on it


def impurities(root):
    found = []
    for path in python_files(root, DOMAIN):
        clock = path.relative_to(root).as_posix() == CLOCK
        for name, node in imported_modules(path):
            if not is_pure(name) and not (clock and name.partition(".")[0] in CLOCK_NEEDS):
                found.append(f"{where(root, path, node)}: {name} is not for computing; take plain values")
        for name, node in calls(path):
            if name in ACTS:
                found.append(f"{where(root, path, node)}: {name}() acts; return the value instead")
    return found


def is_pure(name):
    if any(name == allowed or name.startswith(f"{allowed}.") for allowed in COMPUTES):
        return True
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names and top not in OUTSIDE_WORLD


def test_the_domain_only_computes():
    assert impurities(ROOT) == []


def test_planted_impurities_are_found(tmp_path):
    plant(
        tmp_path,
        {
            "services/domain/a.py": "import math\nimport os.path\n",
            "services/domain/b.py": "from scipy import stats, special\n",
            "services/domain/c.py": "from services.store import tx\n",
            "services/domain/d.py": "x = open('f')\n",
            "services/domain/e.py": "import threading\n",
            "services/domain/clock.py": "import time\nimport threading\n",
            "services/store/a.py": "import os\n",
        },
    )
    places = [line.split(": ")[0].removeprefix(f"{DOMAIN}/") for line in impurities(tmp_path)]
    assert places == ["a.py:2", "b.py:1", "c.py:1", "d.py:1", "e.py:1"]
