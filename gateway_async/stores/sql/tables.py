"""The tables as they are today; `migrations` brings older ones to this form.

Their names begin with `gateway_`, since a database may be shared with others.
"""

import sqlalchemy as sa

HEAD = "0005"
"""The migration that makes the tables as they are here."""

version = sa.Table(
    "gateway_version",
    sa.MetaData(),  # Alembic does not count it among the tables that it makes
    sa.Column("version_num", sa.String(32)),
    sa.PrimaryKeyConstraint("version_num", name="gateway_version_pkc"),
)
"""Where Alembic keeps how far it came, as it makes it."""

metadata = sa.MetaData()

state = sa.Table(
    "gateway_state",
    metadata,
    # One row, which every change updates first: changes wait for each other there, and their revisions become visible
    # in the order of their numbers.
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.Text),
    # Refusals ever logged.
    sa.Column("refusals", sa.BigInteger, nullable=False, server_default="0"),
)

routes = sa.Table(
    "gateway_routes",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    # The revision that created it: their order.
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)

limits = sa.Table(
    "gateway_limits",
    metadata,
    # No reference to `routes`: those of the file have limits too.
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("limits", sa.JSON, nullable=False),
)

keys = sa.Table(
    "gateway_keys",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("hint", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("routes", sa.JSON(none_as_null=True)),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("expires", sa.Double),
    sa.Column("revoked", sa.Double),
    sa.Column("old_digest", sa.LargeBinary),
    sa.Column("old_until", sa.Double),
    sa.Index("gateway_keys_digest", "digest", unique=True),
    sa.Index("gateway_keys_old_digest", "old_digest"),
)

audit = sa.Table(
    "gateway_audit",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("address", sa.Text),
    sa.Column("request_id", sa.Text),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    # Of a refusal: the how manieth it is, so that the oldest are found without counting.
    sa.Column("refusal", sa.BigInteger),
    sa.Index("gateway_audit_refusal", "refusal"),
)
