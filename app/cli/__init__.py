"""The command line, `nacre`: serve, run a lap, post work, read everything, verify the ledger offline.

Stands at the edge beside the API and acts as the operator on the database itself, through the same services.
Declarations here are light; what a command does is loaded when it runs. It never decides anything.
"""

from app.cli.application import main

__all__ = ["main"]
