"""Tags; VPCs, security groups and elastic addresses; launch templates; more of an instance."""

import sqlalchemy as sa
from alembic import op

from pycloud.state.columns import Instant

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _extend_instances()
    _create_tags()
    _create_networks()
    _create_groups()
    _create_templates()


def _create(table: str, *columns: sa.schema.SchemaItem, account: bool = False) -> None:
    if account:
        columns = (
            *columns,
            sa.Column("account", sa.String(length=12), nullable=False),
            sa.ForeignKeyConstraint(["account"], ["accounts.id"], name=op.f(f"fk_{table}_account")),
        )
    op.create_table(table, *columns)


def _text(name: str, length: int, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), nullable=nullable)


def _key(table: str, *columns: str) -> sa.Constraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def _unique(table: str, *columns: str) -> sa.Constraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))


def _points(table: str, column: str, to: str) -> sa.Constraint:
    return sa.ForeignKeyConstraint([column], [to], name=op.f(f"fk_{table}_{column}"))


def _index(table: str, *columns: str) -> None:
    op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns))


def _extend_instances() -> None:
    for column in (
        sa.Column("http_endpoint", sa.String(16), nullable=False, server_default="enabled"),
        sa.Column("is_protected", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("shutdown_behaviour", sa.String(16), nullable=False, server_default="stop"),
        sa.Column("is_monitored", sa.Boolean(), nullable=False, server_default=sa.false()),
    ):
        op.add_column("instances", column)


def _create_tags() -> None:
    _create(
        "tags",
        _text("resource", 32),
        _text("key", 128),
        _text("value", 256),
        _key("tags", "resource", "key"),
        account=True,
    )
    _index("tags", "account")


def _create_networks() -> None:
    _create(
        "vpcs",
        _text("id", 32),
        _text("cidr", 18),
        sa.Column("created_at", Instant(), nullable=False),
        _key("vpcs", "id"),
        _unique("vpcs", "account"),
        account=True,
    )
    _create(
        "elastic_addresses",
        _text("id", 32),
        _text("address", 15),
        _text("instance_id", 32, nullable=True),
        _text("association_id", 32, nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        _key("elastic_addresses", "id"),
        _unique("elastic_addresses", "address"),
        _unique("elastic_addresses", "instance_id"),
        _unique("elastic_addresses", "association_id"),
        account=True,
    )
    _index("elastic_addresses", "account")


def _create_groups() -> None:
    _create(
        "security_groups",
        _text("id", 32),
        _text("vpc_id", 32),
        _text("name", 255),
        _text("description", 255),
        sa.Column("created_at", Instant(), nullable=False),
        _key("security_groups", "id"),
        _unique("security_groups", "vpc_id", "name"),
        _points("security_groups", "vpc_id", "vpcs.id"),
        account=True,
    )
    _create(
        "security_group_rules",
        _text("id", 32),
        _text("group_id", 32),
        sa.Column("is_egress", sa.Boolean(), nullable=False),
        _text("protocol", 8),
        sa.Column("from_port", sa.Integer(), nullable=True),
        sa.Column("to_port", sa.Integer(), nullable=True),
        _text("cidr", 49, nullable=True),
        _text("source_group_id", 32, nullable=True),
        _text("description", 255),
        _key("security_group_rules", "id"),
        _points("security_group_rules", "group_id", "security_groups.id"),
        _points("security_group_rules", "source_group_id", "security_groups.id"),
    )
    _index("security_group_rules", "group_id")
    _index("security_group_rules", "source_group_id")
    _create(
        "instance_groups",
        _text("instance_id", 32),
        _text("group_id", 32),
        _key("instance_groups", "instance_id", "group_id"),
        _points("instance_groups", "group_id", "security_groups.id"),
    )
    _index("instance_groups", "group_id")


def _create_templates() -> None:
    _create(
        "launch_templates",
        _text("id", 32),
        _text("name", 128),
        sa.Column("default_version", sa.Integer(), nullable=False),
        sa.Column("latest_version", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        _key("launch_templates", "id"),
        _unique("launch_templates", "account", "name"),
        account=True,
    )
    _create(
        "launch_template_versions",
        _text("template_id", 32),
        sa.Column("version", sa.Integer(), nullable=False),
        _text("description", 255),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        _key("launch_template_versions", "template_id", "version"),
        _points("launch_template_versions", "template_id", "launch_templates.id"),
    )
