"""What is in the archive of credentials."""

from __future__ import annotations

import io
import zipfile

import pytest

from pycloud.errors import InvalidValue, LimitExceeded, NotFound
from pycloud.identity.accounts import Account
from pycloud.identity.credentials import Endpoints
from pycloud.identity.identity import Identity
from pycloud.ids import AccountId
from tests.races import meanwhile


def _unpacked(archive: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        assert packed.testzip() is None
        for entry in packed.infolist():
            assert entry.external_attr >> 16 == 0o100600, entry
            assert "/" not in entry.filename
        return {name: packed.read(name).decode() for name in packed.namelist()}


def test_the_archive_has_what_old_tools_look_for(identity: Identity, research: Account) -> None:
    files = _unpacked(identity.credentials_zip(account=research.id))
    names = sorted(files)
    assert names[0] == "cloud-cert.pem"
    stem = names[1].removesuffix("-cert.pem")
    assert names[1:] == [f"{stem}-cert.pem", f"{stem}-pk.pem", "eucarc", "iamrc"]
    assert stem.startswith("euca2-admin-")
    assert len(int(stem.removeprefix("euca2-admin-"), 16).to_bytes(4)) == 4
    admin = identity.users.get("admin", account=research.id)
    [key] = identity.access_keys.list(admin)
    secret = identity.access_keys.secret(key.id)
    assert files["iamrc"] == f"AWSAccessKeyId={key.id}\nAWSSecretKey={secret}\n"
    assert files["cloud-cert.pem"] == identity.certificates.cloud()
    [certificate] = identity.certificates.list(admin)
    assert files[f"{stem}-cert.pem"] == certificate.pem
    assert f"export EC2_ACCOUNT_NUMBER={research.id}\n" in files["eucarc"]


def test_the_oldest_key_that_is_in_use_is_given_again(identity: Identity) -> None:
    admin = identity.users.get("admin")
    keys = [identity.access_keys.create(admin)[0] for _ in range(2)]
    keys = identity.access_keys.list(admin)
    identity.access_keys.set_active(admin, keys[0].id, is_active=False)
    for _ in range(3):  # certificates are replaced, keys are not
        assert keys[1].id in _unpacked(identity.credentials_zip())["iamrc"]
    assert identity.access_keys.list(admin)[1] == keys[1]
    assert len(identity.certificates.list(admin)) == 2


def test_a_user_whose_keys_are_all_switched_off_gets_none(identity: Identity) -> None:
    admin = identity.users.get("admin")
    for _ in range(2):
        key, _ = identity.access_keys.create(admin)
        identity.access_keys.set_active(admin, key.id, is_active=False)
    with pytest.raises(LimitExceeded, match="delete one first"):
        identity.credentials_zip()
    assert identity.certificates.list(admin) == []


def test_of_nobody_there_are_none(identity: Identity) -> None:
    with pytest.raises(NotFound, match="no user 'bob'"):
        identity.credentials_zip("bob")
    with pytest.raises(NotFound, match="no account '123456789012'"):
        identity.credentials_zip(account=AccountId("123456789012"))


def test_what_is_no_address_of_a_service_is_refused(identity: Identity) -> None:
    for url in ("", "cloud.example", "ftp://cloud.example/", "http://cloud\n", "http://a\0"):
        with pytest.raises(InvalidValue, match="ec2 answers at a URL such as"):
            identity.set_endpoint("ec2", url)
    with pytest.raises(InvalidValue, match="the services are ec2 and s3, not 'sqs'"):
        identity.set_endpoint("sqs", "http://cloud.example/")
    assert identity.endpoints() == Endpoints()


def test_two_who_write_down_an_address_at_once_are_one_after_the_other(
    identity: Identity, another: Identity
) -> None:
    meanwhile(
        identity.state,
        lambda: identity.set_endpoint("ec2", "http://first/"),
        lambda: another.set_endpoint("ec2", "http://second/"),
    )
    assert identity.endpoints().ec2 == "http://second/"


def test_addresses_are_those_that_were_written_down_last(identity: Identity) -> None:
    assert (
        "export EC2_URL=http://127.0.0.1:8773/\n" in _unpacked(identity.credentials_zip())["eucarc"]
    )
    for port in (8000, 9000):
        identity.set_endpoint("ec2", f"http://cloud.example:{port}/")
    identity.set_endpoint("s3", "http://cloud.example:9001/it's $HOME/")
    eucarc = _unpacked(identity.credentials_zip(region="here"))["eucarc"]
    for name in ("EC2_URL", "EUARE_URL", "TOKEN_URL", "AWS_ENDPOINT_URL_STS"):
        assert f"export {name}=http://cloud.example:9000/\n" in eucarc
    assert """export S3_URL='http://cloud.example:9001/it'"'"'s $HOME/'\n""" in eucarc
    assert "export AWS_DEFAULT_REGION=here\n" in eucarc
