"""The instrument: a whole real platform on a virtual clock, with seeded agents and a known truth.

Stands at the edge beside `app.lap`. Store, services, cron jobs, votes, sandbox and ledger are the real ones;
only the clock, the agents and what is true are ours. Nothing of it runs in a served platform.
"""
