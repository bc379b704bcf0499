"""`python -m pycloud`, as people run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.state.sqlite import SQLiteState

ODD = """it's an "odd" $HOME `dir` *"""
SHELLS = [["bash"], ["bash", "--posix"], ["dash"], ["busybox", "sh"]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cloud's home with an account besides the administrator's; not to be changed."""
    home = tmp_path_factory.mktemp("home")
    with SQLiteState(home / "cloud.db") as state:
        identity = Identity(state, Seal.from_file(home / "seal.key"))
        account = identity.accounts.create("research")
        identity.users.create("bob", account=account.id)
        identity.access_keys.create(identity.users.get("admin"))
        identity.set_endpoint("ec2", "http://cloud.example:8773/")
    return home


@pytest.fixture
def home(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "home"))


@pytest.fixture
def identity(home: Path) -> Iterator[Identity]:
    """The cloud of the home, while it is up."""
    with SQLiteState(home / "cloud.db") as state:
        yield Identity(state, Seal.from_file(home / "seal.key"))


def _pycloud(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pycloud", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def _variables(shell: list[str], script: str, *arguments: object, cwd: Path) -> dict[str, str]:
    """Return what is exported after a script was run in a shell that forgives nothing."""
    strict = [*shell, "-euc", f"{script}\nexec env -0", *shell[:1]]
    done = subprocess.run(
        [*strict, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], "CDPATH": "/usr:/", "AWS_SESSION_TOKEN": "stale"},
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return dict(line.split("=", 1) for line in done.stdout.split("\0")[:-1])


def test_the_archive_lets_in_while_the_cloud_is_up(
    home: Path, identity: Identity, tmp_path: Path
) -> None:
    account = identity.accounts.get("research").id
    named = ("--account", "research", "--user", "bob")
    for force in ((), ("--force",)):
        done = _pycloud("credentials", "bob.zip", "--home", home, *named, *force, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "bob.zip").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob(".bob.zip*"))
    with zipfile.ZipFile(tmp_path / "bob.zip") as packed:
        assert len(packed.namelist()) == 5
        key, secret = (line.split("=", 1)[1] for line in packed.read("iamrc").decode().split())
    found = identity.find(key, None)
    assert found is not None
    assert (found.user.name, found.user.account, found.secret) == ("bob", account, secret)
    assert len(identity.certificates.list(found.user)) == 2


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_every_shell_reads_eucarc_in_its_directory(
    kept: Path, shell: list[str], tmp_path: Path
) -> None:
    _unpack(kept, tmp_path)
    for word in ("/eucarc", "./eucarc"):
        script = '. "$1"' if word == "./eucarc" else f'. "$PWD{word}"'
        found = _variables(shell, script, word, cwd=tmp_path / ODD)
        _check(found, tmp_path / ODD)


def test_bash_reads_eucarc_from_anywhere(kept: Path, tmp_path: Path) -> None:
    _unpack(kept, tmp_path)
    (tmp_path / "lib").symlink_to(tmp_path / ODD)  # as a name that CDPATH would find elsewhere
    found = _variables(["bash"], "source lib/eucarc", cwd=tmp_path)
    _check(found, tmp_path / "lib")
    found = _variables(["bash"], 'source "$1/eucarc"', tmp_path / ODD, cwd=Path("/"))
    _check(found, tmp_path / ODD)


@pytest.mark.parametrize("shell", SHELLS[2:], ids=" ".join)
def test_a_shell_that_cannot_tell_where_eucarc_is_says_so(
    kept: Path, shell: list[str], tmp_path: Path
) -> None:
    _unpack(kept, tmp_path)
    script = '. "$1/eucarc"'
    done = subprocess.run(
        [*shell, "-c", script, "sh", tmp_path / ODD], cwd="/", capture_output=True, text=True
    )
    assert done.stderr == "eucarc: first change to the directory that it is in\n"


def test_openssl_reads_certificate_and_key_and_they_match(kept: Path, tmp_path: Path) -> None:
    _unpack(kept, tmp_path)
    found = _variables(["bash"], "source ./eucarc", cwd=tmp_path / ODD)

    def openssl(*words: str) -> str:
        done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=True)
        return done.stdout

    public = openssl("x509", "-in", found["EC2_CERT"], "-noout", "-pubkey")
    assert public == openssl("pkey", "-in", found["EC2_PRIVATE_KEY"], "-pubout")
    cloud = openssl("x509", "-in", found["EUCALYPTUS_CERT"], "-noout", "-subject")
    assert cloud.replace(" ", "").strip() == "subject=CN=pycloud"


def _unpack(home: Path, place: Path) -> None:
    """Make the administrator's archive, and unpack it into a directory of an odd name."""
    done = _pycloud("credentials", place / "admin.zip", "--home", home, cwd=place)
    assert done.returncode == 0, done.stderr
    (place / ODD).mkdir()
    subprocess.run(["unzip", "-q", "../admin.zip"], cwd=place / ODD, check=True)
    assert {path.stat().st_mode & 0o777 for path in (place / ODD).iterdir()} == {0o600}


def _check(found: dict[str, str], folder: Path) -> None:
    """See that the variables are those that tools of then and now look for."""
    assert found["EUCA_KEY_DIR"] == str(folder)
    for name in ("EC2_PRIVATE_KEY", "EC2_CERT", "EUCALYPTUS_CERT", "AWS_CREDENTIAL_FILE"):
        assert Path(found[name]).parent == folder
        assert Path(found[name]).is_file()
    for name in ("EC2_URL", "EUARE_URL", "TOKEN_URL"):
        assert found[name] == "http://cloud.example:8773/"
    for service in ("EC2", "STS", "IAM"):
        assert found[f"AWS_ENDPOINT_URL_{service}"] == "http://cloud.example:8773/"
    assert found["S3_URL"] == found["AWS_ENDPOINT_URL_S3"] == "http://127.0.0.1:8774/"
    assert found["EC2_ACCOUNT_NUMBER"] == found["EC2_USER_ID"] == "000000000001"
    keys = {found[name] for name in ("EC2_ACCESS_KEY", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID")}
    secrets = {
        found[name] for name in ("EC2_SECRET_KEY", "AWS_SECRET_KEY", "AWS_SECRET_ACCESS_KEY")
    }
    iamrc = Path(found["AWS_CREDENTIAL_FILE"]).read_text()
    assert iamrc == f"AWSAccessKeyId={keys.pop()}\nAWSSecretKey={secrets.pop()}\n"
    assert not keys | secrets
    assert found["AWS_DEFAULT_REGION"] == found["AWS_REGION"] == "pycloud"
    assert "AWS_SESSION_TOKEN" not in found
    assert "_here" not in found


# Wrong uses


def _newer(home: Path) -> None:
    with SQLiteState(home / "cloud.db") as state, state.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))


def _another_key(home: Path) -> None:
    (home / "seal.key").write_bytes(bytes(32))


WRONG_HOMES: dict[str, Callable[[Path], object]] = {
    "is no cloud's home: there is no cloud.db in it": lambda home: (home / "cloud.db").unlink(),
    "lacks the key with which its secrets are sealed: there is no seal.key in it": lambda home: (
        home / "seal.key"
    ).unlink(),
    "holds a key, and others may read it: chmod 600": lambda home: (home / "seal.key").chmod(0o644),
    "was sealed with another key than": _another_key,
    "holds no key: it has 0 bytes": lambda home: (home / "seal.key").write_bytes(b""),
    "schema 9999, which this version of pycloud does not know": _newer,
    "is not a pycloud state": lambda home: (home / "cloud.db").write_bytes(b"hello" * 1000),
}


@pytest.mark.parametrize("complaint", WRONG_HOMES)
def test_what_is_wrong_with_a_home_is_said(home: Path, tmp_path: Path, complaint: str) -> None:
    WRONG_HOMES[complaint](home)
    for name in ("cloud.db-wal", "cloud.db-shm"):
        (home / name).unlink(missing_ok=True)
    before = {path.name: path.read_bytes() for path in home.iterdir() if "seal" in path.name}
    done = _pycloud("credentials", "admin.zip", "--home", home, cwd=tmp_path)
    _check_refused(done, complaint)
    after = {path.name: path.read_bytes() for path in home.iterdir() if "seal" in path.name}
    assert after == before, "no key was made or changed"
    assert not (tmp_path / "admin.zip").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["admin.zip", "--home", "nowhere"], "nowhere is no cloud's home"),
        (["admin.zip", "--user", "carol"], "there is no user 'carol'"),
        (["admin.zip", "--user", "bob"], "there is no user 'bob'"),  # another account's
        (["admin.zip", "--account", "sales"], "there is no account 'sales'"),
        (["admin.zip", "--ec2-url", "cloud"], "ec2 answers at a URL such as"),
        (["there.zip"], "there.zip is there already: give --force to replace it"),
        (["nowhere/admin.zip"], "nowhere/admin.zip is no file that can be written"),
        ([".", "--force"], ". is no file that can be written"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(
    kept: Path, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    (tmp_path / "there.zip").write_text("precious")
    named = [] if "--home" in arguments else ["--home", str(kept)]
    done = _pycloud("credentials", *arguments, *named, cwd=tmp_path)
    _check_refused(done, complaint)
    assert [path.name for path in tmp_path.iterdir()] == ["there.zip"]
    assert (tmp_path / "there.zip").read_text() == "precious"


def _check_refused(done: subprocess.CompletedProcess[str], complaint: str) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("python -m pycloud: ")
    assert complaint in line


def test_force_replaces_a_link_and_not_what_it_leads_to(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "admin.zip").symlink_to(tmp_path / "precious")
    done = _pycloud("credentials", "admin.zip", "--home", kept, "--force", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "precious").read_text() == "precious"
    assert zipfile.is_zipfile(tmp_path / "admin.zip")


def test_help_says_what_there_is(tmp_path: Path) -> None:
    assert "credentials" in _pycloud("-h", cwd=tmp_path).stdout
    said = _pycloud("credentials", "-h", cwd=tmp_path).stdout
    for option in ("--home", "--account", "--user", "--ec2-url", "--s3-url", "--region", "--force"):
        assert option in said
    done = _pycloud(cwd=tmp_path)
    assert done.returncode == 2
    assert "usage: python -m pycloud" in done.stderr
