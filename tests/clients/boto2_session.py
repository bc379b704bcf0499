"""The session of the article with boto 2: URL, key and secret are arguments."""

import sys
import time
from urllib.parse import urlsplit

import boto

url, key, secret = urlsplit(sys.argv[1]), *sys.argv[2:]
connection = boto.connect_euca(
    url.hostname, key, secret, path="/services/Eucalyptus", port=url.port, is_secure=False
)
pair = connection.create_key_pair("boto2")
assert pair.material.startswith("-----BEGIN"), pair.material
image = next(one for one in connection.get_all_images(owners=["self"]) if one.type == "machine")
assert image.location, image
kernel = connection.register_image(image_location="boot/vmlinuz.manifest.xml")
assert kernel.startswith("eki-"), kernel
assert connection.get_image(kernel).location == "boot/vmlinuz.manifest.xml"
zones = connection.get_all_zones(["verbose"])
assert zones[2].name == "|- m1.small", zones
assert "/" in zones[2].state, zones[2].state
reservation = connection.run_instances(image.id, key_name="boto2", instance_type="m1.small")
assert [group.name for group in reservation.groups] == ["default"], reservation.groups
[instance] = reservation.instances
assert instance.state == "pending", instance.state
deadline = time.monotonic() + 30
while instance.update() != "running":
    assert time.monotonic() < deadline, instance.state
    time.sleep(0.1)
assert instance.ip_address, instance.__dict__
instance.add_tag("Name", "web")
[found] = connection.get_only_instances(filters={"tag:Name": "web"})
assert found.id == instance.id
[ended] = connection.terminate_instances([instance.id])
assert ended.state == "shutting-down", ended.state
assert connection.delete_key_pair("boto2")
code = None
try:
    connection.get_only_instances(["i-00000000"])
except boto.exception.EC2ResponseError as error:
    code = error.error_code
assert code == "InvalidInstanceID.NotFound", code
print("done")
