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
    )


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
