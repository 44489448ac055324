"""What verifiers share: reading a result that may be anything, and saying yes or no with a reason.
A result is refused by naming its first field that does not fit. Nothing here raises for a hostile result.
"""

import math
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from app.tasks.task_type import Verification

M = TypeVar("M", bound=BaseModel)

DOCUMENTS = "known_documents"
"""Key of what the platform holds back under which a known case brings its documents, text by address."""


class Result(BaseModel):
    """Base of result models: strict types, finite numbers, no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def verified(sentence: str, **measures: float | str) -> Verification:
    """The result stands."""
    return Verification(is_verified=True, reason=f"verified: {sentence}", measures=_finite(measures))


def refused(code: str, sentence: str, **measures: float | str) -> Verification:
    """The result does not stand, because of `code`."""
    return Verification(is_verified=False, reason=f"{code}: {sentence}", measures=_finite(measures))


def read_result(model: type[M], result: object) -> M | Verification:
    """The result as `model`, or the refusal that names its first wrong field."""
    try:
        return model.model_validate(result)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        path = ".".join(["result", *(_shown(part) for part in first["loc"])])
        return refused("malformed_result", f"{path}: {first['msg']}")


def _shown(part: object) -> str:
    """A path segment fit for a log: short, ASCII."""
    return str(part)[:60].encode("ascii", "backslashreplace").decode()


def _finite(measures: dict[str, float | str]) -> dict[str, float | str]:
    return {name: value for name, value in measures.items() if isinstance(value, str) or math.isfinite(value)}
