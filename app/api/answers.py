"""What answers look like: JSON bytes, pages, and how each route is described in the OpenAPI document.

Stands beside the routes. Descriptions are made from examples, one per route, so that a reader sees real
shapes and no schema can drift from them unseen. It never touches the database.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Depends, Path, Query, Response

from app.api.errors import PROBLEM_JSON
from services.domain.errors import NotFoundError
from services.store.views import LIMIT_DEFAULT, LIMIT_HIGHEST

JsonObject = dict[str, Any]
LARGEST_ID = 2**63 - 1

Id = Annotated[int, Path(ge=1, le=LARGEST_ID, examples=[1])]
Word = Annotated[str, Query(max_length=96, pattern=r"^[A-Za-z0-9_.:\-]+$")]
Limit = Annotated[int, Query(ge=1, le=LIMIT_HIGHEST, description="how many items a page may hold")]
Cursor = Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before; opaque")]

_REASONS = {
    400: "the body is not strict JSON, or the Idempotency-Key is missing or malformed",
    401: "no key, or nobody's",
    403: "the key may not do this",
    404: "it does not exist",
    409: "not in the state this needs, or the Idempotency-Key was used for another request",
    422: "a value is wrong; `field` says which and `detail` what would be right",
    429: "this key asks more often than it may; `Retry-After` says when to come back",
}
_PROBLEM_EXAMPLE = {
    "type": "urn:nacre:problem:validation_failed",
    "title": "Validation failed",
    "status": 422,
    "detail": "body.ask_microcredits: Input should be a valid integer",
    "code": "validation_failed",
    "transient": False,
    "field": "body.ask_microcredits",
}


@dataclass(frozen=True, slots=True)
class Paging:
    """The page that was asked for, as the read models take it."""

    limit: int
    cursor: str | None
    oldest_first: bool

    def arguments(self) -> JsonObject:
        """Return the keyword arguments of a paged read model."""
        return {"limit": self.limit, "cursor": self.cursor, "oldest_first": self.oldest_first}


async def paging(
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    order: Annotated[Literal["newest", "oldest"], Query(description="which end to begin at")] = "newest",
) -> Paging:
    """Return the page that the query asks for."""
    return Paging(limit, cursor, order == "oldest")


PageAsked = Annotated[Paging, Depends(paging)]


def answer(content: Mapping[str, object], status: int = 200) -> Response:
    """Return `content` as JSON; a number that is not finite is null."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def found(item: JsonObject | None, what: str, item_id: object) -> Response:
    """Return the item, or raise NotFoundError when there is none."""
    return answer(existing(item, what, item_id))


def existing(item: JsonObject | None, what: str, item_id: object) -> JsonObject:
    """Return the item itself, or raise NotFoundError when there is none."""
    if item is None:
        raise NotFoundError(f"there is no {what} {item_id}")
    return item


def page_of(item: JsonObject) -> JsonObject:
    """Return the example of a page with this one item."""
    return {"items": [item], "next_cursor": None}


def described(example: JsonObject, *problems: int, status: int = 200) -> JsonObject:
    """Return the keyword arguments that describe a route: its answer by example, and its refusals."""
    content = {"application/json": {"schema": schema_of(example), "example": example}}
    told: dict[int | str, JsonObject] = {
        status: {"description": "done" if status != 200 else "the answer", "content": content}  # noqa: PLR2004
    }
    responses = {**told, **refusals(401, 422, 429, *problems)}
    return {"status_code": status, "response_model": None, "responses": responses}


def refusals(*statuses: int) -> dict[int | str, JsonObject]:
    """Return how refusals with these statuses are described."""
    return {
        status: {
            "description": _REASONS[status],
            "content": {PROBLEM_JSON: {"schema": schema_of(_PROBLEM_EXAMPLE), "example": _PROBLEM_EXAMPLE}},
        }
        for status in sorted(set(statuses))
    }


def schema_of(example: object) -> JsonObject:
    """Return a JSON schema that the example fits; a null says nothing of its type."""
    if isinstance(example, dict):
        return {"type": "object", "properties": {name: schema_of(item) for name, item in example.items()}}
    if isinstance(example, list):
        return {"type": "array", "items": schema_of(example[0]) if example else {}}
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string")):
        if isinstance(example, kind):
            return {"type": name}
    return {}
