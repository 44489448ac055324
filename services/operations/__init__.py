"""The brakes: modules that may only restrain and account.

Stand between the layers and the bus. They keep money, the ledger's append, the values in force, who may do
what, and what waits for a person. They never start anything.
"""
