"""Peer: the market as most people would first write it, `def` endpoints and one ORM session per request.

FastAPI, pydantic models, SQLAlchemy's ORM, a key looked up in the database by a dependency, every act its own
commit; tasks are awarded by a thread ten times a second. It reads first and writes then, as such code does,
so under load it pays some tasks twice. Served by uvicorn in its own process (`MARKET_DB` names the file).
It is given WAL and synchronous=NORMAL, which is more than it would have by default.
"""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import ForeignKey, create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

AWARD_SECONDS = 0.1
BIDS_WANTED = 3
AGENTS = 50
OPEN, AWARDED, LEASED, SETTLED = range(4)

engine = create_engine(f"sqlite:///{os.environ['MARKET_DB']}", pool_size=8, max_overflow=40)


@event.listens_for(engine, "connect")
def prepare(connection, _entry):
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA busy_timeout=10000")


class Table(DeclarativeBase):
    pass


class Agent(Table):
    __tablename__ = "agent"
    id: Mapped[int] = mapped_column(primary_key=True)
    key_hash: Mapped[str] = mapped_column(unique=True)
    balance: Mapped[int] = mapped_column(default=10**15)
    reputation: Mapped[float] = mapped_column(default=0.5)
    jobs: Mapped[int] = mapped_column(default=0)


class Task(Table):
    __tablename__ = "task"
    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[int] = mapped_column(default=OPEN, index=True)
    type: Mapped[str]
    reward: Mapped[int]
    requester_id: Mapped[int] = mapped_column(ForeignKey("agent.id"))
    agent_id: Mapped[int | None] = mapped_column(ForeignKey("agent.id"))
    price: Mapped[int | None]
    leased_until: Mapped[float | None]
    result: Mapped[str | None]


class Bid(Table):
    __tablename__ = "bid"
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("task.id"), index=True)
    agent_id: Mapped[int] = mapped_column(ForeignKey("agent.id"))
    price: Mapped[int]


class Payment(Table):
    __tablename__ = "payment"
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("task.id"), index=True)
    agent_id: Mapped[int] = mapped_column(ForeignKey("agent.id"))
    amount: Mapped[int]


class Happened(Table):
    __tablename__ = "event"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    task_id: Mapped[int]
    at: Mapped[float]


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


def session() -> Iterator[Session]:
    with Session(engine) as opened:
        yield opened


Opened = Annotated[Session, Depends(session)]


def caller(opened: Opened, authorization: Annotated[str, Header()]) -> Agent:
    hashed = hashlib.sha256(authorization.removeprefix("Bearer ").encode()).hexdigest()
    found = opened.scalars(select(Agent).where(Agent.key_hash == hashed)).first()
    if found is None:
        raise HTTPException(401)
    return found


Caller = Annotated[Agent, Depends(caller)]


def award_waiting() -> None:
    with Session(engine) as opened:
        for task in opened.scalars(select(Task).where(Task.state == OPEN).limit(50)).all():
            bids = opened.scalars(select(Bid).where(Bid.task_id == task.id).order_by(Bid.price)).all()
            if len(bids) >= BIDS_WANTED:
                task.state, task.agent_id, task.price = AWARDED, bids[0].agent_id, bids[0].price
                opened.add(Happened(kind="awarded", task_id=task.id, at=time.time()))
                opened.commit()


def award_until(stopped: threading.Event) -> None:
    while not stopped.wait(AWARD_SECONDS):
        try:
            award_waiting()
        except Exception as error:  # noqa: BLE001 (a locked database; the next round tries again)
            print(f"award: {error}")


@asynccontextmanager
async def lifespan(_app):
    Table.metadata.create_all(engine)
    with Session(engine) as opened:
        for number in range(1, AGENTS + 1):
            opened.add(Agent(id=number, key_hash=hashlib.sha256(f"key-{number}".encode()).hexdigest()))
        opened.commit()
    stopped = threading.Event()
    thread = threading.Thread(target=award_until, args=(stopped,), daemon=True)
    thread.start()
    yield
    stopped.set()
    thread.join()


app = FastAPI(lifespan=lifespan)


@app.post("/tasks")
def post_task(given: NewTask, agent: Caller, opened: Opened) -> Answer:
    if agent.balance < given.reward:
        raise HTTPException(409, "not enough money")
    agent.balance -= given.reward
    task = Task(type=given.type, reward=given.reward, requester_id=agent.id)
    opened.add(task)
    opened.flush()
    opened.add(Happened(kind="posted", task_id=task.id, at=time.time()))
    opened.commit()
    return Answer(id=task.id)


@app.post("/bids")
def place_bid(given: NewBid, agent: Caller, opened: Opened) -> Answer:
    task = opened.get(Task, given.task_id)
    if task is None or task.state != OPEN or task.requester_id == agent.id:
        raise HTTPException(409, "no bids on this task")
    bid = Bid(task_id=task.id, agent_id=agent.id, price=given.price)
    opened.add(bid)
    opened.add(Happened(kind="bid", task_id=task.id, at=time.time()))
    opened.commit()
    return Answer(id=bid.id)


@app.post("/claims")
def claim(_agent: Caller, opened: Opened) -> Answer:
    task = opened.scalars(select(Task).where(Task.state == AWARDED).limit(1)).first()
    if task is None:
        return Answer(id=0)
    task.state, task.leased_until = LEASED, time.time() + 60
    opened.add(Happened(kind="leased", task_id=task.id, at=time.time()))
    opened.commit()
    return Answer(id=task.id)


@app.post("/results")
def hand_in(given: NewResult, _agent: Caller, opened: Opened) -> Answer:
    task = opened.get(Task, given.task_id)
    if task is None or task.state != LEASED:
        raise HTTPException(409, "this task takes no result")
    winner = opened.get(Agent, task.agent_id)
    task.state, task.result = SETTLED, given.result
    winner.balance += task.price
    winner.jobs += 1
    winner.reputation += 0.01 * (1 - winner.reputation)
    opened.add(Payment(task_id=task.id, agent_id=winner.id, amount=task.price))
    opened.add(Payment(task_id=task.id, agent_id=task.requester_id, amount=-task.price))
    opened.add(Happened(kind="settled", task_id=task.id, at=time.time()))
    opened.commit()
    return Answer(id=task.id)
