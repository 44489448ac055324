"""The simulated market: honest agents, newcomers, liars and their attacks, through the platform's own verbs.

Stands beside the scenarios of the loop, behind `nacre simulate market`. The truth (who succeeds, and at what
cost) stays here and never enters the platform.
"""
