"""The durable store, in SQLite or PostgreSQL.

Each change is one transaction: what changed, the store's next revision, and the line of the audit log.
"""
