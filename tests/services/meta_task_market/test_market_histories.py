"""Any history of the market keeps every invariant (`tests/proofs/prove_market_histories`: more of them)."""

from tests.proofs.histories import run_on_postgresql, run_on_sqlite


def test_any_history_keeps_the_invariants_on_sqlite(sqlite_template):
    assert run_on_sqlite(sqlite_template, examples=12, steps=30) > 0


def test_any_history_keeps_the_invariants_on_postgresql(postgresql_server, postgresql_template):
    assert run_on_postgresql(postgresql_server, postgresql_template, examples=4, steps=25) > 0
