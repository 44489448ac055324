"""Classifier training: real tables, some rows held back to check the predictions.
`declaration` is light and names the rest; `tool` is the worker's side, `verifier` the platform's.
"""
