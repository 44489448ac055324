"""Alembic's entry: run the revisions on one engine, in one transaction, or within the one that is given."""

from alembic import context
from sqlalchemy import Connection, Engine

from services.store.engine import open_engine
from services.store.tables import metadata


def run(engine: Engine) -> None:
    """Run the requested revisions on `engine`.

    SQLite changes a column by building its table anew, which foreign keys would refuse while it is away:
    they are off meanwhile, and every reference is checked before the commit.
    """
    with engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if is_sqlite:
            connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_as_batch=True,
            transactional_ddl=True,
        )
        with connection.begin(), context.begin_transaction():
            context.run_migrations()
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all() if is_sqlite else []
            if broken:
                msg = (
                    f"the migration would leave {len(broken)} references without their row; nothing was done"
                )
                raise RuntimeError(msg)


def run_within(connection: Connection) -> None:
    """Run the requested revisions in the transaction that this connection is in (PostgreSQL only)."""
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
    context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run_within(given)
else:
    engine = open_engine(context.config.attributes["url"])
    try:
        run(engine)
    finally:
        engine.dispose()
