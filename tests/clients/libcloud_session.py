"""The session of the article with apache-libcloud: URL, key, secret and driver are arguments."""

import sys
import time
from urllib.parse import urlsplit

from libcloud.compute.base import NodeSize
from libcloud.compute.providers import get_driver

url, key, secret, provider = urlsplit(sys.argv[1]), *sys.argv[2:]
options = {"host": url.hostname, "port": url.port, "secure": False}
if provider == "eucalyptus":
    options["path"] = "/services/Eucalyptus"
    driver = get_driver(provider)(key, secret, **options)
else:
    driver = get_driver(provider)(key, secret, region="us-east-1", **options)

pair = driver.create_key_pair("libcloud")
assert pair.private_key.startswith("-----BEGIN"), pair.private_key
image = next(one for one in driver.list_images() if one.id.startswith("emi-"))
# Zones and sizes are not listed: libcloud has its own of AWS's regions, and the Eucalyptus driver reads sizes in
# a document of Eucalyptus 3.3.
size = NodeSize("m1.small", "m1.small", 256, 5, None, None, driver)
node = driver.create_node(name="web", image=image, size=size, ex_keyname="libcloud")
deadline = time.monotonic() + 30
while True:
    [found] = [one for one in driver.list_nodes() if one.id == node.id]
    if found.state == "running" and found.public_ips:
        break
    assert time.monotonic() < deadline, found
    time.sleep(0.1)
assert found.name == "web", found.name
assert found.extra["key_name"] == "libcloud"
assert driver.destroy_node(found)
[gone] = driver.list_nodes(ex_node_ids=[node.id])
assert gone.state != "running", gone.state
assert driver.delete_key_pair(pair)
print("done")
