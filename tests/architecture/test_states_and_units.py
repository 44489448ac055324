"""States are members of an enumeration, and a quantity's name ends with its unit."""

import ast

from tests.architecture.source_tree import FUNCTIONS, ROOT, parse, plant, python_files, where

STATES = {"state", "status"}
UNITLESS = {
    "cost",
    "delay",
    "duration",
    "fee",
    "interval",
    "latency",
    "price",
    "timeout",
    "ttl",
}


def bare_state_strings(root):
    return [
        f"{where(root, path, node)}: compare and set members of services.domain.states, not strings"
        for path in python_files(root, "services")
        for node in ast.walk(parse(path))
        if uses_a_bare_state(node)
    ]


def uses_a_bare_state(node):
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        return any(map(is_state, sides)) and any(map(is_text, sides))
    if isinstance(node, ast.keyword):
        return node.arg in STATES and is_text(node.value)
    if isinstance(node, ast.Assign):
        return any(map(is_state, node.targets)) and is_text(node.value)
    return False


def is_state(node):
    return (isinstance(node, ast.Attribute) and node.attr in STATES) or (
        isinstance(node, ast.Name) and node.id in STATES
    )


def is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def quantities_without_units(root):
    return [
        f"{where(root, path, node)}: {name} in what? Say it last: {name}_seconds, {name}_microcredits, …"
        for path in python_files(root, "app", "services")
        for tree_node in ast.walk(parse(path))
        for name, node in numbers_named_in(tree_node)
        if name.rpartition("_")[2] in UNITLESS
    ]


def numbers_named_in(node):
    """Arguments and class attributes that are declared to be numbers."""
    if isinstance(node, FUNCTIONS):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        declared = [(argument.arg, argument.annotation, argument) for argument in arguments]
    elif isinstance(node, ast.ClassDef):
        fields = [field for field in node.body if isinstance(field, ast.AnnAssign)]
        declared = [(field.target.id, field.annotation, field) for field in fields]
    else:
        declared = []
    return [(name, place) for name, annotation, place in declared if is_number(annotation)]


def is_number(annotation):
    return annotation is not None and any(
        isinstance(part, ast.Name) and part.id in {"int", "float"} for part in ast.walk(annotation)
    )


def test_no_state_is_a_bare_string():
    assert bare_state_strings(ROOT) == []


def test_every_quantity_names_its_unit():
    assert quantities_without_units(ROOT) == []


def test_planted_bare_states_are_found(tmp_path):
    plant(
        tmp_path,
        {
            "services/a.py": "def f(task):\n    return task.state == 'open'\n",
            "services/b.py": "def f(task):\n    task.status = 'open'\n    g(state='open')\n",
            "services/c.py": "def f(task, State):\n    return task.state == State.OPEN\n",
        },
    )
    places = [line.split(": ")[0] for line in bare_state_strings(tmp_path)]
    assert places == ["services/a.py:2", "services/b.py:2", "services/b.py:3"]


def test_planted_unitless_quantities_are_found(tmp_path):
    plant(
        tmp_path,
        {
            "app/a.py": "def f(timeout: float | None, timeout_seconds: float): ...\n",
            "services/b.py": "class A:\n    reserve_price: int\n    price_microcredits: int\n",
        },
    )
    places = [line.split(": ")[0] for line in quantities_without_units(tmp_path)]
    assert places == ["app/a.py:1", "services/b.py:2"]
