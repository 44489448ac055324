"""Many kills of dispatchers: `KILLS=1000 make prove` kills so many on each engine (the default)."""

import os

from tests.services import killed_dispatchers
from tests.services.killing import killed_dispatchers_of

KILLS = int(os.environ.get("KILLS", "1000"))


def test_many_deaths_of_dispatchers(migrated_database_url):
    report = killed_dispatchers_of(migrated_database_url, kills=KILLS, seed=17)
    figures, wrong = killed_dispatchers.what_is_wrong(migrated_database_url)
    print(report | figures)
    assert wrong == []
    assert report["kills"] > KILLS
    assert figures["handled"] == 3 * figures["events"] > KILLS
