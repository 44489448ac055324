"""A payload from the command line: JSON, a file, or standard input, under the API's rules for JSON.

Stands before the market. It never repairs what it reads.
"""

import json
import sys
from pathlib import Path
from typing import Any

from app.api.middleware import BODY_LIMIT_BYTES
from app.api.strict_json import BodyRefusedError, check_json
from app.tasks.task_type import TaskType
from services.domain.errors import InvalidValueError

STANDARD_INPUT = "-"
FILE_MARK = "@"


def read_payload(kind: TaskType, argument: str | None, option: str | None) -> dict[str, Any]:
    """Return the payload object; raise InvalidValueError when there is none, two, or it is no JSON object."""
    if argument is not None and option is not None:
        raise _refused("give the payload once: as the second argument or as --payload")
    source = argument if argument is not None else option
    if source is None:
        example = json.dumps(kind.example)
        raise _refused(f"{kind.name} needs a payload, like: nacre task post {kind.name} '{example}'")
    return parse_object(_content(source))


def parse_object(content: bytes) -> dict[str, Any]:
    """Return the JSON object that the bytes spell; raise InvalidValueError for anything else."""
    if len(content) > BODY_LIMIT_BYTES:
        raise _refused(f"the payload is larger than {BODY_LIMIT_BYTES} bytes")
    try:
        check_json(content)
        value = json.loads(content)
    except BodyRefusedError as error:
        raise _refused(str(error).replace("the body", "the payload")) from error
    if not isinstance(value, dict):
        raise _refused("the payload must be a JSON object, like {}")
    return value


def _content(source: str) -> bytes:
    if source == STANDARD_INPUT:
        return sys.stdin.buffer.read(BODY_LIMIT_BYTES + 1)
    if not source.startswith(FILE_MARK):
        return source.encode("utf-8", "surrogateescape")
    path = Path(source.removeprefix(FILE_MARK))
    try:
        with path.open("rb") as file:
            return file.read(BODY_LIMIT_BYTES + 1)
    except OSError as error:
        raise _refused(f"{path} cannot be read: {error.strerror}", "file_unreadable") from error


def _refused(detail: str, code: str = "invalid_payload") -> InvalidValueError:
    return InvalidValueError(detail, field="payload", code=code)
