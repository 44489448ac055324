"""What every test may lean on: databases on both engines, a browser if there is one, no way out.

The fixtures live in `tests/plugins/`, one file per thing lent:

- `database_url`: a fresh, empty database, once on SQLite and once on PostgreSQL;
- `migrated_database_url`: the same with every migration applied;
- `sqlite_url`, `migrated_sqlite_url`: SQLite only, for what does not depend on the engine;
- `postgresql_url`, `migrated_postgresql_url`: PostgreSQL only;
- `platform`, `market`: a whole platform on a virtual clock over `migrated_database_url`, and acts on it;
- `chromium_path`: headless Chromium, or the test is skipped and the summary says so;
- `anthropic_api_key`: a key for Claude, or the test is skipped and the summary says so.

Sockets beyond loopback are refused in every test; there is no marker that lifts it.
"""

pytest_plugins = [
    "tests.plugins.optional_parts",
    "tests.plugins.loopback",
    "tests.plugins.postgresql",
    "tests.plugins.databases",
    "tests.plugins.platforms",
]
