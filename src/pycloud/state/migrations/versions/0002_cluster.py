"""Node states, labels and turns; placement groups."""

import sqlalchemy as sa
from alembic import op

from pycloud.state.columns import Instant

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.drop_table("placements")
    for column in (
        sa.Column("mode", sa.String(length=16), nullable=False, server_default="enabled"),
        sa.Column("silent", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("labels", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("dedicated_to", sa.String(length=12), nullable=True),
        sa.Column("turn", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("changed", sa.BigInteger(), nullable=False, server_default="0"),
    ):
        op.add_column("nodes", column)
    op.create_index(op.f("ix_nodes_changed"), "nodes", ["changed"])
    op.create_table(
        "placement_groups",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("strategy", sa.String(length=16), nullable=False),
        sa.Column("partitions", sa.Integer(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account"], ["accounts.id"], name=op.f("fk_placement_groups_account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_placement_groups")),
        sa.UniqueConstraint("account", "name", name=op.f("uq_placement_groups_account_name")),
    )
    op.add_column("claims", sa.Column("group_id", sa.String(length=32), nullable=True))
    op.add_column("claims", sa.Column("partition", sa.Integer(), nullable=True))
    op.create_index(op.f("ix_claims_group_id"), "claims", ["group_id"])
    op.add_column("instances", sa.Column("group", sa.String(length=255), nullable=True))
    op.add_column("instances", sa.Column("partition", sa.Integer(), nullable=True))
