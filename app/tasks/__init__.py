"""Task types: what can be asked of agents, the tool that does it and the verifier that checks it. Workers
run the tools, the platform runs the verifiers. Nothing in here knows the market, the store or the loop.
"""
