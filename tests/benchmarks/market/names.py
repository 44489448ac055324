"""Names of the cases that the bars and the tables speak of; the limits and the queues name their own."""

from tests.benchmarks.market.limits import BATCH as CLAIM_BATCH
from tests.benchmarks.market.limits import THREADS

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
ENGINES = (SQLITE, POSTGRESQL)

LIMIT_COMMIT = "limit: SQLite FULL, one-row commits"
LIMIT_COMMIT_POSTGRESQL = f"limit: PostgreSQL, one-row commits, {THREADS} clients"
LIMIT_QUEUE = f"limit: PostgreSQL, bare SKIP LOCKED, {THREADS} clients"
LIMIT_QUEUE_BATCH = f"limit: PostgreSQL, bare SKIP LOCKED by {CLAIM_BATCH}, 4 clients"
LIMIT_SQLITE_QUEUE = "limit: SQLite FULL, bare queue"
LIMIT_SQLITE_QUEUE_BATCH = f"limit: SQLite FULL, bare queue by {CLAIM_BATCH}"
PGQUEUER = "peer: pgqueuer"
PGQUEUER_BATCH = "peer: pgqueuer in batches"

SINGLE = "ours: {engine}, one call one commit"
THREADED = "ours: {engine}, 8 threads, one call one commit"
GROUPED = "ours: {engine}, 32 callers grouped"
SETS = "ours: {engine}, sets of 500"

NAIVE = "peer: naive ORM app, NORMAL"
CAREFUL = "peer: typed app with one writer, FULL"
HTTP = "ours: HTTP, SQLite FULL"
HTTP_NORMAL = "ours: HTTP, SQLite NORMAL"
HTTP_POSTGRESQL = "ours: HTTP, PostgreSQL"
HTTP_BATCH = "ours: HTTP, batches of 20, SQLite FULL"

BIDS = "ours: bids over HTTP, SQLite FULL"
BIDS_NORMAL = "ours: bids over HTTP, SQLite NORMAL"
BIDS_POSTGRESQL = "ours: bids over HTTP, PostgreSQL"
BESIDE = "limit beside bids: SQLite FULL, one-row commits"
BESIDE_POSTGRESQL = "limit beside bids: PostgreSQL, one-row commits, 8 clients"

CALM = "others alone"
FLOODED = "others while one agent floods"
KILLED = "48 connections, server killed"
