"""The contracts in pyproject.toml hold, and each can turn red: import-linter here and on a planted tree.

The planted tree is the smallest that has every package the contracts name. Violations of every contract are
put in; without them all contracts are kept, so it is the violations that break them.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.architecture.source_tree import ROOT, plant

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
VERDICT = re.compile(r"^(?P<name>.+?) (?P<verdict>KEPT|BROKEN)$", re.MULTILINE)
SKELETON = {
    "app/lazy.py": "",
    "app/main.py": "import services.store.tx\n",
    "app/agents/__init__.py": "",
    "app/tasks/__init__.py": "",
    "services/loop.py": "import services.cron_runner\n",
    "services/cron_runner.py": "",
    "services/observatory.py": "",
    "services/meta_task_market.py": "",
    "services/proposal_system.py": "",
    "services/ab_sandbox.py": "",
    "services/evolution_ledger.py": "",
    "services/event_bus.py": "",
    "services/operations/__init__.py": "",
    "services/store/__init__.py": "",
    "services/store/tx.py": "import alembic\nimport sqlalchemy\n",
    "services/domain/__init__.py": "",
    "migrations/__init__.py": "",
    "app/__init__.py": "",
    "services/__init__.py": "",
}
VIOLATIONS = {
    "services/misplaced.py": "import app.main\n",
    "services/domain/tally.py": "import fastapi\nimport services.event_bus\n",
    "app/agents/spy.py": "import services.store.tx\n",
    "app/tasks/tool.py": "import services.domain\n",
    "app/page.py": "import sqlalchemy\nimport app.lazy\n",
    "app/lazy.py": "import app.page\n",
}


def verdicts(root):
    """Run import-linter in `root` and return contract name → kept?"""
    run = subprocess.run(
        [LINT_IMPORTS, "--no-logo", "--no-cache"],
        cwd=root,
        env={"PYTHONPATH": str(root), "COLUMNS": "500"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = {match["name"]: match["verdict"] == "KEPT" for match in VERDICT.finditer(run.stdout)}
    assert found, run.stdout + run.stderr
    return found, run.stdout


def planted(root, *groups):
    """Write a tree with this project's contracts in `root` and return it."""
    shutil.copy(ROOT / "pyproject.toml", root)
    for group in groups:
        plant(root, group)
    return root


def contract_names():
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["name"] for contract in configuration["tool"]["importlinter"]["contracts"]}


def test_every_contract_is_kept():
    found, output = verdicts(ROOT)
    assert found == dict.fromkeys(contract_names(), True), output


def test_every_contract_is_kept_by_the_planted_skeleton(tmp_path):
    found, output = verdicts(planted(tmp_path, SKELETON))
    assert found == dict.fromkeys(contract_names(), True), output


def test_every_contract_is_broken_by_its_planted_violation(tmp_path):
    found, output = verdicts(planted(tmp_path, SKELETON, VIOLATIONS))
    assert found == dict.fromkeys(contract_names(), False), output


def test_a_new_file_in_services_must_be_placed(tmp_path):
    found, output = verdicts(planted(tmp_path, SKELETON, {"services/newcomer.py": ""}))
    assert "newcomer" in output
    assert list(found.values()).count(False) == 1
