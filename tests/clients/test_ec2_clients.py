"""Clients that know nothing of pycloud, each in a process of its own, against a cloud that ticks."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import attrs
import pytest

from pycloud.drivers.serve import WsgiServer
from pycloud.ec2 import EC2App
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.testing.bundles import Bundler
from pycloud.testing.images import kernel_bytes
from pycloud.testing.world import SimWorld
from tests.ec2.conftest import keep_ticking

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
CLIENTS = ROOT / ".venv-clients/bin"
MODULES = ROOT / ".build/javascript"

pytestmark = pytest.mark.skipif(
    not (CLIENTS.parent / "holds").exists(), reason="no clients: ./run-tests installs them"
)


@attrs.frozen
class Box:
    """Where the cloud answers, and the administrator's key."""

    url: str
    key: str
    secret: str


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    with SimWorld(nodes=2, zones=("cluster01", "cluster02")) as world:
        identity = Identity(world.cloud.state, Seal(bytes(32)))
        world.cloud.identity = identity
        key, secret = identity.usable_key(identity.users.get("admin"))
        _upload_bundle(world, identity)
        with WsgiServer(EC2App(world.cloud)) as server, keep_ticking(world):
            yield Box(f"http://127.0.0.1:{server.port}", key, secret)


def _upload_bundle(world: SimWorld, identity: Identity) -> None:
    """Put a bundled kernel at `boot/vmlinuz.manifest.xml`."""
    images = world.cloud.images
    images.certificates = identity.certificates
    images.buckets.create_bucket("boot")
    _, private_key = identity.certificates.create(identity.users.get("admin"))
    bundler = Bundler(identity.certificates.cloud(), private_key)
    for name, content in bundler.bundle(BytesIO(kernel_bytes()), "vmlinuz", kernel="true"):
        images.buckets.put("boot", name, BytesIO(content))


def _run(*command: object, home: Path, **variables: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": str(home), **variables},
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("provider", ["ec2", "eucalyptus"])
def test_libcloud(box: Box, provider: str, tmp_path: Path) -> None:
    script = HERE / "libcloud_session.py"
    said = _run(CLIENTS / "python", script, box.url, box.key, box.secret, provider, home=tmp_path)
    assert said.strip() == "done"


def test_boto2(box: Box, tmp_path: Path) -> None:
    script = HERE / "boto2_session.py"
    said = _run(CLIENTS / "python", script, box.url, box.key, box.secret, home=tmp_path)
    assert said.strip() == "done"


def test_javascript(box: Box, tmp_path: Path) -> None:
    script = HERE / "session.mjs"
    said = _run("node", script, MODULES, box.url, box.key, box.secret, home=tmp_path)
    assert said.strip() == "done"


def test_the_aws_command_line(box: Box, tmp_path: Path) -> None:
    def aws(*words: str) -> Any:
        said = _run(
            CLIENTS / "aws",
            *words,
            home=tmp_path,
            AWS_ENDPOINT_URL=box.url,
            AWS_DEFAULT_REGION="pycloud",
            AWS_ACCESS_KEY_ID=box.key,
            AWS_SECRET_ACCESS_KEY=box.secret,
            AWS_MAX_ATTEMPTS="1",
        )
        return json.loads(said) if said.strip() else None

    assert aws("sts", "get-caller-identity")["Account"] == "000000000001"
    assert aws("iam", "get-user")["User"]["UserName"] == "admin"
    assert aws("ec2", "create-key-pair", "--key-name", "cli")["KeyMaterial"].startswith("-----")
    images = aws("ec2", "describe-images", "--filters", "Name=image-type,Values=machine")
    tags = "ResourceType=instance,Tags=[{Key=Name,Value=web}]"
    run = aws(
        *("ec2", "run-instances", "--image-id", images["Images"][0]["ImageId"]),
        *("--key-name", "cli", "--user-data", "#!/bin/sh", "--tag-specifications", tags),
    )
    [instance] = run["Instances"]
    ids = ("--instance-ids", instance["InstanceId"])
    aws("ec2", "wait", "instance-running", *ids)
    found = aws("ec2", "describe-instances", "--filters", "Name=tag:Name,Values=w?b")
    assert found["Reservations"][0]["Instances"][0]["InstanceId"] == instance["InstanceId"]
    ended = aws("ec2", "terminate-instances", *ids)
    assert ended["TerminatingInstances"][0]["CurrentState"]["Name"] == "shutting-down"
