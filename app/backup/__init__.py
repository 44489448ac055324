"""Backups: everything that a database holds in one file, from which either engine can be restored.

Stands at the edge, over the store and the evolution ledger. It never changes a row, and never leaves half of
anything behind: neither a file nor a database.
"""
