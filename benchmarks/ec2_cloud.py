"""A cloud of simulated nodes behind the EC2 adapter, as a program: it prints where it listens, a key with its
secret and an image, and serves until it is told to end.
"""

from __future__ import annotations

import argparse
import gc
import signal
from pathlib import Path
from typing import Any

import pycloud
from pycloud.drivers.files import FileBlobs
from pycloud.drivers.serve import WsgiServer
from pycloud.drivers.sim import SimHost, sim_node
from pycloud.ec2 import EC2App
from pycloud.testing.images import register_sim_images

NODES = 200
_HOST: dict[str, Any] = {"cpus": 64, "memory_mib": 262144, "disk_gib": 20000}


def assembled(home: Path, postgres_url: str | None = None) -> pycloud.CloudController:
    """Return the cloud, as the example `cloud-in-a-box` assembles it."""
    state = (
        pycloud.SQLiteState(home / "cloud.db")
        if postgres_url is None
        else pycloud.PostgresState(postgres_url)
    )
    nodes = [sim_node(f"node{number}", SimHost(**_HOST)) for number in range(1, NODES + 1)]
    public = pycloud.IPPool(state, "203.0.113.0/24", name="public")
    return pycloud.CloudController(
        state,
        scheduler=pycloud.ClusterScheduler(state, nodes),
        addresses=pycloud.IPPool(state, "10.11.0.0/16"),
        images=pycloud.ImageRegistry(state, pycloud.BucketStore(state, FileBlobs(home / "blobs"))),
        identity=pycloud.Identity(state, pycloud.Seal.from_file(home / "seal.key")),
        elastic=pycloud.ElasticAddresses(state, public),
    )


def key_and_image(cloud: pycloud.CloudController) -> tuple[str, str, str]:
    """Return the administrator's key with its secret, and a machine image."""
    assert cloud.identity is not None
    key, secret = cloud.identity.usable_key(cloud.identity.users.get("admin"))
    known = [one for one in cloud.images.list() if one.kind is pycloud.ImageKind.MACHINE]
    image = known[0] if known else register_sim_images(cloud.images).machine
    return key, secret, image.id


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--postgres")
    options = parser.parse_args()
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    cloud = assembled(options.home, options.postgres)
    with cloud, WsgiServer(EC2App(cloud), threads=16) as server:
        gc.freeze()  # as cloud-in-a-box does
        print(f"http://127.0.0.1:{server.port}", *key_and_image(cloud), flush=True)
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
