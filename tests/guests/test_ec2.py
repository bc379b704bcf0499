"""A real guest through the EC2 API: launched by boto3, and logged in to with the key pair that it
made.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.guests.conftest import READY, RealCloud, wait_for

SOON = {"Delay": 1, "MaxAttempts": 60}


@pytest.fixture
def ec2(real: RealCloud) -> Any:
    """boto3's client of the cloud's administrator."""
    identity = real.box.cloud.identity
    assert identity is not None
    key, secret = identity.usable_key(identity.users.get("admin"))
    return boto3.client(
        "ec2",
        endpoint_url=identity.endpoints().ec2,
        region_name=real.box.cloud.region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


def test_a_guest_is_launched_logged_in_to_and_terminated(
    real: RealCloud, ec2: Any, tmp_path: Path
) -> None:
    private = tmp_path / "boto3.pem"
    private.write_text(ec2.create_key_pair(KeyName="boto3")["KeyMaterial"])
    private.chmod(0o600)
    [made] = ec2.run_instances(
        ImageId=real.machine.id,
        KeyName="boto3",
        MinCount=1,
        MaxCount=1,
        UserData="#!/bin/sh\necho user data was here >/root/note\n",
        MetadataOptions={"HttpTokens": "required"},
    )["Instances"]
    ids = [made["InstanceId"]]
    ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig=SOON)
    ec2.get_waiter("instance_status_ok").wait(InstanceIds=ids, WaiterConfig=SOON)
    [shown] = ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"]
    wait_for("the guest is ready", lambda: READY in _console(ec2, ids[0]))
    assert _say(private, shown["PublicIpAddress"], "cat /root/note") == "user data was here"
    hostname = _say(private, shown["PublicIpAddress"], "hostname")
    assert shown["PrivateDnsName"].startswith(f"{hostname}.")
    ec2.terminate_instances(InstanceIds=ids)
    ec2.get_waiter("instance_terminated").wait(InstanceIds=ids, WaiterConfig=SOON)
    assert READY in _console(ec2, ids[0]), "the last words are kept"


def _console(ec2: Any, instance_id: str) -> bytes:
    # botocore has decoded the base64 of the wire.
    return str(ec2.get_console_output(InstanceId=instance_id).get("Output", "")).encode()


def _say(private: Path, address: str, command: str) -> str:
    quiet = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    quiet += ["-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
    done = subprocess.run(
        ["ssh", "-i", str(private), *quiet, f"root@{address}", command],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
