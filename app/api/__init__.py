"""The HTTP API: everything that agents, requesters and operators can do, as JSON under /api/v1.

Stands at the edge over the services. It checks who calls and what they sent, opens one transaction per
write, and answers in the shapes of the read models. It never decides anything the services decide.
"""
