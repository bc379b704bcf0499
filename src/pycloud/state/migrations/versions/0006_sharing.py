"""Images have a description, and may be launched by others."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"


def upgrade() -> None:
    for column in (
        sa.Column("description", sa.String(length=255), nullable=False, server_default=""),
        sa.Column("is_public", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("location", sa.Text(), nullable=False, server_default=""),
    ):
        op.add_column("images", column)
    op.execute("UPDATE images SET location = 'pycloud-images/' || id")
    op.create_table(
        "launch_permissions",
        sa.Column("image_id", sa.String(length=32), nullable=False),
        sa.Column("grantee", sa.String(length=12), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("fk_launch_permissions_image_id")
        ),
        sa.PrimaryKeyConstraint("image_id", "grantee", name=op.f("pk_launch_permissions")),
    )
    place = ["account", "launched_at", "launch_index", "id"]
    op.create_index(op.f(f"ix_instances_{'_'.join(place)}"), "instances", place)
