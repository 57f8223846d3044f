"""What a gateway keeps beside its file: routes, limits, keys and the audit log made at run time; and counters.

One protocol for each kind of state in `base`; backends pass the same tests.
"""
