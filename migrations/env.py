"""Alembic's entry: run the revisions on one engine, in one transaction."""

from alembic import context
from sqlalchemy import Engine

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


engine = open_engine(context.config.attributes["url"])
try:
    run(engine)
finally:
    engine.dispose()
