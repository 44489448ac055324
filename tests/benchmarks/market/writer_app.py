"""Peer: the same small market with care: typed async endpoints, one writer thread that groups commits.

FastAPI, pydantic models, keys in a dictionary, plain SQL over sqlite3, every transition a conditional UPDATE
judged by its row count; whatever waits is written in one FULL commit and answered after it. Tasks are awarded
set-wise ten times a second. Served by uvicorn in a process of its own (`MARKET_DB` names its file).
"""

import asyncio
import hashlib
import os
import queue
import sqlite3
import threading
import time
from contextlib import asynccontextmanager, suppress
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field

AWARD_SECONDS = 0.1
BIDS_WANTED = 3
AGENTS = 50
GROUP = 256
OPEN, AWARDED, LEASED, SETTLED = range(4)

TABLES = """
CREATE TABLE agent (id INTEGER PRIMARY KEY, balance INTEGER, reputation REAL, jobs INTEGER);
CREATE TABLE task (id INTEGER PRIMARY KEY, state INTEGER, type TEXT, reward INTEGER, requester_id INTEGER,
                   agent_id INTEGER, price INTEGER, leased_until REAL, result TEXT);
CREATE INDEX task_open ON task (id) WHERE state = 0;
CREATE INDEX task_awarded ON task (id) WHERE state = 1;
CREATE TABLE bid (id INTEGER PRIMARY KEY, task_id INTEGER, agent_id INTEGER, price INTEGER);
CREATE INDEX bid_task ON bid (task_id, price);
CREATE TABLE payment (id INTEGER PRIMARY KEY, task_id INTEGER, agent_id INTEGER, amount INTEGER,
                      UNIQUE (task_id, agent_id));
CREATE TABLE event (id INTEGER PRIMARY KEY, kind TEXT, task_id INTEGER, at REAL);
"""
EVENT = "INSERT INTO event (kind, task_id, at) VALUES (?, ?, ?)"
AWARDABLE = """
SELECT t.id, (SELECT b.id FROM bid b WHERE b.task_id = t.id ORDER BY b.price, b.id LIMIT 1)
FROM task t WHERE t.state = 0 AND (SELECT count(*) FROM bid b WHERE b.task_id = t.id) >= ? LIMIT 2000
"""
PLACE = """
INSERT INTO bid (task_id, agent_id, price)
SELECT id, ?, ? FROM task WHERE id = ? AND state = 0 AND requester_id <> ?
"""
AWARD = """
UPDATE task SET state = 1, agent_id = (SELECT agent_id FROM bid WHERE id = ?1),
       price = (SELECT price FROM bid WHERE id = ?1) WHERE id = ?2 AND state = 0
"""
CLAIM = """
UPDATE task SET state = 2, leased_until = ?
WHERE id = (SELECT id FROM task WHERE state = 1 ORDER BY id LIMIT 1) RETURNING id
"""
SETTLE = """
UPDATE task SET state = 3, result = ? WHERE id = ? AND state = 2 RETURNING agent_id, price, requester_id
"""
REWARD = """
UPDATE agent SET balance = balance + ?, jobs = jobs + 1, reputation = reputation + 0.01 * (1 - reputation)
WHERE id = ?
"""


def connect() -> sqlite3.Connection:
    connection = sqlite3.connect(os.environ["MARKET_DB"], isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def write_task(execute, requester, type_, reward):
    paid = execute(
        "UPDATE agent SET balance = balance - ?1 WHERE id = ?2 AND balance >= ?1", (reward, requester)
    )
    if not paid.rowcount:
        return 0
    task = execute(
        "INSERT INTO task (state, type, reward, requester_id) VALUES (0, ?, ?, ?)", (type_, reward, requester)
    ).lastrowid
    execute(EVENT, ("posted", task, time.time()))
    return task


def write_bid(execute, agent, task, price):
    made = execute(
        PLACE,
        (agent, price, task, agent),
    )
    if not made.rowcount:
        return 0
    execute(EVENT, ("bid", task, time.time()))
    return made.lastrowid


def write_claim(execute):
    found = execute(CLAIM, (time.time() + 60,)).fetchone()
    if found is None:
        return 0
    execute(EVENT, ("leased", found[0], time.time()))
    return found[0]


def write_result(execute, task, result):
    found = execute(SETTLE, (result, task)).fetchone()
    if found is None:
        return 0
    agent, price, requester = found
    execute("INSERT INTO payment (task_id, agent_id, amount) VALUES (?, ?, ?)", (task, agent, price))
    execute("INSERT INTO payment (task_id, agent_id, amount) VALUES (?, ?, ?)", (task, requester, -price))
    execute(REWARD, (price, agent))
    execute(EVENT, ("settled", task, time.time()))
    return task


def write_awards(execute):
    found = execute(AWARDABLE, (BIDS_WANTED,)).fetchall()
    for task, bid in found:
        execute(AWARD, (bid, task))
        execute(EVENT, ("awarded", task, time.time()))
    return len(found)


class Writer:
    """One thread that takes whatever waits, writes it in one commit and answers after it."""

    def __init__(self):
        self.waiting = queue.SimpleQueue()
        self.loop = asyncio.get_running_loop()
        threading.Thread(target=self.run, daemon=True).start()

    def write(self, act, *arguments):
        answered = self.loop.create_future()
        self.waiting.put((act, arguments, answered))
        return answered

    def run(self):
        connection = connect()
        while True:
            group = [self.waiting.get()]
            with suppress(queue.Empty):
                while len(group) < GROUP:
                    group.append(self.waiting.get_nowait())
            connection.execute("BEGIN IMMEDIATE")
            answers = [(answered, act(connection.execute, *arguments)) for act, arguments, answered in group]
            connection.execute("COMMIT")
            self.loop.call_soon_threadsafe(answer, answers)


def answer(answers):
    for answered, value in answers:
        if not answered.done():
            answered.set_result(value)


class NewTask(BaseModel):
    type: str
    reward: int = Field(gt=0)


class NewBid(BaseModel):
    task_id: int
    price: int = Field(gt=0)


class NewResult(BaseModel):
    task_id: int
    result: str = Field(max_length=10_000)


class Answer(BaseModel):
    id: int


KEYS = {hashlib.sha256(f"key-{number}".encode()).digest(): number for number in range(1, AGENTS + 1)}


async def caller(authorization: Annotated[str, Header()]) -> int:
    agent = KEYS.get(hashlib.sha256(authorization.removeprefix("Bearer ").encode()).digest())
    if agent is None:
        raise HTTPException(401)
    return agent


Caller = Annotated[int, Depends(caller)]


async def award_for_ever(writer):
    while True:
        await asyncio.sleep(AWARD_SECONDS)
        await writer.write(write_awards)


@asynccontextmanager
async def lifespan(served):
    with connect() as connection:
        connection.executescript(TABLES)
        connection.executemany(
            "INSERT INTO agent VALUES (?, 1000000000000000, 0.5, 0)", [(n,) for n in range(1, AGENTS + 1)]
        )
    connection.close()
    served.state.writer = Writer()
    awarding = asyncio.create_task(award_for_ever(served.state.writer))
    yield
    awarding.cancel()


app = FastAPI(lifespan=lifespan)


async def written(act, *arguments) -> Answer:
    number = await app.state.writer.write(act, *arguments)
    if not number:
        raise HTTPException(409, "not now")
    return Answer(id=number)


@app.post("/tasks")
async def post_task(given: NewTask, agent: Caller) -> Answer:
    return await written(write_task, agent, given.type, given.reward)


@app.post("/bids")
async def place_bid(given: NewBid, agent: Caller) -> Answer:
    return await written(write_bid, agent, given.task_id, given.price)


@app.post("/claims")
async def claim(_agent: Caller) -> Answer:
    return Answer(id=await app.state.writer.write(write_claim))


@app.post("/results")
async def hand_in(given: NewResult, _agent: Caller) -> Answer:
    return await written(write_result, given.task_id, given.result)
