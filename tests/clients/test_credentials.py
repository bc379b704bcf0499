"""After `unzip admin.zip && source eucarc`, old tools and new ones find the cloud and are let in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycloud.drivers.serve import WsgiServer
from pycloud.ec2 import EC2App
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.testing.world import SimWorld
from tests.clients.test_ec2_clients import CLIENTS, HERE, pytestmark

__all__ = ["pytestmark"]


@pytest.fixture
def unpacked(tmp_path: Path) -> Iterator[Path]:
    """The administrator's credentials, of a cloud that is up."""
    home = tmp_path / "home"
    home.mkdir()
    with SimWorld(home, nodes=1) as world:
        identity = Identity(world.cloud.state, Seal.from_file(home / "seal.key"))
        world.cloud.identity = identity
        with WsgiServer(EC2App(world.cloud)) as server:
            identity.set_endpoint("ec2", f"http://127.0.0.1:{server.port}/")
            command = [sys.executable, "-m", "pycloud", "credentials", "admin.zip"]
            subprocess.run([*command, "--home", str(home)], cwd=tmp_path, check=True, timeout=60)
            subprocess.run(["unzip", "-q", "admin.zip", "-d", "creds"], cwd=tmp_path, check=True)
            yield tmp_path / "creds"


def _sourced(*command: object, folder: Path) -> str:
    """Run a command as after `source eucarc`, with nothing else to go by."""
    script = 'source "$0/eucarc" && exec "$@"'
    done = subprocess.run(
        ["bash", "-c", script, str(folder), *map(str, command)],
        capture_output=True,
        text=True,
        timeout=120,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder.parent),
            # Left over from another cloud.
            "AWS_SESSION_TOKEN": "stale",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9/",
        },
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def test_both_generations_of_tools_are_let_in(unpacked: Path) -> None:
    assert _sourced(CLIENTS / "python", HERE / "eucarc_session.py", folder=unpacked) == "done\n"
    pairs = json.loads(_sourced(CLIENTS / "aws", "ec2", "describe-key-pairs", folder=unpacked))
    assert [one["KeyName"] for one in pairs["KeyPairs"]] == ["old"]
    who = json.loads(_sourced(CLIENTS / "aws", "sts", "get-caller-identity", folder=unpacked))
    assert who["Arn"] == "arn:aws:iam::000000000001:user/admin"
    users = json.loads(_sourced(CLIENTS / "aws", "iam", "list-users", folder=unpacked))
    assert [one["UserName"] for one in users["Users"]] == ["admin"]
