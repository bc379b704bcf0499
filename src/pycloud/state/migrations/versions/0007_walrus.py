"""Objects have versions, metadata, tags, locks and checksums; buckets have settings; uploads in parts."""

import sqlalchemy as sa
from alembic import op

from pycloud.state.columns import Instant

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    for column in (
        sa.Column("versioning", sa.String(length=16), nullable=False, server_default=""),
        sa.Column("object_lock", sa.Boolean(), nullable=False, server_default=sa.false()),
    ):
        op.add_column("buckets", column)
    op.create_table(
        "bucket_settings",
        sa.Column("bucket", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["bucket"], ["buckets.name"], name=op.f("fk_bucket_settings_bucket")
        ),
        sa.PrimaryKeyConstraint("bucket", "kind", name=op.f("pk_bucket_settings")),
    )
    op.execute("CREATE TABLE former_objects AS SELECT * FROM objects")
    op.drop_table("objects")
    _create_objects()
    _keep_objects()
    op.drop_table("former_objects")
    _create_contents()
    _create_uploads()


def _create_objects() -> None:
    op.create_table(
        "objects",
        sa.Column("bucket", sa.String(length=63), nullable=False),
        sa.Column("key", sa.LargeBinary(length=1024), nullable=False),
        sa.Column("rank", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("is_latest", sa.Boolean(), nullable=False),
        sa.Column("is_delete_marker", sa.Boolean(), nullable=False),
        sa.Column("is_shown", sa.Boolean(), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.String(length=64), nullable=False),
        sa.Column("storage_class", sa.String(length=32), nullable=False),
        sa.Column("checksum", sa.String(length=128), nullable=True),
        *_lock_columns(),
        sa.Column("encryption", sa.String(length=16), nullable=True),
        sa.Column("content_id", sa.BigInteger(), nullable=True),
        sa.Column("blob", sa.String(length=64), nullable=True),
        sa.Column("has_sums", sa.Boolean(), nullable=False),
        sa.Column("parts_id", sa.String(length=64), nullable=True),
        sa.Column("part_count", sa.Integer(), nullable=True),
        sa.Column("sealed_key", sa.LargeBinary(length=256), nullable=True),
        *_documents(),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name=op.f("fk_objects_account")),
        sa.ForeignKeyConstraint(["bucket"], ["buckets.name"], name=op.f("fk_objects_bucket")),
        sa.PrimaryKeyConstraint("bucket", "key", "rank", name=op.f("pk_objects")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_objects_bucket_is_shown_key"), "objects", ["bucket", "is_shown", "key"]
    )
    for column in ("blob", "parts_id"):
        is_there = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            op.f(f"ix_objects_{column}"),
            "objects",
            [column],
            sqlite_where=is_there,
            postgresql_where=is_there,
        )


def _lock_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("retention_mode", sa.String(length=16), nullable=True),
        sa.Column("retained_until", Instant(), nullable=True),
        sa.Column("legal_hold", sa.Boolean(), nullable=False),
    ]


def _documents() -> list[sa.Column[object]]:
    return [
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("acl", sa.Text(), nullable=True),
    ]


def _keep_objects() -> None:
    """Make each object that there was the one version of its key."""
    op.execute(
        """
        INSERT INTO objects (
            bucket, key, rank, version_id, is_latest, is_delete_marker, is_shown, account,
            created_at, size_bytes, etag, storage_class, legal_hold, blob, has_sums,
            headers, metadata, tags
        )
        SELECT f.bucket, f.key, 4611686018427387904 - f.created_at, 'null', true, false, true,
            b.account, f.created_at, f.size_bytes, f.etag, 'STANDARD', false, f.blob, false,
            '{}', '{}', '{}'
        FROM former_objects f JOIN buckets b ON b.name = f.bucket
        """
    )


def _create_contents() -> None:
    op.create_table(
        "contents",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("crc", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contents")),
    )
    op.create_table(
        "parting_blobs",
        sa.Column("blob", sa.String(length=64), nullable=False),
        sa.Column("parted_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("blob", name=op.f("pk_parting_blobs")),
    )
    op.create_index(op.f("ix_parting_blobs_parted_at"), "parting_blobs", ["parted_at"])


def _create_uploads() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("bucket", sa.String(length=63), nullable=False),
        sa.Column("key", sa.LargeBinary(length=1024), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("storage_class", sa.String(length=32), nullable=False),
        sa.Column("checksum_algorithm", sa.String(length=16), nullable=True),
        sa.Column("checksum_kind", sa.String(length=16), nullable=False),
        sa.Column("encryption", sa.String(length=16), nullable=True),
        *_lock_columns(),
        *_documents(),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name=op.f("fk_uploads_account")),
        sa.ForeignKeyConstraint(["bucket"], ["buckets.name"], name=op.f("fk_uploads_bucket")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index(op.f("ix_uploads_bucket_key_id"), "uploads", ["bucket", "key", "id"])
    op.create_table(
        "parts",
        sa.Column("parts_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("blob", sa.String(length=64), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.String(length=64), nullable=False),
        sa.Column("checksum", sa.String(length=128), nullable=True),
        sa.Column("sealed_key", sa.LargeBinary(length=256), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("parts_id", "number", name=op.f("pk_parts")),
    )
    op.create_index(op.f("ix_parts_blob"), "parts", ["blob"])
