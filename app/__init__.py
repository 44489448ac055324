"""The edges of Nacre: API, command line, pages, agents, task types. They call the services."""
