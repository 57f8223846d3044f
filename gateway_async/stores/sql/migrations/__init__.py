"""The steps by which the store's tables came to their form: each runs once, in the order of their numbers.

A step is given Alembic's operations as `op`, not taken from `alembic.op`: that is one for the whole process, and a
process may open several stores at once. A new step goes with `tables.HEAD` and with what `tables` says.
"""
