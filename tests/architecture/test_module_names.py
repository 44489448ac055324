"""A module is named for what is in it; some names say only that nobody knew where to put it."""

from tests.architecture.source_tree import EVERYTHING, ROOT, plant, python_files, where

SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "base", "misc"}


def nameless(root):
    return [
        f"{where(root, path)}: '{part}' says nothing; name the module for what is in it"
        for path in python_files(root, *EVERYTHING)
        for part in path.relative_to(root).with_suffix("").parts
        if part.strip("_").removeprefix("test_") in SAYS_NOTHING
    ]


def test_every_module_is_named_for_what_is_in_it():
    assert nameless(ROOT) == []


def test_a_planted_nameless_module_is_found(tmp_path):
    plant(
        tmp_path,
        {
            "app/_common.py": "",
            "services/utils/text.py": "",
            "services/base_rate.py": "",
            "tests/test_helpers.py": "",
        },
    )
    places = [line.split(": ")[0] for line in nameless(tmp_path)]
    assert places == ["app/_common.py", "services/utils/text.py", "tests/test_helpers.py"]
