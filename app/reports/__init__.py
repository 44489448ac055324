"""Reports as files: where they are read from, and how they look as HTML, PDF, Markdown, CSV and JSON.

Stands at the edge, over the report model, which computes everything from the ledger. It adds no figure.
"""
