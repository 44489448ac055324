"""Who may act: agents, their hashed keys, their scopes and their standing.

Stands before the market and the votes. Ids in request bodies are never trusted: the principal is whoever
holds the key. It never stores a key, only its SHA-256.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from services.domain.clock import SECOND_US
from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError, NotFoundError
from services.domain.lookalikes import skeleton
from services.domain.states import Scope, Standing
from services.operations import accounts
from services.store import governance, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

VOUCHED_GRANT_MICROCREDITS = 100_000_000_000
GRANT_MICROCREDITS = 100_000_000
TOUCH_EVERY_US = 10 * SECOND_US
OWNER_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated agent: who it is and what its key may do."""

    agent_id: int
    name: str
    scopes: frozenset[Scope]
    standing: Standing

    @property
    def actor(self) -> str:
        """Return the name under which its acts are recorded."""
        return f"agent:{self.agent_id}"

    def require(self, scope: Scope) -> None:
        """Raise ForbiddenError when the key does not carry `scope`."""
        if scope not in self.scopes:
            msg = f"this key lacks the scope {scope!r}; it carries {sorted(self.scopes)}"
            raise ForbiddenError(msg, scope=str(scope))


def key_hash(api_key: str) -> str:
    """Return the SHA-256 of a key (keys are 256 random bits, so a plain hash is enough)."""
    return hashlib.sha256(api_key.encode()).hexdigest()


def check_name(text: str, field: str) -> None:
    """Raise InvalidValueError unless a name is plain: printable characters, no angle brackets."""
    if not text.isprintable() or "<" in text or ">" in text:
        msg = "a name is made of printable characters, without < and >"
        raise InvalidValueError(msg, field=field, code="name_not_plain")


def register(
    tx: Tx,
    *,
    name: str,
    owner: str,
    scopes: Sequence[Scope],
    is_vouched: bool,
    key_hash: str,
    model: str | None = None,
) -> int:
    """Register an agent with an account and its grant; return its id.

    Raises ConflictError for a taken name (`name_taken`) or an owner that looks like a known one
    (`owner_resembles`), InvalidValueError for an owner that is no name.
    An operator that vouches for an agent gives it probation at once; others start in the shadow. `model` is
    what the agent runs on, as its owner says: metrics and diagnoses are cut by it, nothing is decided by it.
    """
    accounts.open_books(tx)  # one registration at a time: the next sees this one's owner
    owner = _owner(tx, owner)
    refusal = ConflictError(f"an agent called {name!r} exists already", field="name", code="name_taken")
    agent_id = sql.insert_unique(
        tx,
        tables.agent,
        refusal,
        name=name,
        owner=owner,
        scopes=sorted(str(scope) for scope in scopes),
        key_hash=key_hash,
        standing=Standing.PROBATION if is_vouched else Standing.SHADOW,
        is_vouched=is_vouched,
        model=model,
        registered_at_us=tx.now_us,
        last_active_at_us=tx.now_us,
    )
    account = accounts.agent_account(agent_id)
    accounts.open_account(tx, account)
    grant = grant_microcredits(is_vouched=is_vouched)
    accounts.move(tx, kind="grant", debit=accounts.TREASURY, credit=account, amount_microcredits=grant)
    return agent_id


def _owner(tx: Tx, owner: str) -> str:
    """Return an owner as it is kept, without spaces around it; one name has one spelling.

    In owner mode each owner has one ballot, so whoever could pass for another would have another's too.
    """
    owner = owner.strip()
    shape = skeleton(owner)
    if not shape or len(owner) > OWNER_LENGTH:
        msg = f"an owner is a name of 1 to {OWNER_LENGTH} characters with a letter or a digit in it"
        raise InvalidValueError(msg, field="owner", code="owner_not_a_name")
    if sql.find_all(tx, tables.agent, owner=owner, limit=1):
        return owner
    twin = next((known for known in governance.owners(tx) if skeleton(known) == shape), None)
    if twin is not None:
        msg = (
            f"the owner {owner!a} looks like {twin!a}, who has agents already; write it as that, or otherwise"
        )
        raise ConflictError(msg, field="owner", code="owner_resembles", owner=twin)
    return owner


def grant_microcredits(*, is_vouched: bool) -> int:
    """Return what an agent is granted when it is registered, in micro-credits."""
    return VOUCHED_GRANT_MICROCREDITS if is_vouched else GRANT_MICROCREDITS


def authenticate(tx: Tx, key_hash: str) -> Principal | None:
    """Return the agent that holds the key with this hash, or None."""
    row = sql.find(tx, tables.agent, key_hash=key_hash)
    if row is None:
        return None
    scopes = frozenset(Scope(text) for text in row["scopes"])
    return Principal(row["id"], row["name"], scopes, Standing(row["standing"]))


def get(tx: Tx, agent_id: int, *, lock: bool = False) -> Row:
    """Return the agent's row; raise NotFoundError when there is none."""
    row = sql.find(tx, tables.agent, lock=lock, id=agent_id)
    if row is None:
        msg = f"there is no agent {agent_id}"
        raise NotFoundError(msg, field="agent_id")
    return row


def is_stale(row: Row, now_us: int) -> bool:
    """Tell whether activity is worth writing: the first sign of life, and then every ten seconds."""
    is_first = row["last_active_at_us"] <= row["registered_at_us"]
    return bool(is_first or now_us - row["last_active_at_us"] >= TOUCH_EVERY_US)


def touch(tx: Tx, agent_id: int) -> None:
    """Record that the agent was active now."""
    sql.update(tx, tables.agent, {"id": agent_id}, last_active_at_us=tx.now_us)
