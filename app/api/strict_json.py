"""Requests have one meaning or are refused: bodies are strict JSON, queries name known parameters once.

Stands before every route of the API. Refused in bodies, with a 400: NaN and Infinity, integers beyond 64
bits, lone surrogates, NUL characters, repeated names, deep nesting; in queries, with a 422: names that the
route does not take, and names that stand twice. It never repairs a request.
"""

import hashlib
import json
import math
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from app.api.errors import STATUS_OF, problem

DEEPEST_NESTING = 32
LARGEST_INTEGER = 2**63 - 1
INTEGER_DIGITS = 19
SHOWN_NAME = 64


class BodyRefusedError(ValueError):
    """The body is not strict JSON; the message says why."""


class StrictRoute(APIRoute):
    """A route whose query and body are checked before anything else; the digest goes to `request.state`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route behind the check."""
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            body = await request.body()
            request.state.body_sha256 = hashlib.sha256(body).hexdigest()
            refusal = _query_refusal(request, self.dependant) if request.scope["query_string"] else None
            if refusal is None and body:
                refusal = _refusal(request, body)
            return refusal or await handle(request)

        return checked


def _query_refusal(request: Request, route: Dependant) -> Response | None:
    """Return the refusal of a query that says what the route does not hear, None for any other."""
    taken = sorted(_query_names(route))
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        shown = name[:SHOWN_NAME]
        if name not in taken:
            there = f"this path takes {', '.join(taken)}" if taken else "this path takes none"
            sentence = f"there is no query parameter {shown!r}; {there}"
        elif names.count(name) > 1:
            sentence = f"the query parameter {shown!r} is given more than once; give it once"
        else:
            continue
        code = "query_parameter_unknown" if name not in taken else "query_parameter_repeated"
        return problem(STATUS_OF["validation_failed"], code, sentence, field=f"query.{shown}")
    return None


def _query_names(dependant: Dependant) -> set[str]:
    """Return the names of the query parameters of a route and of all that it depends on."""
    own = {str(parameter.alias) for parameter in dependant.query_params}
    return own.union(*map(_query_names, dependant.dependencies))


def _refusal(request: Request, body: bytes) -> Response | None:
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        sentence = "send the body as JSON with the header Content-Type: application/json"
        return problem(STATUS_OF["unsupported_media_type"], "unsupported_media_type", sentence)
    try:
        check_json(body)
    except BodyRefusedError as error:
        return problem(STATUS_OF["body_not_json"], "body_not_json", str(error), field="body")
    return None


def check_json(body: bytes) -> Any:
    """Return what the body says; raise BodyRefusedError unless it is strict JSON."""
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BodyRefusedError("the body is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise BodyRefusedError(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except RecursionError as error:
        raise BodyRefusedError(f"the body is nested deeper than {DEEPEST_NESTING} levels") from error
    _check_values(value)
    return value


def _check_values(value: Any) -> None:
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if depth > DEEPEST_NESTING:
            raise BodyRefusedError(f"the body is nested deeper than {DEEPEST_NESTING} levels")
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, dict):
            waiting.extend((key, depth) for key in item)
            waiting.extend((child, depth + 1) for child in item.values())
        elif isinstance(item, list):
            waiting.extend((child, depth + 1) for child in item)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise BodyRefusedError("a text holds a NUL character, which is not text")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise BodyRefusedError("a text holds a lone surrogate, which is not text")


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > INTEGER_DIGITS or abs(int(text)) > LARGEST_INTEGER:
        raise BodyRefusedError(f"an integer lies beyond ±{LARGEST_INTEGER}")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BodyRefusedError("a number is too large; numbers must be finite")
    return value


def _constant(text: str) -> NoReturn:
    raise BodyRefusedError(f"{text} is not JSON; numbers must be finite")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise BodyRefusedError("an object has the same name twice")
    return made


_DECODER = json.JSONDecoder(
    parse_int=_integer, parse_float=_number, parse_constant=_constant, object_pairs_hook=_object
)
