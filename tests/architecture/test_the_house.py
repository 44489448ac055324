"""The top level and `ls services` show the system: what the product is made of, and nothing else."""

from tests.architecture.source_tree import NOT_OURS, ROOT, is_cache, plant

TOP = {
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "app",
    "cron_registry.py",
    "docs",
    "migrations",
    "pyproject.toml",
    "requirements.lock",
    "services",
    "tests",
}
LAYERS = {
    "observatory",
    "event_bus",
    "cron_runner",
    "meta_task_market",
    "proposal_system",
    "ab_sandbox",
    "evolution_ledger",
}
SERVICES = LAYERS | {"loop", "domain", "store", "operations"}
DATA = {".db", ".db-wal", ".db-shm", ".env", ".log"}


def strangers_on_top(root):
    names = {entry.name for entry in root.iterdir() if entry.suffix not in DATA and not is_cache(entry.name)}
    return [
        f"{name}: the top level is fixed; code goes into app/ or services/, words into docs/"
        for name in sorted(names - TOP - NOT_OURS)
    ]


def strangers_in_services(root):
    names = {entry.name.removesuffix(".py") for entry in (root / "services").iterdir()}
    return [
        f"services/{name}: is a part of one of the layers, of domain/ (computes), store/ (SQL) or operations/"
        for name in sorted(names - SERVICES - NOT_OURS - {"__init__"})
    ]


def test_the_top_level_is_the_agreed_one():
    assert strangers_on_top(ROOT) == []


def test_services_shows_the_loop_the_layers_and_three_folders():
    assert strangers_in_services(ROOT) == []
    missing = [name for name in sorted(SERVICES) if not list((ROOT / "services").glob(f"{name}*"))]
    assert missing == [], "every layer has its place in services/, under the name the README gives it"


def test_planted_strangers_are_found(tmp_path):
    plant(
        tmp_path,
        {"tools.py": "", "services/loop.py": "", "services/reporting.py": "", "services/domain/money.py": ""},
    )
    assert [line.split(": ")[0] for line in strangers_on_top(tmp_path)] == ["tools.py"]
    assert [line.split(": ")[0] for line in strangers_in_services(tmp_path)] == ["services/reporting"]
