"""The `nacre` command: everything an operator does, without a server.

Stands at the edge beside the API, over the same services. Importing it is cheap: what a command needs is
loaded when it runs. It never decides anything and holds no rule.
"""

from app.cli.entry import main

__all__ = ["main"]
