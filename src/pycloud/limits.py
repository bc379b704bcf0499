"""Every limit of the product, with its reason. Values are facts that `docs/limits.md` repeats to
users.
"""

from __future__ import annotations

from typing import Final

NAME_CHARS: Final = 255
"""Names of key pairs, images, nodes: AWS allows 255 ("CreateKeyPair"), and every column and tool
bears it.
"""

ACCESS_KEYS: Final = 2
"""Of one user: one in use, one that replaces it ("IAM and AWS STS quotas")."""

CERTIFICATES: Final = 2
"""Signing certificates of one user ("IAM and AWS STS quotas")."""

CERTIFICATE_CHARS: Final = 16 * 1024
"""Of one certificate ("UploadSigningCertificate", IAM API reference)."""

SESSION_MIN_S: Final = 15 * 60
"""AWS: temporary credentials last 15 minutes to 36 hours ("GetSessionToken")."""

SESSION_MAX_S: Final = 36 * 60 * 60
"""See `SESSION_MIN_S`."""

SESSION_DEFAULT_S: Final = 12 * 60 * 60
"""See `SESSION_MIN_S`."""

USER_DATA_BYTES: Final = 16 * 1024
"""AWS: "User data is limited to 16 KB, in raw form, before it is base64-encoded"."""

INSTANCES_PER_CALL: Final = 1000
"""One launch is one transaction, so it must end soon; AWS's default is lower still."""

CLIENT_TOKEN_CHARS: Final = 64
"""Of a launch's client token ("Ensuring idempotency in Amazon EC2 API requests")."""

PUBLIC_KEY_BYTES: Final = 16 * 1024
"""An RSA-16384 key fits; what is longer is no key."""

IMAGE_BYTES: Final = 64 * 1024**3
"""Largest image: it is copied to each node that uses it."""

IMAGE_GRANTEES: Final = 500
"""Accounts in one change of an image's launch permission: one statement each."""

KERNEL_BYTES: Final = 512 * 1024**2
"""Largest kernel or ramdisk: QEMU loads them into the guest's memory."""

MANIFEST_BYTES: Final = 4 * 1024**2
"""Of a bundle's manifest: `BUNDLE_PARTS` of 250 bytes fit in, and it is read as a whole."""

BUNDLE_PARTS: Final = 10_000
"""Parts of a bundled image: the largest image in parts of 10 MB, which bundlers make, has 6 900."""

BUNDLE_HEAD_BYTES: Final = 4 * 1024**2
"""What stands before and after the image in its archive: names, and where the holes of 170 000
extents are. It is held in memory.
"""

CONSOLE_BYTES: Final = 64 * 1024
"""Kept of a guest's console: AWS gives the last 64 KB ("GetConsoleOutput")."""

STOP_GRACE_S: Final = 60
"""A guest that ignores the power button this long is switched off: a full Linux needs 20–40 s
under emulation.
"""

TERMINATE_GRACE_S: Final = 10
"""Termination gives less: its disk is thrown away anyway."""

LAUNCH_TIMEOUT_S: Final = 15 * 60
"""A launch that does not come to run in this time is given up with a reason: nothing stays
pending for ever.
"""

TERMINATED_VISIBLE_S: Final = 60 * 60
"""AWS shows a terminated instance for about an hour."""

JOURNAL_DAYS: Final = 90
"""How long events are kept: AWS's CloudTrail shows 90 days."""

LOOP_PERIOD_S: Final = 10
"""At rest every node is looked at this often; drift is mended within one period."""

TIDY_PERIOD_S: Final = 60
"""How often old records and unneeded images are looked for."""

BUSY_PERIOD_S: Final = 0.5
"""While something is under way and no event tells of it."""

BACKOFF_MAX_S: Final = 30
"""A node that fails is asked again after 1, 2, 4 … s, but no later than this."""

NODE_SILENT_S: Final = 30
"""A node that does not answer this long is called silent: a libvirtd that is restarted is back
sooner.
"""

OVERCOMMIT_MAX: Final = 1000
"""Of cores or memory: what is larger is a mistake, such as percents or an infinity."""

NODE_LABELS: Final = 50
"""Labels of a node: as many as AWS allows tags."""

PARTITIONS_MAX: Final = 7
"""Partitions of a placement group ("Placement strategies", EC2 user guide)."""

APART_MAX: Final = 1000
"""Others that one instance can be kept apart from: they are looked up in the launch's transaction."""

INSTANCES_PER_READ: Final = 1000
"""Read from the database at a time for one answer: as many as a page has at most."""

FILTER_VALUES: Final = 200
"""Of one filter ("Listing and filtering your resources", EC2 user guide)."""

TAGS: Final = 50
"""Of one resource ("Tag restrictions", EC2 user guide), and what else such a thing may have."""

TAG_KEY_CHARS: Final = 128
"""See `TAGS`."""

TAG_VALUE_CHARS: Final = 256
"""See `TAGS`."""

TAGGED_AT_ONCE: Final = 1000
"""Resources of one CreateTags ("CreateTags", EC2 API reference)."""

QUERY_PARAMETERS: Final = 10_000
"""Of one request: 1 000 ids, 50 tags and 200 filters of 200 values fit; more is no request of a tool."""

QUERY_NAME_CHARS: Final = 128
"""Of each part of a parameter's name: the longest of AWS has 56."""

QUERY_NAME_PARTS: Final = 16
"""Of a parameter's name, between dots: the deepest of AWS has 11."""

QUERY_VALUE_CHARS: Final = 64 * 1024
"""Of one value: user data of 16 KB is 22 000 characters of base64, a policy 20 KB."""

QUERY_BODY_BYTES: Final = 1024 * 1024
"""Of one request to the EC2 adapter: AWS refuses larger ones too ("RequestEntityTooLarge")."""

METADATA_HOP_LIMIT_MAX: Final = 64
"""AWS: `HttpPutResponseHopLimit` is 1 to 64."""

METADATA_TOKEN_MAX_S: Final = 6 * 60 * 60
"""AWS: a metadata token lives six hours at most."""

GROUPS_PER_INSTANCE: Final = 5
"""Security groups of one interface ("Amazon VPC quotas")."""

GROUP_RULES: Final = 60
"""Rules of a security group, each way ("Amazon VPC quotas")."""

GROUPS_PER_ACCOUNT: Final = 2500
"""Security groups of an account ("Amazon VPC quotas")."""

ELASTIC_ADDRESSES: Final = 256
"""Of one account. AWS gives 5; a private cloud's addresses are its owner's."""

TEMPLATE_VERSIONS: Final = 10_000
"""Of one launch template ("Launch template quotas")."""

TEMPLATE_TOKEN_CHARS: Final = 128
"""Of the client token of a launch template ("CreateLaunchTemplate", EC2 API reference)."""

SUBNET_PREFIX_MIN: Final = 16
"""AWS allows /16 to /28 ("Subnet sizing")."""

SUBNET_PREFIX_MAX: Final = 28
"""See `SUBNET_PREFIX_MIN`."""

CLOCK_SKEW_S: Final = 15 * 60
"""AWS refuses a request signed more than 15 minutes from now ("RequestTimeTooSkewed")."""

PRESIGNED_MAX_S: Final = 7 * 24 * 60 * 60
"""AWS: `X-Amz-Expires` is 1 to 604800: a signing key is good for seven days."""

CREDENTIAL_CHARS: Final = 512
"""A key's id (AWS: 128) with its scope: what is longer is no credential, and is not remembered."""

CHUNK_BYTES: Final = 16 * 1024**2
"""A signed chunk is held in memory until its signature is verified. Clients send 64 KiB (minio-go)
to 1 MiB.
"""

CHUNK_LINE_BYTES: Final = 1024
"""The line before a chunk has a size and a signature: about 90 bytes."""

TRAILER_BYTES: Final = 8 * 1024
"""Headers after the body: a checksum and a signature."""

POST_POLICY_BYTES: Final = 20 * 1024
"""AWS: the fields before the file of a browser's upload have 20 KB in all."""

BUCKETS_PER_ACCOUNT: Final = 10_000
"""AWS: general purpose buckets of one account ("Amazon S3 endpoints and quotas")."""

KEY_BYTES: Final = 1024
"""Of an object's key, in UTF-8 ("Naming Amazon S3 objects")."""

OBJECT_BYTES: Final = 5 * 1024**4
"""Of one object, in parts: what S3 allowed for many years, and its tools know."""

PUT_BYTES: Final = 5 * 1024**3
"""Of one put, and of one part ("Amazon S3 multipart upload limits")."""

PART_MIN_BYTES: Final = 5 * 1024**2
"""Of each part but the last ("Amazon S3 multipart upload limits")."""

PARTS: Final = 10_000
"""Of one upload ("Amazon S3 multipart upload limits")."""

METADATA_BYTES: Final = 2 * 1024
"""Names and values of an object's own metadata ("Working with object metadata")."""

OBJECT_TAGS: Final = 10
"""Of one object ("Categorizing your storage using tags"); a bucket has `TAGS`."""

LIST_KEYS: Final = 1000
"""Keys and common prefixes of one page ("ListObjectsV2")."""

DELETED_AT_ONCE: Final = 1000
"""Keys of one DeleteObjects ("DeleteObjects")."""

SETTING_BYTES: Final = 256 * 1024
"""Of one document of a bucket: lifecycle rules and CORS have 64 KB in AWS, a policy 20 KB."""

LIFECYCLE_RULES: Final = 1000
"""Of one bucket ("Setting a lifecycle configuration")."""

RETENTION_DAYS: Final = 36_500
"""AWS: a default retention is at most 100 years ("Object Lock considerations")."""

SMALL_OBJECT_BYTES: Final = 16 * 1024
"""An object up to this size is kept in the database: one durable commit, which several writers
share, instead of a file, its sync, its folder's sync and a commit.
"""

BLOCK_BYTES: Final = 256 * 1024
"""Each such piece of an object has a checksum of its own, so a range is verified too. A range of one
byte reads so much, and 5 GiB have 80 KiB of checksums.
"""

FRAME_BYTES: Final = 64 * 1024
"""Of encrypted bytes, each such piece is encrypted alone, so a range can be read."""

ORPHAN_S: Final = 24 * 60 * 60
"""Bytes that no object names are swept when they were last written to this long ago: until then
they may be somebody's whose object is about to be recorded.
"""

READING_S: Final = 60 * 60
"""The parts of a deleted object are kept so long for those who are reading it: they are opened one
after the other. An object of one piece is kept by the reader's open file.
"""

EXPIRY_ROWS: Final = 10_000
"""Versions that one step of lifecycle rules looks at, so that the loop is never held up for long."""

S3_DOCUMENT_BYTES: Final = 8 * 1024**2
"""Of one XML body: 10 000 parts with their checksums, or 1 000 keys of 1 024 bytes, all escaped."""

BUCKET_POLICY_BYTES: Final = 20 * 1024
"""Of one policy ("Bucket policies for Amazon S3")."""

ACL_GRANTS: Final = 100
"""Of one ACL ("Access control list (ACL) overview")."""

CORS_RULES: Final = 100
"""Of one bucket ("Elements of a CORS configuration")."""

FORM_BYTES: Final = 20 * 1024
"""Of the fields before the file of a browser's upload: see `POST_POLICY_BYTES`."""

FORM_FIELDS: Final = 200
"""Of one form: as many as fit into `FORM_BYTES` with some content."""

BUCKET_KNOWN_S: Final = 1.0
"""How long a process of the S3 adapter remembers a bucket's settings: so long another process's change
of a policy may take to be seen.
"""

BUCKETS_KNOWN: Final = 10_000
"""How many buckets are remembered so: some megabytes."""

ACCESS_LOG_LINES: Final = 1000
"""Of a bucket's access log, gathered in memory: so many make an object, some hundred KiB."""

ACCESS_LOG_S: Final = 60
"""Or as many as there are after so long: who watches sees them soon, S3 takes hours."""

ACCESS_LOG_HELD_BYTES: Final = 16 * 1024**2
"""Of all lines that wait. Half of it, and they are delivered early; all of it, and they are lost."""

ACCESS_LOG_FIELD_CHARS: Final = 8 * 1024
"""Of what a client says of itself in a line: a path, a key of 1 024 bytes and a presigned query fit."""
