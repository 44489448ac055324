"""Monte Carlo estimation: expectations of named models, by sampling.
`declaration` is light and names the rest; `tool` is the worker's side, `verifier` the platform's.
"""
