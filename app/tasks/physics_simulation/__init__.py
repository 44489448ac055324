"""Physics simulation: named systems of ordinary differential equations, integrated to a tolerance.
`declaration` is light and names the rest; `tool` is the worker's side, `verifier` the platform's.
"""
