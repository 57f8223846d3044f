"""Keys that were replaced are good for a while."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0005"
down_revision = "0004"


def upgrade(op: Operations) -> None:
    """Add to the keys the ones that they replaced: none."""
    op.add_column("gateway_keys", sa.Column("old_digest", sa.LargeBinary))
    op.add_column("gateway_keys", sa.Column("old_until", sa.Double))
    op.create_index("gateway_keys_old_digest", "gateway_keys", ["old_digest"])
