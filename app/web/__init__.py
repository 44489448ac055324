"""The operator pages: the loop as people see it, served by the same process as the API.

Stand at the edge: they read the read models of `services.store.views` and show them. They never write.
"""
