"""`nacre market check`: an operator sees that the market holds, or which invariant does not."""

from contextlib import closing

from services.store import sql, tables
from tests.plugins.platforms import Market, platform_over


def test_a_market_that_holds_and_one_that_does_not(nacre, migrated_sqlite_url, tmp_path):
    with closing(platform_over(migrated_sqlite_url, tmp_path)) as platform:
        market = Market(platform)
        requester, worker = market.agent(), market.agent()
        market.done(requester, worker)
        held = nacre("market", "check", "--database", migrated_sqlite_url)
        assert (held.code, held.out) == (0, "every invariant of the market holds\n")
        with market.write() as tx:
            sql.update(tx, tables.account, {"owner": f"agent:{worker}"}, balance=7)
        broken = nacre("market", "check", "--database", migrated_sqlite_url)
        assert broken.code == 1
        assert f"M2 account agent:{worker}: its balance is 7" in broken.out
        assert "these do not hold: M2" in broken.err
        told = nacre("market", "check", "--json", "--database", migrated_sqlite_url)
        assert (told.code, '"ok": false' in told.out) == (1, True)
