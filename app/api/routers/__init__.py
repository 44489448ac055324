"""The routes of the API, one module per aggregate.

Each route checks the caller, calls one service function or one read model, and answers. It never speaks SQL.
"""
