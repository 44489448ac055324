"""One owner of the transaction: `services/store/tx.py` is the only file that commits."""

import ast

from tests.architecture.source_tree import ROOT, parse, plant, python_files, where

OWNER = "services/store/tx.py"


def commits_elsewhere(root):
    return [
        f"{where(root, path, node)}: take the caller's Tx and leave the commit to {OWNER}"
        for path in python_files(root)
        if path != root / OWNER
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "commit"
    ]


def test_only_the_owner_commits():
    assert commits_elsewhere(ROOT) == []


def test_a_planted_commit_is_found(tmp_path):
    source = "def f(session):\n    session.commit()\n"
    plant(tmp_path, {"services/store/tx.py": source, "services/event_bus.py": source})
    assert [line.split(": ")[0] for line in commits_elsewhere(tmp_path)] == ["services/event_bus.py:2"]
