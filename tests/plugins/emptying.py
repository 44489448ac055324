"""Empties a PostgreSQL database that a test has used, so that the next test can have it instead of a new one.

Copying a template costs three hundred files; deleting a few rows costs a hundredth of that. A table that
has grown, with what was deleted from it before, is truncated, which costs new files for it and its indexes.
What comes back is what a copy of the template would be: the same schema, by a fingerprint of it, no row,
every sequence at its start, nobody connected. A database of which that cannot be said is not used again.
"""

from contextlib import suppress

import psycopg
from psycopg import sql

PATIENCE = "2s"
FINGERPRINT = """
    SELECT md5(string_agg(line, '\n' ORDER BY line)) FROM (
        SELECT format('%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0
        UNION ALL SELECT format('%s %s %s', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger
        UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint
                  WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT format('%s %s', proname, md5(prosrc)) FROM pg_proc
                  WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT format('%s %s', defaclrole, defaclobjtype) FROM pg_default_acl
        UNION ALL SELECT setconfig::text FROM pg_db_role_setting
                  WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AS lines (line)
"""
GROWN_BYTES = 262_144
TABLES = """
    SELECT relname, pg_relation_size(oid) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'alembic_version'
          AND pg_relation_size(oid) > 0
"""
RESTART = """
    SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
    FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL
"""
OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
)


def fingerprint(conninfo: str) -> str:
    """Return a digest of everything a test could change of a database's schema."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return _fingerprint(connection)


def emptied(conninfo: str, expected: str) -> bool:
    """Empty a database; tell whether it is as good as new, which it is only with the expected fingerprint."""
    with suppress(psycopg.Error), psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(OTHERS, [connection.info.backend_pid])
        connection.execute(sql.SQL("SET lock_timeout = {}").format(PATIENCE))
        connection.execute("SET session_replication_role = replica")  # the ledger's triggers forbid it else
        sizes: dict[str, int] = dict(connection.execute(TABLES).fetchall())  # no bytes, no row
        grown = [sql.Identifier(name) for name in sizes if sizes[name] > GROWN_BYTES]
        small = [sql.Identifier(name) for name in sizes if sizes[name] <= GROWN_BYTES]
        if grown:
            connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.SQL(", ").join(grown)))
        if small:
            deletes = map(sql.SQL("DELETE FROM {}").format, small)
            connection.execute(sql.SQL("; ").join(deletes))
        connection.execute(RESTART)
        return _fingerprint(connection) == expected
    return False


def _fingerprint(connection: "psycopg.Connection[tuple[str]]") -> str:
    found = connection.execute(FINGERPRINT).fetchone()
    return "" if found is None else found[0]
