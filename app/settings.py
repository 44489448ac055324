"""Deployment settings from the environment (`NACRE_*`): where things are, never how the loop behaves.

Read once at start and immutable. What the loop may tune is a parameter (`services.domain.parameters`), which
is another thing. It never holds a default for a secret.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from services.domain.errors import InvalidValueError

COUNT_DIGITS = 7
MOST_AGENTS_SHOWN = 100


class Profile(StrEnum):
    """Which starting values and intervals a deployment begins with."""

    STANDARD = "standard"
    """The seed's values: hours, minutes, a timeout of 90 s."""
    DEMONSTRATION = "demonstration"
    """The same loop, scaled 1:100 and faster, so that a lap fits into two minutes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a deployment decides. Paths are relative to the working directory unless absolute."""

    database_url: str = "sqlite:///var/nacre.db"
    host: str = "127.0.0.1"
    port: int = 8000
    profile: Profile = Profile.STANDARD
    var_directory: Path = Path("var")
    operator_key: str | None = None
    document_origins: tuple[str, ...] = field(default=())
    document_folder: Path | None = None
    parameters_file: Path | None = None
    """TOML file with the operator's own parameters."""
    checkpoint_folder: Path | None = None
    """Where signed checkpoints of the ledger are kept besides the database; best on another machine."""
    requests_per_second: float = 500.0
    """How often one key may ask for long; 0 lifts the limit. A large body counts as several requests."""
    requests_at_once: int = 1_000
    """How many requests a key that was silent may make at once."""
    requests_under_way: int = 128
    """How many requests of one key may be under way at the same time, waiting calls included."""
    connections: int = 4_096
    """How many connections the server holds at the same time."""
    metrics_agents: int = 0
    """How many agents `/metrics` shows by name, those with the most work first; at most 100."""
    is_metrics_key_needed: bool = False
    """Whether `/metrics` asks for the operator's key; else it needs none, like the pages."""
    webhook_hosts: tuple[str, ...] = ()
    """Hosts that webhooks may lead to (`*.example.org`: all below it); empty means every public one."""
    webhook_private_hosts: tuple[str, ...] = ()
    """Hosts, by name or address, that webhooks may lead to although they lie in a private network."""
    webhook_ports: tuple[int, ...] = (443, 8_443)
    """Ports that webhooks may lead to."""
    is_webhook_loopback_allowed: bool = False
    """Whether webhooks may lead to this machine, also over http: for demonstrations and tests."""
    backup_folder: Path | None = None
    """Where `nacre backup` puts files with dated names; None: every backup is named."""

    report_folder: Path | None = None
    """Where scheduled reports go; None means `reports` in the directory of NACRE_VAR."""

    @property
    def reports_in(self) -> Path:
        """Return the folder of scheduled reports."""
        return self.report_folder or self.var_directory / "reports"

    @property
    def shown_database_url(self) -> str:
        """Return the database URL without its password."""
        return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", self.database_url)

    def with_database(self, database_url: str) -> "Settings":
        """Return the settings with another database."""
        return replace(self, database_url=database_url)


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings in the environment; raise InvalidValueError naming the variable that is wrong."""
    base = Settings()
    folder = environment.get("NACRE_DOCUMENT_ROOT")
    notes = environment.get("NACRE_CHECKPOINT_FOLDER")
    report_folder = environment.get("NACRE_REPORT_FOLDER")
    own = environment.get("NACRE_PARAMETERS")
    backups = environment.get("NACRE_BACKUP_FOLDER")
    return Settings(
        database_url=environment.get("NACRE_DATABASE_URL", base.database_url),
        host=environment.get("NACRE_HOST", base.host),
        port=_port(environment.get("NACRE_PORT", str(base.port))),
        profile=_profile(environment.get("NACRE_PROFILE", base.profile)),
        var_directory=Path(environment.get("NACRE_VAR", str(base.var_directory))),
        operator_key=environment.get("NACRE_OPERATOR_KEY") or None,
        document_origins=tuple(
            origin.strip()
            for origin in environment.get("NACRE_DOCUMENT_ORIGINS", "").split(",")
            if origin.strip()
        ),
        document_folder=Path(folder) if folder else None,
        checkpoint_folder=Path(notes) if notes else None,
        parameters_file=Path(own) if own else None,
        requests_per_second=_count(environment, "NACRE_REQUESTS_PER_SECOND", int(base.requests_per_second)),
        requests_at_once=_count(environment, "NACRE_REQUESTS_AT_ONCE", base.requests_at_once, lowest=1),
        requests_under_way=_count(environment, "NACRE_REQUESTS_UNDER_WAY", base.requests_under_way, lowest=1),
        connections=_count(environment, "NACRE_CONNECTIONS", base.connections, lowest=1),
        metrics_agents=min(
            MOST_AGENTS_SHOWN, _count(environment, "NACRE_METRICS_AGENTS", base.metrics_agents)
        ),
        is_metrics_key_needed=_yes(environment, "NACRE_METRICS_NEED_KEY"),
        webhook_hosts=_names(environment, "NACRE_WEBHOOK_HOSTS"),
        webhook_private_hosts=_names(environment, "NACRE_WEBHOOK_PRIVATE_HOSTS"),
        webhook_ports=_ports(environment, "NACRE_WEBHOOK_PORTS", base.webhook_ports),
        is_webhook_loopback_allowed=_yes(environment, "NACRE_WEBHOOK_LOOPBACK"),
        report_folder=Path(report_folder) if report_folder else None,
        backup_folder=Path(backups) if backups else None,
    )


def _names(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return names separated by commas, in lower case."""
    return tuple(one.strip().lower() for one in environment.get(name, "").split(",") if one.strip())


def _ports(environment: Mapping[str, str], name: str, standard: tuple[int, ...]) -> tuple[int, ...]:
    texts = _names(environment, name)
    if not all(text.isascii() and text.isdigit() and 0 < int(text[:9]) < 65536 for text in texts):  # noqa: PLR2004 (the highest port and one)
        msg = f"{name} must be ports from 1 to 65535, separated by commas, not {environment.get(name)!r}"
        raise InvalidValueError(msg, field=name)
    return tuple(map(int, texts)) or standard


def _yes(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "").strip().lower()
    if text not in ("", "yes", "no"):
        msg = f"{name} must be yes or no, not {text!r}"
        raise InvalidValueError(msg, field=name)
    return text == "yes"


def _count(environment: Mapping[str, str], name: str, standard: int, *, lowest: int = 0) -> int:
    text = environment.get(name, str(standard))
    if not (text.isascii() and text.isdigit() and len(text) <= COUNT_DIGITS) or int(text) < lowest:
        msg = f"{name} must be a whole number from {lowest} to {10**COUNT_DIGITS - 1}, not {text!r}"
        raise InvalidValueError(msg, field=name)
    return int(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 <= int(text) < 65536:  # noqa: PLR2004 (the highest port and one)
        msg = f"NACRE_PORT must be a port from 0 to 65535, not {text!r}"
        raise InvalidValueError(msg, field="NACRE_PORT")
    return int(text)


def _profile(text: str) -> Profile:
    try:
        return Profile(text)
    except ValueError as error:
        msg = f"NACRE_PROFILE must be one of {[str(profile) for profile in Profile]}, not {text!r}"
        raise InvalidValueError(msg, field="NACRE_PROFILE") from error
