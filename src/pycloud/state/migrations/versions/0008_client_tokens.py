"""Versions of launch templates remember by which token they were asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    column = sa.Column("client_token", sa.String(length=128))
    op.add_column("launch_template_versions", column)
