"""The bodies of the operator's acts on the ledger: a correction of an entry, the erasure of a text.

Stand beside `app.api.bodies`, strict and bounded like them. Who acts is never in a body.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from app.api.bodies import Body


class Correction(Body):
    """What is wrong with an entry, and what would be right."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the cause was the new source"}]})
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class TextErasure(Body):
    """Why a text is erased; it stays in the ledger, so it should not repeat the text."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "it named a person"}]})
    reason: Annotated[str, Field(min_length=1, max_length=500)]
