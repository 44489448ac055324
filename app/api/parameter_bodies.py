"""The bodies of a person's own changes of the config: one value, or an export that comes back.

Stand beside `app.api.bodies`, strict and bounded like them. Values are text whatever their kind.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from app.api import examples
from app.api.bodies import LARGEST_ID, Body

VALUE_LENGTH_MAX = 8_000
"""More than any text may have, so that one too long is refused by its own name."""
PARAMETERS_MOST = 2_000

Value = Annotated[str, Field(max_length=VALUE_LENGTH_MAX)]
Version = Annotated[int, Field(ge=1, le=LARGEST_ID)]
Why = Annotated[str, Field(min_length=1, max_length=500)]
Name = Annotated[str, Field(min_length=1, max_length=96)]


class Override(Body):
    """A value that a person puts into force, and the version that it was decided on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"value": "16", "expected_version": 1, "reason": "the new agents need longer"}]
        }
    )
    value: Value
    expected_version: Version
    reason: Why


class ImportedValue(Body):
    """A value of an export; with `version` it is only set where that version is still in force."""

    value: Value
    version: Version | None = None


class Import(Body):
    """Values to put into force together; `dry_run` only shows what would change."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "parameters": {examples.TIMEOUT: {"value": "1.8", "version": 1}},
                    "reason": "back to last week's",
                    "dry_run": False,
                }
            ]
        }
    )
    parameters: Annotated[dict[Name, ImportedValue], Field(min_length=1, max_length=PARAMETERS_MOST)]
    reason: Why
    dry_run: bool = False
