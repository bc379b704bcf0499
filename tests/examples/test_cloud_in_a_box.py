"""The main job, as its users run it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import boto3
import pytest

from tests.guests.conftest import home, why_no_guests

__all__ = ["home"]

ROOT = Path(__file__).parents[2]


def _box(*arguments: str, command: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "examples.cloud_in_a_box"]
    return subprocess.run(
        [*(command or program), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.guests
@pytest.mark.skipif(why_no_guests() is not None, reason=str(why_no_guests()))
def test_once_with_a_real_guest(home: Path) -> None:
    command = (str(ROOT / "cloud-in-a-box"),)
    done = _box("--once", "--isolated", "--home", str(home), command=command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the guest says: ip-10-" in done.stdout
    assert "ssh -i" in done.stdout
    assert done.stdout.strip().splitlines()[-1].startswith("nothing is left behind")


def test_once_simulated(tmp_path: Path) -> None:
    done = _box("--once", "--simulated", "3", "--home", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SIMULATED: 3 nodes" in done.stdout
    assert done.stdout.strip().splitlines()[-1].startswith("nothing is left behind")


def test_what_it_prints_lets_the_aws_tools_in(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "examples.cloud_in_a_box", "--simulated", "2"]
    box = subprocess.Popen(
        [*program, "--home", str(tmp_path), "--port", "0", "--s3-port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert box.stdout is not None
    with box.stdout as lines:
        exports = "".join(_until("The cloud is up", lines))
        found = dict(re.findall(r"(AWS_[A-Z0-9_]+)=(\S+)", exports))
        session = boto3.Session(
            region_name=found["AWS_DEFAULT_REGION"],
            aws_access_key_id=found["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=found["AWS_SECRET_ACCESS_KEY"],
        )
        s3 = session.client("s3", endpoint_url=found["AWS_ENDPOINT_URL_S3"])
        s3.create_bucket(Bucket="holiday")
        s3.put_object(Bucket="holiday", Key="a", Body=b"sand", ServerSideEncryption="AES256")
        assert s3.get_object(Bucket="holiday", Key="a")["Body"].read() == b"sand"
        ec2 = session.client("ec2", endpoint_url=found["AWS_ENDPOINT_URL"])
        [reservation] = ec2.describe_instances()["Reservations"]
        assert reservation["Instances"][0]["State"]["Name"] == "running"
        box.send_signal(signal.SIGTERM)
        assert "Instances go on running" in "".join(lines)
    assert box.wait(timeout=60) == 0


def _until(word: str, lines: Iterable[str]) -> Iterator[str]:
    """Give the lines up to the one that begins with `word`."""
    for line in lines:
        yield line
        if line.startswith(word):
            return


def test_what_cannot_be_is_said_in_one_line(tmp_path: Path) -> None:
    done = _box("--once", "--simulated", "0", "--home", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.strip() == (
        "cloud-in-a-box failed: a simulated cloud has at least 1 node, not 0"
    )


def test_help_says_what_there_is() -> None:
    done = _box("--help")
    assert done.returncode == 0
    for option in ("--once", "--simulated", "--home", "--isolated"):
        assert option in done.stdout
