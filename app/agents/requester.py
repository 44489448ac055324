"""The demonstration's requester: posts a mixed load of the four task types at a steady rate.

Runs as `python -m app.agents.requester [--rate-per-second 6] [--seed 7] [--documents-url URL]`, each also by
environment. It skips a beat while too many of its tasks are open, and never looks at what became of them.
"""

import argparse
import asyncio
import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

import httpx2

from app.agents import runtime
from app.agents.client import ApiProblem, JsonObject, NacreClient
from app.agents.load import DOCUMENTS_PER_QUESTION, Document, wanted_task
from app.agents.runtime import Pace, log
from app.tasks.research_synthesis.documents import document_text, listed_urls

OPEN_MAX = 60
OPEN_STATES = ("bidding", "awarded", "leased", "submitted")
RECOUNT_SECONDS = 1.0
SOURCE_SECONDS = 3.0
SOURCE_ROUNDS = 3
BIDDERS_SECONDS = 25.0
CATCH_UP_SECONDS = 0.5  # a requester that was held up does not post a burst afterwards


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How much of what to post, and how many tasks may be open at once."""

    rate_per_second: float
    seed: int
    documents: tuple[Document, ...]
    open_max: int = OPEN_MAX


class Requester:
    """Posts the n-th task of the plan when its time has come."""

    def __init__(self, client: NacreClient, plan: LoadPlan) -> None:
        self._client = client
        self._plan = plan
        self._number = 0
        self._next_at = time.monotonic()
        self._open = 0
        self._recount_at = 0.0

    def step(self) -> bool:
        """Post what is due, then rest until the next task is."""
        now = time.monotonic()
        if now >= self._recount_at:
            self._open = self._count_open()
            self._recount_at = now + RECOUNT_SECONDS
        if now >= self._next_at:
            self._next_at = max(self._next_at, now - CATCH_UP_SECONDS) + 1.0 / self._plan.rate_per_second
            if self._open < self._plan.open_max:
                self._post()
        time.sleep(max(0.0, min(self._next_at, self._recount_at) - time.monotonic()))
        return True

    def _post(self) -> None:
        wanted = wanted_task(self._number, self._plan.seed, self._plan.documents)
        self._number += 1
        try:
            self._client.post("/tasks", {"type": wanted.type, "payload": wanted.payload})
            self._open += 1
        except ApiProblem as problem:
            log(f"task {self._number} was not taken: {problem}")

    def _count_open(self) -> int:
        limit = self._plan.open_max + 1
        pages = (
            self._client.get("/tasks", requester="me", state=state, limit=limit) for state in OPEN_STATES
        )
        return sum(len(page["items"]) for page in pages)


def silent_bidders(agents: Sequence[JsonObject]) -> list[str]:
    """The names of those that may bid and have not shown up since they were registered."""
    return [
        agent["name"]
        for agent in agents
        if "bid" in agent["scopes"] and agent["last_active_at"] <= agent["registered_at"]
    ]


def wait_for_bidders(client: NacreClient, patience_seconds: float = BIDDERS_SECONDS) -> None:
    """Wait until every bidder has shown up: work posted to workers that still load their tools would time
    out for no reason of its own.
    """
    until = time.monotonic() + patience_seconds
    while missing := silent_bidders(list(client.items("/agents"))):
        if time.monotonic() >= until:
            break
        time.sleep(0.25)
    else:
        return
    log(f"starting although these bidders are silent: {', '.join(missing)}")


async def _read_all(urls: Sequence[str]) -> tuple[Document, ...]:
    """Those of the documents that answer in time, in the order of `urls`."""
    async with httpx2.AsyncClient(timeout=SOURCE_SECONDS, trust_env=False) as client:
        tasks = [asyncio.create_task(client.get(url)) for url in urls]
        await asyncio.wait(tasks, timeout=SOURCE_SECONDS)
        read = []
        for url, task in zip(urls, tasks, strict=True):
            if not task.done() or task.exception() is not None:
                task.cancel()
            elif task.result().status_code == httpx2.codes.OK:
                read.append(Document(url, document_text(task.result().content)))
        await asyncio.gather(*tasks, return_exceptions=True)
    return tuple(read)


def documents_of(source_url: str) -> tuple[Document, ...]:
    """The documents that the source lists in /index.json and hands out within a few seconds; may be none."""
    index_url = urljoin(source_url, "/index.json")
    for _round in range(SOURCE_ROUNDS):
        try:
            index = httpx2.get(index_url, timeout=SOURCE_SECONDS, trust_env=False).raise_for_status()
            documents = asyncio.run(_read_all(listed_urls(index.content, index_url)))
        except (httpx2.HTTPError, ValueError, json.JSONDecodeError) as error:
            log(f"no documents from {index_url}: {error}")
            documents = ()
        if len(documents) >= DOCUMENTS_PER_QUESTION:
            return documents
        time.sleep(RECOUNT_SECONDS)
    return ()


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the plan from arguments or environment, and post until told to end."""
    environment = os.environ
    parser = argparse.ArgumentParser(description="Post a mixed load of tasks at a steady rate.")
    parser.add_argument(
        "--rate-per-second", type=float, default=float(environment.get("NACRE_RATE_PER_SECOND", "6"))
    )
    parser.add_argument(
        "--seed", type=int, default=int(environment.get("NACRE_SEED", random.getrandbits(31)))
    )
    parser.add_argument("--documents-url", default=environment.get("NACRE_DOCUMENTS_URL"))
    chosen = parser.parse_args(arguments)
    runtime.end_on_sigterm()
    documents = documents_of(chosen.documents_url) if chosen.documents_url else ()
    plan = LoadPlan(chosen.rate_per_second, chosen.seed, documents)
    log(f"posting {plan.rate_per_second:g} tasks/s, seed {plan.seed}, {len(documents)} documents")
    with NacreClient.from_environment() as client:
        wait_for_bidders(client)
        runtime.run(Requester(client, plan).step, Pace(busy_seconds=0.0, idle_seconds=0.0))


if __name__ == "__main__":
    main()
