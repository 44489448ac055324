"""The store: the only place that speaks SQL, on SQLite and PostgreSQL alike.

Stands between the services and the database. One `Tx` per decision, one query module per aggregate, read
models in `views`. It never decides anything.
"""
