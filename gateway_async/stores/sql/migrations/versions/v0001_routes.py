"""Routes, and the store's revision."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0001"
down_revision = None


def upgrade(op: Operations) -> None:
    """Make the tables."""
    state = op.create_table(
        "gateway_state",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("fingerprint", sa.Text),
    )
    op.bulk_insert(state, [{"id": 1, "revision": 0}])
    op.create_table(
        "gateway_routes",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
