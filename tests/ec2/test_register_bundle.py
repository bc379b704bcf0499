"""RegisterImage with the manifest of a bundle, by today's tools and by those of Eucalyptus' time."""

from __future__ import annotations

import io
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import attrs
import pytest
from botocore.auth import SigV2Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from pycloud.compute.records import ImageKind
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.testing.bundles import Bundler
from pycloud.testing.images import kernel_bytes, machine_bytes, ramdisk_bytes
from tests.ec2.conftest import Served
from tests.ec2.things import STRANGER

_CONTENT = {
    ImageKind.MACHINE: machine_bytes(),
    ImageKind.KERNEL: kernel_bytes(),
    ImageKind.RAMDISK: ramdisk_bytes(),
}


@attrs.frozen
class Uploader:
    """Uploads bundles into buckets."""

    served: Served
    bundler: Bundler

    def upload(
        self,
        name: str,
        kind: ImageKind = ImageKind.MACHINE,
        *,
        bucket: str = "centos",
        kernel: str | None = None,
        ramdisk: str | None = None,
    ) -> str:
        """Upload a bundle; return the location of its manifest."""
        buckets = self.served.world.cloud.images.buckets
        image = io.BytesIO(_CONTENT[kind])
        for key, content in self.bundler.bundle(
            image, name, kernel=kernel, ramdisk=ramdisk, part_bytes=400
        ):
            buckets.put(bucket, key, io.BytesIO(content))
        return f"{bucket}/{key}"


@pytest.fixture
def uploader(served: Served) -> Uploader:
    cloud = served.world.cloud
    identity = Identity(cloud.state, Seal(bytes(32)))
    cloud.images.certificates = identity.certificates
    for bucket, account in (("centos", ADMIN_ACCOUNT), ("theirs", STRANGER)):
        cloud.images.buckets.create_bucket(bucket, account=account)
    _, private_key = identity.certificates.create(identity.users.get("admin"))
    return Uploader(served, Bundler(identity.certificates.cloud(), private_key))


def _described(ec2: Any, image: str) -> dict[str, Any]:
    [found] = ec2.describe_images(ImageIds=[image])["Images"]
    return dict(found)


def test_the_images_of_the_article(uploader: Uploader, ec2: Any) -> None:
    def register(name: str, location: str) -> dict[str, Any]:
        answer = ec2.register_image(Name=name, ImageLocation=location)
        return _described(ec2, answer["ImageId"])

    kernel = register("vmlinuz", uploader.upload("vmlinuz", ImageKind.KERNEL, kernel="true"))
    ramdisk = register("initrd", uploader.upload("initrd", ImageKind.RAMDISK, ramdisk="true"))
    location = uploader.upload("centos6.img", kernel=kernel["ImageId"], ramdisk=ramdisk["ImageId"])
    machine = register("centos6", location)
    assert [one["ImageId"][:4] for one in (kernel, ramdisk, machine)] == ["eki-", "eri-", "emi-"]
    assert [one["ImageType"] for one in (kernel, ramdisk, machine)] == [
        "kernel",
        "ramdisk",
        "machine",
    ]
    assert machine["ImageLocation"] == "centos/centos6.img.manifest.xml"
    assert (machine["KernelId"], machine["RamdiskId"]) == (kernel["ImageId"], ramdisk["ImageId"])
    assert machine["RootDeviceType"] == "instance-store"
    run = ec2.run_instances(ImageId=machine["ImageId"], MinCount=1, MaxCount=1)
    assert run["Instances"][0]["KernelId"] == kernel["ImageId"]


def test_what_the_call_names_comes_first(uploader: Uploader, ec2: Any) -> None:
    world = uploader.served.world
    other = ec2.register_image(
        Name="vmlinuz", ImageLocation=uploader.upload("vmlinuz", ImageKind.KERNEL)
    )["ImageId"]
    location = uploader.upload("disk", kernel=world.images.kernel.id)
    image = ec2.register_image(Name="disk", ImageLocation=location, KernelId=other)["ImageId"]
    assert _described(ec2, image)["KernelId"] == other


def _query(
    served: Served, parameters: dict[str, str], account: AccountId = ADMIN_ACCOUNT
) -> tuple[int, str]:
    """Send what boto 1 and euca2ools 1 send: a form, signed with SigV2."""
    request = AWSRequest(
        "POST", f"{served.url}/services/Eucalyptus", data={"Version": "2009-11-30", **parameters}
    )
    SigV2Auth(Credentials(f"AKIA{account}", "secret")).add_auth(request)
    prepared = request.prepare()
    headers = {name: str(value) for name, value in prepared.headers.items()}
    body = prepared.body if isinstance(prepared.body, bytes) else str(prepared.body).encode()
    try:
        with urlopen(Request(prepared.url, body, headers), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def test_tools_of_2009_send_no_name(uploader: Uploader, ec2: Any) -> None:
    location = uploader.upload("vmlinuz", ImageKind.KERNEL, kernel="true")
    status, answer = _query(uploader.served, {"Action": "RegisterImage", "ImageLocation": location})
    assert status == 200, answer
    assert 'xmlns="http://ec2.amazonaws.com/doc/2009-11-30/"' in answer
    image = answer.partition("<imageId>")[2].partition("</imageId>")[0]
    assert _described(ec2, image)["Name"] == location
    assert _described(ec2, image)["ImageLocation"] == location
    status, answer = _query(
        uploader.served, {"Action": "RegisterImage", "ImageLocation": f"/{location}"}
    )
    assert (status, "<Code>InvalidAMIName.Duplicate</Code>" in answer) == (400, True)
    status, answer = _query(uploader.served, {"Action": "RegisterImage"})
    assert (status, "<Code>MissingParameter</Code>" in answer) == (400, True)


def test_no_other_required_parameter_may_be_left_out(uploader: Uploader) -> None:
    status, answer = _query(uploader.served, {"Action": "DeregisterImage"})
    assert (status, "<Code>MissingParameter</Code>" in answer) == (400, True)


def test_refusals_have_awss_codes(uploader: Uploader, ec2: Any, stranger: Any) -> None:
    buckets = uploader.served.world.cloud.images.buckets
    whole = uploader.upload("vmlinuz", ImageKind.KERNEL)
    uploader.upload("broken", ImageKind.KERNEL)
    buckets.delete("centos", "broken.part.00")
    buckets.put("centos", "bomb.manifest.xml", io.BytesIO(b"<!DOCTYPE m [<!ENTITY a 'b'>]><m>&a;"))
    theirs = uploader.upload("vmlinuz", ImageKind.KERNEL, bucket="theirs")
    lost = uploader.upload("lost", kernel="eki-00000000000000000")
    for client, location, code in (
        (ec2, "centos/broken.manifest.xml", "InvalidManifest"),
        (ec2, "centos/bomb.manifest.xml", "InvalidManifest"),
        (ec2, "centos/none.manifest.xml", "InvalidManifest"),
        (ec2, "nowhere/none.manifest.xml", "InvalidManifest"),
        (ec2, lost, "InvalidAMIID.NotFound"),
        (ec2, theirs, "InvalidManifest"),  # a bucket of others
        (stranger, whole, "InvalidManifest"),
        (stranger, theirs, "InvalidManifest"),  # signed by another account
    ):
        with pytest.raises(ClientError) as refusal:
            client.register_image(Name="image", ImageLocation=location)
        assert refusal.value.response["Error"]["Code"] == code, location
    assert ec2.register_image(Name="image", ImageLocation=whole)
