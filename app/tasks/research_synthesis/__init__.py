"""Research synthesis: a question answered from documents, with verbatim citations.
`declaration` is light and names the rest; `tool` is the worker's side, `verifier` the platform's.
"""
