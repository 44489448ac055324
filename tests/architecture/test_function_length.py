"""A function fits on a screen: at most 60 lines, decorators and docstring included."""

import ast

from tests.architecture.source_tree import EVERYTHING, FUNCTIONS, ROOT, parse, plant, python_files, where

LINES = 60


def too_long(root):
    found = []
    for path in python_files(root, *EVERYTHING):
        if "versions" in path.relative_to(root).parts:
            continue  # a migration is one list of tables, written once and never edited
        found += [
            f"{where(root, path, node)}: {node.name} has {length_of(node)} lines; name its steps"
            for node in ast.walk(parse(path))
            if isinstance(node, FUNCTIONS) and length_of(node) > LINES
        ]
    return found


def length_of(node):
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return node.end_lineno - first + 1


def test_no_function_is_too_long():
    assert too_long(ROOT) == []


def test_a_planted_long_function_is_found(tmp_path):
    body = "    x = 1\n"
    plant(
        tmp_path,
        {
            "services/long.py": "class A:\n    @property\n    def f(self):\n"
            "    " + body + ("    " + body) * 58,
            "services/fits.py": "def f():\n" + body * 59,
        },
    )
    assert [line.split(" ")[0] for line in too_long(tmp_path)] == ["services/long.py:3:"]
