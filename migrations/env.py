"""Alembic's entry: run the revisions on one engine, in one transaction."""

from alembic import context
from sqlalchemy import Engine

from services.store.engine import open_engine
from services.store.tables import metadata


def run(engine: Engine) -> None:
    """Run the requested revisions on `engine`."""
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_as_batch=True,
            transactional_ddl=True,
        )
        with connection.begin(), context.begin_transaction():
            context.run_migrations()


engine = open_engine(context.config.attributes["url"])
try:
    run(engine)
finally:
    engine.dispose()
