"""What is in the tree is finished: no notes to oneself, no bodies that only say they are missing."""

import re

from tests.architecture.source_tree import EVERYTHING, ROOT, plant, python_files, where

MARKS = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")
MARK = re.compile(rf"\b({'|'.join(MARKS)})\b")


def left_open(root):
    return [
        f"{where(root, path)}:{number}: finish it, or leave the whole thing out and say so in the change log"
        for path in python_files(root, *EVERYTHING)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if MARK.search(line)
    ]


def test_nothing_is_left_open():
    assert left_open(ROOT) == []


def test_planted_marks_are_found(tmp_path):
    plant(
        tmp_path,
        {
            "app/note.py": f"x = 1  # {MARKS[0]}\n",
            "app/stub.py": f"\nraise {MARKS[3]}\n",
            "app/done.py": "x = 1\n",
        },
    )
    assert [line.split(": ")[0] for line in left_open(tmp_path)] == ["app/note.py:1", "app/stub.py:2"]
