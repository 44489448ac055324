"""A file that outgrows its reader becomes several: 450 lines for code, 600 for tests."""

from tests.architecture.source_tree import EVERYTHING, ROOT, plant, python_files, where

CODE_LINES = 450
TEST_LINES = 600


def too_long(root):
    found = []
    for path in python_files(root, *EVERYTHING):
        if "versions" in path.relative_to(root).parts:
            continue  # a migration is one list of tables, written once and never edited
        number = len(path.read_text(encoding="utf-8").splitlines())
        limit = TEST_LINES if path.relative_to(root).parts[0] == "tests" else CODE_LINES
        if number > limit:
            found.append(
                f"{where(root, path)}: {number} lines, at most {limit}; split it by subject "
                "(a layer becomes a package of the same import name)"
            )
    return found


def test_no_file_is_too_long():
    assert too_long(ROOT) == []


def test_a_planted_long_file_is_found(tmp_path):
    plant(
        tmp_path,
        {"app/long.py": "x = 1\n" * 451, "app/fits.py": "x = 1\n" * 450, "tests/long.py": "x = 1\n" * 600},
    )
    assert [line.split(":")[0] for line in too_long(tmp_path)] == ["app/long.py"]
