"""The example in docs/task-types.md works as it stands, installed the way the page says."""

import re
from importlib.metadata import distributions
from pathlib import Path

import pytest

from app.tasks.registry import ENTRY_POINT_GROUP, TASK_TYPE_REGISTRY, load_registry
from tests.app.tasks.trials import nothing_to_fetch

PAGE = Path(__file__).parents[3] / "docs" / "task-types.md"
EXAMPLE, ENTRY_POINT = (
    re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL).group(1)
    for language in ("python", "toml")
)


@pytest.fixture
def factoring(tmp_path, monkeypatch):
    """The example's type, found through the metadata of an installed package."""
    (tmp_path / "nacre_factoring.py").write_text(EXAMPLE, encoding="utf-8")
    metadata = tmp_path / "nacre_factoring-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: nacre-factoring\nVersion: 1.0\n")
    name, path = re.search(r'(\w+) = "(.*)"', ENTRY_POINT).groups()
    (metadata / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{name} = {path}\n")
    monkeypatch.syspath_prepend(tmp_path)
    (installed,) = distributions(path=[str(tmp_path)])
    assert f'"{ENTRY_POINT_GROUP}"' in ENTRY_POINT
    loaded = load_registry(installed.entry_points)
    assert loaded.broken == ()
    return loaded.types["factoring"]


def test_the_example_is_found_works_and_is_verified(factoring):
    task = factoring.prepare(factoring.example)
    result = factoring.load_tool()(task.public, 1.0, 5.0)
    assert result == {"factors": [97, 103]}
    assert factoring.load_verifier()(task.public, task.private, result, nothing_to_fetch).is_verified


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ({"factors": [9991]}, "not_prime"),
        ({"factors": [97, 101]}, "wrong_product"),
        ({"factors": "97, 103"}, "malformed_result"),
    ],
    ids=["lazy", "wrong", "malformed"],
)
def test_the_example_refuses_what_is_wrong(factoring, result, code):
    task = factoring.prepare(factoring.example)
    verdict = factoring.load_verifier()(task.public, task.private, result, nothing_to_fetch)
    assert (verdict.is_verified, verdict.code) == (False, code)


def test_a_poor_worker_of_the_example_fails(factoring):
    task = factoring.prepare(factoring.example)
    result = factoring.load_tool()(task.public, 0.5, 5.0)
    assert not factoring.load_verifier()(task.public, task.private, result, nothing_to_fetch).is_verified


def test_the_page_names_every_built_in_type_and_variable():
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in TASK_TYPE_REGISTRY)
    assert all(name in text for name in ("NACRE_DOCUMENT_ROOT", "ANTHROPIC_API_KEY", "NACRE_CLAUDE_MODEL"))
