"""What a script of ten years ago does with boto 2 after `source eucarc`: all it knows is in the environment."""

import os
from urllib.parse import urlsplit

import boto

url = urlsplit(os.environ["EC2_URL"])
connection = boto.connect_euca(
    host=url.hostname,
    aws_access_key_id=os.environ["EC2_ACCESS_KEY"],
    aws_secret_access_key=os.environ["EC2_SECRET_KEY"],
    port=url.port,
    path=url.path,
    is_secure=url.scheme == "https",
)
assert connection.create_key_pair("old").name == "old"
[image] = [one for one in connection.get_all_images(owners=["self"]) if one.type == "machine"]
assert image.owner_id == os.environ["EC2_ACCOUNT_NUMBER"], image.owner_id
print("done")
