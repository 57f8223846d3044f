"""Limits of routes."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0002"
down_revision = "0001"


def upgrade(op: Operations) -> None:
    """Make the table."""
    op.create_table(
        "gateway_limits",
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("limits", sa.JSON, nullable=False),
    )
