"""Walrus with boto 2: URL, key and secret are arguments."""

import io
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent))

import boto
from boto.s3.key import Key
from s3_keys import KEYS

url, key, secret = urlsplit(sys.argv[1]), *sys.argv[2:]
connection = boto.connect_walrus(url.hostname, key, secret, port=url.port, is_secure=False)
assert connection.path == "/services/Walrus"
assert connection.host == url.hostname
bucket = connection.create_bucket("walrus", location="EU")
assert [one.name for one in connection.get_all_buckets()] == ["walrus"]
# boto 2 makes one slash of two, and signs what is not ASCII in a way of its own.
keys = [one for one in KEYS if one.isascii() and "//" not in one]
for name in keys:
    item = Key(bucket, name)
    item.set_metadata("where", "sea")
    item.set_contents_from_string(name)
    found = bucket.get_key(name)
    assert found.get_contents_as_string() == name.encode(), name
    assert found.get_metadata("where") == "sea"
listed = [one.name for one in bucket.list()]
assert sorted(listed) == sorted(keys), set(listed) ^ set(keys)
assert [one.name for one in bucket.list(prefix="t", delimiter="/")] == ["trailing/"]
large = os.urandom(11 * 1024 * 1024)
upload = bucket.initiate_multipart_upload("large")
for number, start in enumerate(range(0, len(large), 5 * 1024 * 1024), 1):
    upload.upload_part_from_file(io.BytesIO(large[start : start + 5 * 1024 * 1024]), number)
assert [one.part_number for one in upload] == [1, 2, 3]
upload.complete_upload()
assert bucket.get_key("large").get_contents_as_string() == large
ranged = bucket.get_key("large").get_contents_as_string(headers={"Range": "bytes=5-9"})
assert ranged == large[5:10]
bucket.copy_key("copy", "walrus", "large")
assert bucket.get_key("copy").size == len(large)
bucket.set_canned_acl("public-read", "copy")
assert len(bucket.get_acl("copy").acl.grants) == 2
bucket.configure_versioning(True)
assert bucket.get_versioning_status()["Versioning"] == "Enabled"
Key(bucket, "copy").set_contents_from_string("two")
for version in bucket.list_versions():
    bucket.delete_key(version.name, version_id=version.version_id)
result = bucket.delete_keys([one.name for one in bucket.list()])
assert not result.errors
assert bucket.get_key("large") is None
assert connection.lookup("no-such-bucket") is None
connection.delete_bucket("walrus")
print("done")
