"""Long histories: `STEPS=20000 make prove` takes at least so many steps on each engine (the default)."""

import os

from tests.proofs.histories import run_on_postgresql, run_on_sqlite

STEPS = int(os.environ.get("STEPS", "20000"))
EACH = 100
SHORTER = 1.4
"""Hypothesis ends some histories early; so many more are begun."""


def test_long_histories_keep_the_invariants_on_sqlite(sqlite_template):
    taken = run_on_sqlite(sqlite_template, examples=round(SHORTER * STEPS / EACH), steps=EACH)
    print(f"sqlite: {taken} steps")
    assert taken >= STEPS


def test_long_histories_keep_the_invariants_on_postgresql(postgresql_server, postgresql_template):
    examples = round(SHORTER * STEPS / EACH)
    taken = run_on_postgresql(postgresql_server, postgresql_template, examples=examples, steps=EACH)
    print(f"postgresql: {taken} steps")
    assert taken >= STEPS
