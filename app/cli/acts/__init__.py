"""What the commands do: each function is one command, loaded when it is called.

Stand over the services, like the API's routes. They return the exit code, None for 0.
"""
