"""Buckets and objects with MinIO's client: URL, key and secret are arguments."""

import io
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent))

from minio import Minio
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from s3_keys import KEYS

url, key, secret = urlsplit(sys.argv[1]), *sys.argv[2:]
client = Minio(url.netloc, access_key=key, secret_key=secret, secure=False)
client.make_bucket(bucket_name="minio")
assert client.bucket_exists(bucket_name="minio")
assert "minio" in [bucket.name for bucket in client.list_buckets()]
# The client itself refuses keys with dots for folders.
keys = [one for one in KEYS if ".." not in one]
for name in keys:
    body = name.encode() * 2
    client.put_object(
        bucket_name="minio", object_name=name, data=io.BytesIO(body), length=len(body)
    )
    answer = client.get_object(bucket_name="minio", object_name=name)
    assert answer.read() == body, name
    answer.close()
    answer.release_conn()
found = [one.object_name for one in client.list_objects(bucket_name="minio", recursive=True)]
assert sorted(found) == sorted(keys), found
large = os.urandom(11 * 1024 * 1024)
made = client.put_object(
    bucket_name="minio",
    object_name="large",
    data=io.BytesIO(large),
    length=-1,
    part_size=5 * 1024 * 1024,
    metadata={"where": "sea"},
)
assert made.etag.endswith("-3"), made.etag
stat = client.stat_object(bucket_name="minio", object_name="large")
assert stat.size == len(large)
assert stat.metadata["x-amz-meta-where"] == "sea"
part = client.get_object(
    bucket_name="minio", object_name="large", offset=5_000_000, length=1_000_000
)
assert part.read() == large[5_000_000:6_000_000]
client.copy_object(
    bucket_name="minio",
    object_name="copy",
    source=CopySource(bucket_name="minio", object_name="large"),
)
assert client.get_object(bucket_name="minio", object_name="copy").read() == large
client.get_presigned_url(method="GET", bucket_name="minio", object_name="copy")
gone = [DeleteObject(name=one) for one in [*keys, "large", "copy"]]
assert not list(client.remove_objects(bucket_name="minio", delete_object_list=gone))
assert not list(client.list_objects(bucket_name="minio", recursive=True))
code = ""
try:
    client.stat_object(bucket_name="minio", object_name="large")
except S3Error as error:
    code = error.code
assert code == "NoSuchKey", code
client.remove_bucket(bucket_name="minio")
print("done")
