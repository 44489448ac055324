"""What the commands do: leaves that are loaded only when their command runs.

Stand behind the command tree and before the services. They never decide what a service decides.
"""
