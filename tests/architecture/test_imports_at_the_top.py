"""Imports stand at the top of the file, so that what a module needs can be read and checked."""

import ast

from tests.architecture.source_tree import (
    CODE,
    FUNCTIONS,
    ROOT,
    calls,
    parse,
    plant,
    python_files,
    where,
)

LAZY_LOADER = "app/lazy.py"
LATE_CALLS = {"importlib.import_module", "__import__"}


def late_imports(root):
    found = []
    for path in python_files(root, *CODE, "tests"):
        if path == root / LAZY_LOADER:
            continue
        inner = {
            node
            for function in ast.walk(parse(path))
            if isinstance(function, FUNCTIONS)
            for node in ast.walk(function)
            if isinstance(node, (ast.Import, ast.ImportFrom))
        }
        if path.relative_to(root).parts[0] != "tests":
            inner |= {node for name, node in calls(path) if name in LATE_CALLS}
        found += [
            f"{where(root, path, node)}: import at the top; heavy third-party leaves go through {LAZY_LOADER}"
            for node in sorted(inner, key=lambda node: node.lineno)
        ]
    return found


def test_nothing_is_imported_late():
    assert late_imports(ROOT) == []


def test_a_planted_late_import_is_found(tmp_path):
    plant(
        tmp_path,
        {
            "app/inside.py": "def f():\n    import json\n    return json\n",
            "app/called.py": "import importlib\nx = importlib.import_module('json')\n",
            "app/aliased.py": "from importlib import import_module as load\nx = load('json')\n",
            "app/lazy.py": "def f():\n    import json\n    return json\n",
            "app/top.py": "import json\n",
        },
    )
    places = [line.split(": ")[0] for line in late_imports(tmp_path)]
    assert places == ["app/aliased.py:2", "app/called.py:2", "app/inside.py:2"]
