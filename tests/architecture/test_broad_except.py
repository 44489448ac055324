"""Errors are caught by name. Everything is caught at three edges and where foreign code runs."""

import ast

from tests.architecture.source_tree import ROOT, dotted, parse, plant, python_files, where

EDGES = {
    "services/event_bus/delivering.py": "delivery: a failing handler rolls back only itself",
    "services/event_bus/dispatcher.py": "delivery: a database that refuses is asked again",
    "services/event_bus/subscribers.py": "delivery: what fails in preparing is recorded on that delivery",
    "services/cron_runner/firing.py": "a tick: a failing job is history, not the end of the scheduler",
    "services/cron_runner/attempts.py": "a job in its thread: whatever ends it is told to who waits for it",
    "services/cron_runner/runner.py": "a worker: a tick that could not be recorded is logged, others go on",
    "services/operations/probes.py": "a foreign verifier, or a check, that raises is told of; others go on",
    "services/evolution_ledger/holding.py": "a promotion that raises is told of; the others that wait go on",
    "services/store/group_commit.py": "a group of writes: a failing act is its caller's, not its neighbours'",
    "app/reports/delivering.py": "scheduled reports: one that fails is told of and tried again, others go on",
    "app/egress/sender.py": "webhooks: a try that cannot be recorded is made again, and holds up no other",
    "app/api/errors.py": "the HTTP boundary: an unknown error becomes a recorded 500",
    "app/agents/tool_process.py": "foreign code in an agent's child process: it reports and ends",
    "app/tasks/registry.py": "foreign code at import: a plug-in that breaks is listed, not loaded",
}
EVERYTHING = {"Exception", "BaseException"}


def broad_excepts(root):
    return [
        f"{where(root, path, node)}: name the errors this place can answer; the others belong to an edge"
        for path in python_files(root)
        if path.relative_to(root).as_posix() not in EDGES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ExceptHandler) and is_broad(node.type)
    ]


def is_broad(caught):
    if caught is None:
        return True
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(dotted(kind) in EVERYTHING for kind in kinds)


def test_everything_is_caught_only_at_the_edges():
    assert broad_excepts(ROOT) == []


def test_planted_broad_excepts_are_found(tmp_path):
    attempt = "try:\n    x = 1\nexcept{}:\n    raise\n"
    plant(
        tmp_path,
        {
            "app/bare.py": attempt.format(""),
            "app/pair.py": attempt.format(" (ValueError, Exception)"),
            "app/named.py": attempt.format(" ValueError"),
            "services/event_bus/delivering.py": attempt.format(" Exception"),
        },
    )
    assert [line.split(": ")[0] for line in broad_excepts(tmp_path)] == ["app/bare.py:3", "app/pair.py:3"]
