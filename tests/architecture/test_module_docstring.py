"""Every module says first what it is; a module of the product in a whole sentence."""

import ast

from tests.architecture.source_tree import EVERYTHING, ROOT, parse, plant, python_files, where

WORDS = 5


def unexplained(root):
    found = []
    for path in python_files(root, *EVERYTHING):
        words = len((ast.get_docstring(parse(path)) or "").split())
        if words < WORDS:
            found.append(
                f"{where(root, path)}: begin with a docstring: what this is, where it stands in the loop, "
                "what it never does"
            )
    return found


def test_every_module_says_what_it_is():
    assert unexplained(ROOT) == []


def test_a_planted_silent_module_is_found(tmp_path):
    plant(
        tmp_path,
        {
            "app/silent.py": "import os\n",
            "app/curt.py": '"""Things."""\n',
            "app/clear.py": '"""What this is, in a sentence."""\n',
        },
    )
    assert [line.split(":")[0] for line in unexplained(tmp_path)] == ["app/curt.py", "app/silent.py"]
