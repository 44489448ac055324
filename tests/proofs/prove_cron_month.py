"""A month of ticks in three processes on each engine: `make prove ARGS="-k month_of_ticks"`, `DAYS=3` fewer.

It takes longer than the patience of the fast tests; by itself it is run with that switched off:
`pytest -s -n0 --override-ini=faulthandler_timeout=0 tests/proofs/prove_cron_month.py`.
"""

import os

from tests.proofs.cron_month import Month

DAYS = float(os.environ.get("DAYS", "30"))
KILLS_A_DAY = 10


def test_a_month_of_ticks_fires_each_once(migrated_database_url):
    report = Month(migrated_database_url, days=DAYS, kills=round(DAYS * KILLS_A_DAY)).run()
    print(report)
    assert report["duplicates"] == 0
