"""A bucket as a file system with s3fs: URL, key and secret are arguments."""

import os
import sys

import s3fs

url, key, secret = sys.argv[1:]
fs = s3fs.S3FileSystem(
    key=key, secret=secret, endpoint_url=url, client_kwargs={"region_name": "pycloud"}
)
fs.mkdir("s3fs-bucket")
with fs.open("s3fs-bucket/folder/a + b é.txt", "wb") as file:
    file.write(b"sand")
assert fs.cat("s3fs-bucket/folder/a + b é.txt") == b"sand"
assert fs.ls("s3fs-bucket/folder") == ["s3fs-bucket/folder/a + b é.txt"]
large = os.urandom(12 * 1024 * 1024)
with fs.open("s3fs-bucket/large", "wb", block_size=5 * 1024 * 1024) as file:
    file.write(large)
with fs.open("s3fs-bucket/large", "rb") as file:
    file.seek(6_000_000)
    assert file.read(100_000) == large[6_000_000:6_100_000]
assert fs.size("s3fs-bucket/large") == len(large)
fs.touch("s3fs-bucket/empty/")
fs.mv("s3fs-bucket/large", "s3fs-bucket/folder/moved")
assert fs.cat("s3fs-bucket/folder/moved") == large
assert not fs.exists("s3fs-bucket/large")
fs.setxattr("s3fs-bucket/folder/moved", copy_kwargs={}, where="sea")
assert fs.getxattr("s3fs-bucket/folder/moved", "where") == "sea"
assert sorted(fs.find("s3fs-bucket/folder")) == [
    "s3fs-bucket/folder/a + b é.txt",
    "s3fs-bucket/folder/moved",
]
fs.rm("s3fs-bucket", recursive=True)
fs.invalidate_cache()
assert not fs.exists("s3fs-bucket")
print("done")
