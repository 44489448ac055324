"""What the loop should find must come from data: no agent that judges may know the demonstration's answer."""

import re
from pathlib import Path

import pytest

from app.agents.agent_process import ROOT

AGENTS = ROOT / "app" / "agents"
JUDGES = sorted(
    path
    for pattern in (
        "voter*.py",
        "diagnos*.py",
        "investigation.py",
        "evidence.py",
        "excess.py",
        "tail.py",
        "memory.py",
        "former_values.py",
    )
    for path in AGENTS.glob(pattern)
)
TYPES = re.compile(r"research|monte_carlo|physics|ml_training|heavy|pareto", re.IGNORECASE)
VALUES = re.compile(r"(?<![\d.])(1\.8|90\.0|180)(?![\d.])")


@pytest.mark.parametrize("path", JUDGES, ids=lambda path: path.stem)
def test_no_judge_names_a_task_type_or_the_answer(path: Path):
    text = path.read_text()
    assert not TYPES.findall(text)
    assert not VALUES.findall(text)


def test_the_judges_are_all_here():
    assert len(JUDGES) >= 13
