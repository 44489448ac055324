"""One task of a type from payload to verdict, as the platform and a worker would do it between them."""

import json

from app.tasks.registry import TASK_TYPE_REGISTRY

DEADLINE_SECONDS = 30.0


def nothing_to_fetch(url):
    raise OSError(f"{url} was not expected to be fetched")


def prepared(name, **changes):
    kind = TASK_TYPE_REGISTRY[name]
    return kind.prepare({**kind.example, **changes})


def worked(name, task, effort=1.0, deadline_seconds=DEADLINE_SECONDS):
    """The tool's result after a trip through JSON, as it would arrive."""
    result = TASK_TYPE_REGISTRY[name].load_tool()(task.public, effort, deadline_seconds)
    return json.loads(json.dumps(result, allow_nan=False))


def judged(name, task, result, fetch=nothing_to_fetch):
    return TASK_TYPE_REGISTRY[name].load_verifier()(task.public, task.private, result, fetch)


def codes(name, payloads, effort, fetch=nothing_to_fetch):
    """The verdict's code for each payload."""
    found = []
    for payload in payloads:
        task = prepared(name, **payload)
        found.append(judged(name, task, worked(name, task, effort), fetch).code)
    return found
