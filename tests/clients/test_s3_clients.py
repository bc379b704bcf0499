"""Clients of S3 that know nothing of pycloud, each in a process of its own: they store, list, read
back, compare and delete.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path

import boto3
import pytest
from boto3.s3.transfer import TransferConfig

from tests.clients.s3_keys import KEYS
from tests.clients.test_ec2_clients import CLIENTS, HERE, MODULES, _run
from tests.s3.conftest import Served
from tests.s3.conftest import served as served

KEY, SECRET = "AKIA000000000001", "secret"
AWS = {
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "pycloud",
    "AWS_MAX_ATTEMPTS": "1",
}
MIB = 1024**2

clients = pytest.mark.skipif(
    not (CLIENTS.parent / "holds").exists(), reason="no clients: ./run-tests installs them"
)


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: ./run-tests installs it")
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with odd names, small files and a large one."""
    root = tmp_path / "tree"
    for number in range(20):
        place = root / f"folder {number % 4}" / f"file+{number} é%2F.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(os.urandom(number * 100))
    (root / "large").write_bytes(os.urandom(11 * MIB))
    return root


def _same(one: Path, other: Path) -> bool:
    """Compare two folders, names and bytes."""
    names = [
        sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
        for root in (one, other)
    ]
    return names[0] == names[1] and all(
        filecmp.cmp(one / name, other / name, shallow=False) for name in names[0]
    )


def test_boto3_with_its_transfer_manager(served: Served, tmp_path: Path) -> None:
    bucket = boto3.resource(
        "s3",
        endpoint_url=served.url,
        region_name="pycloud",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    ).create_bucket(Bucket="boto3")
    large, back = tmp_path / "large", tmp_path / "back"
    large.write_bytes(os.urandom(21 * MIB))
    config = TransferConfig(multipart_threshold=6 * MIB, multipart_chunksize=5 * MIB)
    for key in KEYS:
        bucket.put_object(Key=key, Body=key.encode())
        assert bucket.Object(key).get()["Body"].read() == key.encode()
    bucket.upload_file(str(large), "large", Config=config)
    bucket.download_file("large", str(back), Config=config)
    assert filecmp.cmp(large, back, shallow=False)
    bucket.copy({"Bucket": "boto3", "Key": "large"}, "copy", Config=config)
    assert bucket.Object("copy").content_length == 21 * MIB
    assert sorted(one.key for one in bucket.objects.all()) == sorted([*KEYS, "large", "copy"])
    bucket.objects.all().delete()
    bucket.delete()


@clients
def test_the_aws_command_line(served: Served, tree: Path, tmp_path: Path) -> None:
    def aws(*words: object) -> str:
        return _run(CLIENTS / "aws", *words, home=tmp_path, AWS_ENDPOINT_URL=served.url, **AWS)

    aws("s3", "mb", "s3://cli")
    aws("s3", "sync", tree, "s3://cli/tree", "--only-show-errors")
    (tree / "folder 1" / "new").write_text("new")
    (tree / "folder 2" / "file+2 é%2F.txt").unlink()
    changed = aws("s3", "sync", tree, "s3://cli/tree", "--delete", "--no-progress")
    assert len(changed.splitlines()) == 2, changed
    aws("s3", "sync", "s3://cli/tree", tmp_path / "back", "--only-show-errors")
    assert _same(tree, tmp_path / "back")
    aws("s3", "cp", "s3://cli/tree/large", "s3://cli/copy", "--only-show-errors")
    aws("s3api", "get-object", "--bucket", "cli", "--key", "copy", tmp_path / "copy")
    assert filecmp.cmp(tree / "large", tmp_path / "copy", shallow=False)
    assert "large" in aws("s3", "ls", "s3://cli/tree/")
    aws("s3", "rb", "s3://cli", "--force")


@clients
def test_s3cmd(served: Served, tree: Path, tmp_path: Path) -> None:
    (tmp_path / ".s3cfg").write_text(
        f"[default]\naccess_key = {KEY}\nsecret_key = {SECRET}\nuse_https = False\n"
        f"host_base = 127.0.0.1:{served.port}\nhost_bucket = 127.0.0.1:{served.port}\n"
    )

    def s3cmd(*words: object) -> str:
        return _run(CLIENTS / "s3cmd", "--no-progress", *words, home=tmp_path)

    s3cmd("mb", "s3://s3cmd")
    s3cmd("sync", "--multipart-chunk-size-mb=5", f"{tree}/", "s3://s3cmd/tree/")
    assert "large" in s3cmd("ls", "s3://s3cmd/tree/")
    s3cmd("sync", "s3://s3cmd/tree/", f"{tmp_path / 'back'}/")
    assert _same(tree, tmp_path / "back")
    s3cmd("setacl", "--acl-public", "s3://s3cmd/tree/large")
    assert "anon" in s3cmd("info", "s3://s3cmd/tree/large")
    policy = tmp_path / "policy"
    policy.write_text(
        '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", '
        '"Resource": "arn:aws:s3:::s3cmd/*"}}'
    )
    s3cmd("setpolicy", policy, "s3://s3cmd")
    assert "GetObject" in s3cmd("info", "s3://s3cmd")
    s3cmd("delpolicy", "s3://s3cmd")
    s3cmd("mv", "s3://s3cmd/tree/large", "s3://s3cmd/moved")
    s3cmd("del", "--recursive", "--force", "s3://s3cmd")
    s3cmd("rb", "s3://s3cmd")


@clients
@pytest.mark.parametrize("session", ["minio", "s3fs", "boto2_walrus"])
def test_a_session_in_python(served: Served, session: str, tmp_path: Path) -> None:
    script = HERE / f"{session}_session.py"
    said = _run(CLIENTS / "python", script, served.url, KEY, SECRET, home=tmp_path)
    assert said.strip() == "done"


@clients
def test_javascript(served: Served, tmp_path: Path) -> None:
    script = HERE / "s3_session.mjs"
    said = _run("node", script, MODULES, served.url, KEY, SECRET, home=tmp_path)
    assert said.strip() == "done"


def test_rclone(served: Served, tree: Path, tmp_path: Path) -> None:
    remote = {
        f"RCLONE_CONFIG_BOX_{name}": value
        for name, value in {
            "TYPE": "s3",
            "PROVIDER": "Other",
            "ENDPOINT": served.url,
            "ACCESS_KEY_ID": KEY,
            "SECRET_ACCESS_KEY": SECRET,
            "CHUNK_SIZE": "5Mi",
            "UPLOAD_CUTOFF": "6Mi",
            "ACL": "private",
        }.items()
    }

    def rclone(*words: object) -> str:
        return _run(_tool("rclone"), *words, "--retries=1", home=tmp_path, **remote)

    rclone("mkdir", "box:rclone")
    rclone("copy", tree, "box:rclone/tree")
    rclone("check", "--download", tree, "box:rclone/tree")
    (tree / "large").write_bytes(os.urandom(7 * MIB))
    rclone("sync", tree, "box:rclone/tree")
    rclone("copy", "box:rclone/tree", tmp_path / "back")
    assert _same(tree, tmp_path / "back")
    assert "large" in rclone("lsf", "box:rclone/tree")
    rclone("purge", "box:rclone")


def test_restic(served: Served, tree: Path, tmp_path: Path) -> None:
    def restic(*words: object) -> str:
        return _run(
            _tool("restic"),
            *words,
            "--no-cache",
            home=tmp_path,
            RESTIC_REPOSITORY=f"s3:{served.url}/restic/repository",
            RESTIC_PASSWORD="sand",
            **AWS,
        )

    restic("init")
    restic("backup", tree)
    restic("check", "--read-data")
    restic("restore", "latest", "--target", tmp_path / "back")
    assert _same(tree, tmp_path / "back" / tree.relative_to("/"))
    restic("forget", "--keep-last=1", "--prune")
