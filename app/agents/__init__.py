"""The embedded fleet: agents as short scripts, started and watched by the supervisor.

Agents are outsiders: they speak HTTP with their own key, like anybody's. Nothing here imports `services`.
"""
