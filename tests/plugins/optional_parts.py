"""Optional parts: what a machine may lack, how tests ask for it, and what is said at the end.

A test that needs such a part asks for its fixture. Where the part is missing the test is skipped through
`missing()`, and the last lines of the run say how many tests were left out, for lack of what, and how to get
it. With the environment variable TEST_REQUIRE (part names, separated by blanks) a missing part is a failure
instead: that is how CI makes sure that it really leaves nothing out.
"""

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest


@dataclass(frozen=True)
class OptionalPart:
    """One thing tests can do without: its name in TEST_REQUIRE, its name for people, and how to get it."""

    name: str
    title: str
    remedy: str


CHROMIUM = OptionalPart("chromium", "Chromium", "install it (apt-get install chromium) or set CHROMIUM_PATH")
CLAUDE = OptionalPart("claude", "an Anthropic key", "set ANTHROPIC_API_KEY; nothing else needs it")
POSTGRESQL = OptionalPart(
    "postgresql",
    "PostgreSQL",
    "unset TEST_DB, or name a server where you may create databases in TEST_DB_URL",
)
TYPST = OptionalPart("typst", "Typst", "install nacre[pdf]")
OPTIONAL_PARTS = (CHROMIUM, CLAUDE, POSTGRESQL, TYPST)
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome-headless-shell")


def missing(part: OptionalPart, why: str) -> NoReturn:
    """Leave the running test out for lack of `part`, or fail it when TEST_REQUIRE names the part."""
    if part.name in os.environ.get("TEST_REQUIRE", "").split():
        pytest.fail(f"needs {part.title}: {why}; TEST_REQUIRE asks for it", pytrace=False)
    pytest.skip(f"needs {part.title}: {why}")


def find_chromium() -> str | None:
    """Return the path of a Chromium that can be started, or None."""
    configured = os.environ.get("CHROMIUM_PATH")
    if configured:
        return configured if Path(configured).is_file() else None
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Path of Chromium. As root it must be started with `--no-sandbox`."""
    return find_chromium() or missing(CHROMIUM, "none found on PATH or in CHROMIUM_PATH")


@pytest.fixture(scope="session")
def typst() -> None:
    """Nothing; a test that asks for it writes PDFs."""
    if find_spec("typst") is None:
        missing(TYPST, "the package typst is not installed")


@pytest.fixture
def anthropic_api_key() -> str:
    """The key tests that really call Claude use."""
    return os.environ.get("ANTHROPIC_API_KEY") or missing(CLAUDE, "ANTHROPIC_API_KEY is not set")


def what_was_left_out(reasons: list[str]) -> list[str]:
    """Turn the reasons of all skipped tests into the closing lines: one per missing part or other reason."""
    if not reasons:
        return ["nothing: every test had what it needs"]
    lines = []
    counted = Counter(reasons)
    for part in OPTIONAL_PARTS:
        matching = [reason for reason in counted if reason.startswith(f"needs {part.title}: ")]
        number = sum(counted.pop(reason) for reason in matching)
        if number:
            lines.append(f"{number} for lack of {part.title} - {part.remedy}")
    lines += [f"{number} because: {reason}" for reason, number in sorted(counted.items())]
    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was left out and why; with pytest-xdist this runs once, in the main process."""
    reasons = []
    for report in terminalreporter.stats.get("skipped", []):
        longrepr = report.longrepr
        text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
        reasons.append(text.removeprefix("Skipped: "))
    terminalreporter.section("tests left out", sep="-")
    for line in what_was_left_out(reasons):
        terminalreporter.write_line(line)
