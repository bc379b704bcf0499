"""The tables, as the newest migration leaves them. Each is owned by one store; the comment names
it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from pycloud.state.columns import Instant

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _account() -> Column[str]:
    return Column("account", String(12), ForeignKey("accounts.id"), nullable=False)


# identity/accounts.py
accounts = Table(
    "accounts",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
)

# identity/users.py
users = Table(
    "users",
    metadata,
    Column("id", String(32), primary_key=True),
    _account(),
    Column("name", String(64), nullable=False),
    Column("path", String(512), nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account", "name"),
)

# identity/access_keys.py
access_keys = Table(
    "access_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False, index=True),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

# identity/certificates.py
certificates = Table(
    "certificates",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user_id", String(32), ForeignKey("users.id"), nullable=False, index=True),
    Column("pem", Text, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("is_generated", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
)
cloud_certificate = Table(
    "cloud_certificate",
    metadata,
    Column("id", Integer, primary_key=True),  # there is one
    Column("pem", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

# identity/identity.py
endpoints = Table(
    "endpoints",
    metadata,
    Column("service", String(16), primary_key=True),
    Column("url", Text, nullable=False),
)

# state/journal.py
journal = Table(
    "journal",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", Instant, nullable=False, index=True),
    Column("event", String(64), nullable=False),
    Column("subject", String(64), nullable=False, index=True),
    Column("detail", Text, nullable=False),
)

# network/addresses.py
pools = Table(
    "pools",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("network", String(18), nullable=False),
    Column("prepared", BigInteger, nullable=False),  # addresses below this one have rows
)
addresses = Table(
    "addresses",
    metadata,
    Column("pool", String(255), ForeignKey("pools.name"), primary_key=True),
    Column("address", BigInteger, primary_key=True),
    Column("holder", String(64)),
    Column(
        "freed", BigInteger, nullable=False
    ),  # orders re-use: the one that rests longest goes first
    Index(None, "pool", "holder", "freed", "address"),
)

# tags.py
tags = Table(
    "tags",
    metadata,
    Column("resource", String(32), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("value", String(256), nullable=False),
    _account(),
    Index(None, "account"),
)

# network/vpcs.py
vpcs = Table(
    "vpcs",
    metadata,
    Column("id", String(32), primary_key=True),
    _account(),
    Column("cidr", String(18), nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account"),  # the default one; there are no others yet
)

# network/groups.py
security_groups = Table(
    "security_groups",
    metadata,
    Column("id", String(32), primary_key=True),
    _account(),
    Column("vpc_id", String(32), ForeignKey("vpcs.id"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", String(255), nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("vpc_id", "name"),
)
security_group_rules = Table(
    "security_group_rules",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("group_id", String(32), ForeignKey("security_groups.id"), nullable=False, index=True),
    Column("is_egress", Boolean, nullable=False),
    Column("protocol", String(8), nullable=False),
    Column("from_port", Integer),
    Column("to_port", Integer),
    Column("cidr", String(49)),
    Column("source_group_id", String(32), ForeignKey("security_groups.id"), index=True),
    Column("description", String(255), nullable=False),
)
instance_groups = Table(
    "instance_groups",
    metadata,
    Column("instance_id", String(32), primary_key=True),
    Column("group_id", String(32), ForeignKey("security_groups.id"), primary_key=True, index=True),
)

# network/elastic.py
elastic_addresses = Table(
    "elastic_addresses",
    metadata,
    Column("id", String(32), primary_key=True),
    _account(),
    Column("address", String(15), nullable=False, unique=True),
    Column("instance_id", String(32), unique=True),
    Column("association_id", String(32), unique=True),
    Column("created_at", Instant, nullable=False),
    Index(None, "account"),
)

# compute/launch_templates.py
launch_templates = Table(
    "launch_templates",
    metadata,
    Column("id", String(32), primary_key=True),
    _account(),
    Column("name", String(128), nullable=False),
    Column("default_version", Integer, nullable=False),
    Column("latest_version", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account", "name"),
)
launch_template_versions = Table(
    "launch_template_versions",
    metadata,
    Column("template_id", String(32), ForeignKey("launch_templates.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("description", String(255), nullable=False),
    Column("data", Text, nullable=False),  # JSON
    Column("created_at", Instant, nullable=False),
    Column("client_token", String(128)),
)

# compute/keypairs.py
key_pairs = Table(
    "key_pairs",
    metadata,
    Column("id", String(32), primary_key=True),
    _account(),
    Column("name", String(255), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("fingerprint", String(128), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account", "name"),
)

# storage/buckets.py
buckets = Table(
    "buckets",
    metadata,
    Column("name", String(63), primary_key=True),
    _account(),
    Column("created_at", Instant, nullable=False),
    Column("versioning", String(16), nullable=False),
    Column("object_lock", Boolean, nullable=False),
)
bucket_settings = Table(
    "bucket_settings",
    metadata,
    Column("bucket", String(63), ForeignKey("buckets.name"), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("document", Text, nullable=False),
)

# storage/objects.py
# All versions and delete markers. Of the versions of a key, the newer has the smaller `rank`.
objects = Table(
    "objects",
    metadata,
    Column("bucket", String(63), ForeignKey("buckets.name"), primary_key=True),
    Column(
        "key", LargeBinary(1024), primary_key=True
    ),  # bytes: no collation may fold or order keys
    Column("rank", BigInteger, primary_key=True, autoincrement=False),
    Column("version_id", String(32), nullable=False),
    Column("is_latest", Boolean, nullable=False),
    Column("is_delete_marker", Boolean, nullable=False),
    # What a plain listing shows: the latest, unless it is a delete marker.
    Column("is_shown", Boolean, nullable=False),
    _account(),
    Column("created_at", Instant, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", String(64), nullable=False),
    Column("storage_class", String(32), nullable=False),
    Column("checksum", String(128)),
    Column("retention_mode", String(16)),
    Column("retained_until", Instant),
    Column("legal_hold", Boolean, nullable=False),
    Column("encryption", String(16)),
    # Where its bytes are: in one of these three, or nowhere, if there are none.
    Column("content_id", BigInteger),
    Column("blob", String(64)),
    # Whether the sums of its blocks follow the bytes in the blob: older versions wrote none.
    Column("has_sums", Boolean, nullable=False),
    Column("parts_id", String(64)),
    Column("part_count", Integer),
    Column("sealed_key", LargeBinary(256)),
    Column("headers", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("acl", Text),
    Index(None, "bucket", "is_shown", "key"),
    # The rows are in the order of the key, which is long: so it is there once less.
    sqlite_with_rowid=False,
)
for _column in (objects.c.blob, objects.c.parts_id):  # most objects have neither
    _is_there = _column.is_not(None)
    Index(None, _column, sqlite_where=_is_there, postgresql_where=_is_there)

# storage/contents.py: the bytes of small objects
contents = Table(
    "contents",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("crc", BigInteger, nullable=False),
)

# storage/uploads.py
uploads = Table(
    "uploads",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("bucket", String(63), ForeignKey("buckets.name"), nullable=False),
    Column("key", LargeBinary(1024), nullable=False),
    _account(),
    Column("created_at", Instant, nullable=False),
    Column("storage_class", String(32), nullable=False),
    Column("checksum_algorithm", String(16)),
    Column("checksum_kind", String(16), nullable=False),
    Column("encryption", String(16)),
    Column("retention_mode", String(16)),
    Column("retained_until", Instant),
    Column("legal_hold", Boolean, nullable=False),
    Column("headers", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("acl", Text),
    Index(None, "bucket", "key", "id"),
)
# The parts of an upload; later, under the same id, those of the object.
parts = Table(
    "parts",
    metadata,
    Column("parts_id", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("blob", String(64), index=True),  # none, if it has no bytes
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", String(64), nullable=False),
    Column("checksum", String(128)),
    Column("sealed_key", LargeBinary(256)),
    Column("created_at", Instant, nullable=False),
)

# storage/housekeeping.py: blobs that nothing names any more, but somebody may still be reading
parting_blobs = Table(
    "parting_blobs",
    metadata,
    Column("blob", String(64), primary_key=True),
    Column("parted_at", Instant, nullable=False, index=True),
)

# compute/images.py
images = Table(
    "images",
    metadata,
    Column("id", String(32), primary_key=True),
    _account(),
    Column("kind", String(16), nullable=False),
    Column("name", String(255), nullable=False),
    Column("format", String(16), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("virtual_size_bytes", BigInteger, nullable=False),
    Column("kernel_id", String(32)),
    Column("ramdisk_id", String(32)),
    Column("kernel_args", Text, nullable=False),
    Column("bucket", String(63), nullable=False),
    Column("key", LargeBinary(1024), nullable=False),
    Column("registered", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("description", String(255), nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("location", Text, nullable=False),
    UniqueConstraint("account", "name"),
)
launch_permissions = Table(
    "launch_permissions",
    metadata,
    Column("image_id", String(32), ForeignKey("images.id"), primary_key=True),
    # Whoever that may be: AWS takes any account's number, too.
    Column("grantee", String(12), primary_key=True),
)

# compute/types.py: what differs from the defaults
instance_types = Table(
    "instance_types",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("cpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("disk_gib", Integer, nullable=False),
    Column("removed", Boolean, nullable=False),
)

# compute/nodes.py
nodes = Table(
    "nodes",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("zone", String(255), nullable=False),
    Column("position", Integer, nullable=False),  # the order in which they joined
    Column("cpus", Integer, nullable=False),
    Column("memory_mib", BigInteger, nullable=False),
    Column("disk_gib", BigInteger, nullable=False),
    Column("used_cpus", Integer, nullable=False),
    Column("used_memory_mib", BigInteger, nullable=False),
    Column("used_disk_gib", BigInteger, nullable=False),
    Column("problem", Text),
    Column("host_boot", String(64), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("silent", Boolean, nullable=False),
    Column("labels", Text, nullable=False),  # JSON
    Column("dedicated_to", String(12)),
    Column("turn", BigInteger, nullable=False),
    Column(
        "changed", BigInteger, nullable=False, index=True
    ),  # see state/transaction.py, horizon()
)

# compute/placement_groups.py
placement_groups = Table(
    "placement_groups",
    metadata,
    Column("id", String(32), primary_key=True),
    _account(),
    Column("name", String(255), nullable=False),
    Column("strategy", String(16), nullable=False),
    Column("partitions", Integer),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account", "name"),
)

# compute/scheduler.py
claims = Table(
    "claims",
    metadata,
    Column("holder", String(64), primary_key=True),
    Column("node", String(255), ForeignKey("nodes.name"), nullable=False, index=True),
    Column("cpus", Integer, nullable=False),
    Column("memory_mib", BigInteger, nullable=False),
    Column("disk_gib", BigInteger, nullable=False),
    Column("group_id", String(32), index=True),
    Column("partition", Integer),
)

# compute/instances.py
reservations = Table(
    "reservations",
    metadata,
    Column("id", String(32), primary_key=True),
    _account(),
    Column("client_token", String(64)),
    Column("request", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account", "client_token"),
)
instances = Table(
    "instances",
    metadata,
    Column("id", String(32), primary_key=True),
    _account(),
    Column("reservation_id", String(32), ForeignKey("reservations.id"), nullable=False),
    Column("launch_index", Integer, nullable=False),
    Column("image_id", String(32), ForeignKey("images.id"), nullable=False),
    Column("kernel_id", String(32)),
    Column("ramdisk_id", String(32)),
    Column("type", String(255), nullable=False),
    Column("cpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("disk_gib", Integer, nullable=False),
    Column("key_name", String(255)),
    Column("public_key", Text),
    Column("user_data", LargeBinary),
    Column("http_tokens", String(16), nullable=False),
    Column("http_hop_limit", Integer, nullable=False),
    Column("node", String(255), ForeignKey("nodes.name"), nullable=False, index=True),
    Column("zone", String(255), nullable=False),
    Column("group", String(255)),
    Column("partition", Integer),
    Column("address", String(15)),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("boot", Integer, nullable=False),
    Column("seen_boot", Integer, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("launched_at", Instant, nullable=False),
    Column("http_endpoint", String(16), nullable=False),
    Column("is_protected", Boolean, nullable=False),
    Column("shutdown_behaviour", String(16), nullable=False),
    Column("is_monitored", Boolean, nullable=False),
    Index(None, "state"),
    Index(None, "address"),
    Index(None, "account", "launched_at", "launch_index", "id"),  # the order of pages
)
consoles = Table(
    "consoles",
    metadata,
    Column("instance_id", String(32), ForeignKey("instances.id"), primary_key=True),
    Column("output", LargeBinary, nullable=False),
    Column("taken_at", Instant, nullable=False),
)
