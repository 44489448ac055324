"""Give workflows' budgets and limits to an owner: that of whoever posted in the workflow first.

A workflow nobody's agent has posted in is the platform's own. Revision: 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

WIDTHS = (("budget", "name", 128, 400), ("budget", "subject", 80, 321), ("budget_limit", "subject", 80, 321))
OF_WORKFLOWS = "scope = 'workflow'"
FIRST_OWNER = sa.text(
    "SELECT agent.owner FROM task JOIN agent ON agent.id = task.requester_id "
    "WHERE task.workflow = :workflow ORDER BY task.id LIMIT 1"
)


def upgrade() -> None:
    """Widen what names a budget and put the owner before each workflow's name."""
    _set_widths(is_way_up=True)
    connection = op.get_bind()
    for subject in reversed(_subjects(connection)):
        owner = connection.scalar(FIRST_OWNER, {"workflow": subject}) or ""
        owned = f"{owner.replace('%', '%25').replace('/', '%2F')}/{subject}"
        for table in ("budget", "budget_limit"):
            _rename(connection, table, subject, owned)
    _name_budgets(connection)


def downgrade() -> None:
    """Take the owners off; of budgets that then had one name, all but the first get their id behind it."""
    connection = op.get_bind()
    for subject in _subjects(connection):
        plain = subject.partition("/")[2]
        _rename(connection, "budget_limit", subject, plain)
        _rename(connection, "budget", subject, plain)
    twice = sa.text(
        f"SELECT id, subject FROM budget WHERE {OF_WORKFLOWS} AND EXISTS (SELECT 1 FROM budget AS other "  # noqa: S608
        "WHERE other.scope = budget.scope AND other.subject = budget.subject AND other.id < budget.id "
        "AND other.resource = budget.resource AND other.period = budget.period)"
    )
    for budget_id, subject in connection.execute(twice).all():
        suffix = f"#{budget_id}"
        kept = {"subject": subject[: 80 - len(suffix)] + suffix, "id": budget_id}
        connection.execute(sa.text("UPDATE budget SET subject = :subject WHERE id = :id"), kept)
    _name_budgets(connection)
    _set_widths(is_way_up=False)


def _subjects(connection: sa.Connection) -> list[str]:
    """Return the workflows' subjects, the shortest first, so that a renamed one is not met again."""
    both = " UNION ".join(
        f"SELECT subject FROM {table} WHERE {OF_WORKFLOWS}"  # noqa: S608
        for table in ("budget", "budget_limit")
    )
    return sorted(connection.scalars(sa.text(both)), key=len)


def _rename(connection: sa.Connection, table: str, before: str, after: str) -> None:
    """Give a workflow's rows another subject; a budget's name waits for `_name_budgets`."""
    renamed = sa.text(f"UPDATE {table} SET subject = :after WHERE {OF_WORKFLOWS} AND subject = :before")  # noqa: S608
    connection.execute(renamed, {"before": before, "after": after})


def _name_budgets(connection: sa.Connection) -> None:
    """Name the workflows' budgets by what they are; by their ids first: names are unique at every row."""
    connection.execute(sa.text(f"UPDATE budget SET name = CAST(id AS VARCHAR(20)) WHERE {OF_WORKFLOWS}"))  # noqa: S608
    named = (
        f"UPDATE budget SET name = resource || ' ' || period || ' workflow:' || subject WHERE {OF_WORKFLOWS}"  # noqa: S608
    )
    connection.execute(sa.text(named))


def _set_widths(*, is_way_up: bool) -> None:
    for table, column, narrow, wide in WIDTHS:
        before, after = (narrow, wide) if is_way_up else (wide, narrow)
        with op.batch_alter_table(table) as batch:
            batch.alter_column(column, existing_type=sa.String(before), type_=sa.String(after))
