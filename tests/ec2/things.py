"""A cloud with one of each thing, and what is asked of it in tables: refusals by action."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import attrs
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from pycloud.aws.models import service_model
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.testing.images import machine_bytes

if TYPE_CHECKING:
    from tests.ec2.conftest import Served

STRANGER = AccountId("111122223333")
NOWHERE = "0123456789abcdef0"
"""The digits of an id that nothing has."""
PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFnQTZkq7WlqGTDDSG3Dl7m3yGy2rFIz2WQ6Tw0kBCLe bob@example"
)
HTTPS = {
    "IpProtocol": "tcp",
    "FromPort": 443,
    "ToPort": 443,
    "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "all"}],
    "Ipv6Ranges": [{"CidrIpv6": "::/0", "Description": "all"}],
}
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@attrs.frozen
class Refusal:
    """What an action is asked, and the code with which it says no.

    Text in braces stands for the id of one of the `Things`.
    """

    action: str
    parameters: Mapping[str, Any]
    code: str
    service: str = "ec2"
    account: AccountId = ADMIN_ACCOUNT

    def __str__(self) -> str:
        return f"{self.action}-{self.code}"


@attrs.frozen
class Things:
    """A cloud, and the ids of what is in it."""

    served: Served
    ids: Mapping[str, str]

    def filled(self, value: Any) -> Any:
        """Return parameters with the ids in place of their names in braces."""
        if isinstance(value, dict):
            return {key: self.filled(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.filled(inner) for inner in value]
        if isinstance(value, str):
            return _PLACEHOLDER.sub(lambda found: self.ids[found[1]], value)
        return value

    def ask(
        self,
        action: str,
        parameters: Mapping[str, Any],
        *,
        service: str = "ec2",
        account: AccountId = ADMIN_ACCOUNT,
    ) -> Any:
        """Return the answer; nothing is checked before the request is sent."""
        client = unchecked(self.served, service, account)
        return client._make_api_call(action, self.filled(dict(parameters)))

    def outcome(self, action: str, parameters: Mapping[str, Any], **how: Any) -> tuple[Any, Any]:
        """Return the answer and no code, or no answer and the code of the refusal."""
        try:
            return self.ask(action, parameters, **how), None
        except ClientError as error:
            return None, error.response["Error"]["Code"]

    def check(self, refusal: Refusal) -> None:
        """Assert that it is refused with that code."""
        _, code = self.outcome(
            refusal.action, refusal.parameters, service=refusal.service, account=refusal.account
        )
        assert code == refusal.code


@cache
def unchecked(served: Served, service: str = "ec2", account: AccountId = ADMIN_ACCOUNT) -> Any:
    """Return a client that sends what it is given, whatever the model says of it."""
    options = served.options(account)
    config: Config = options["config"]
    client = boto3.client(
        service, **options | {"config": config.merge(Config(parameter_validation=False))}
    )
    # With what Eucalyptus added, which boto3 has no methods for.
    client.meta._service_model = service_model(service)
    return client


def code_of(refused: pytest.ExceptionInfo[ClientError]) -> str:
    """Return AWS's word for why a call was refused."""
    return str(refused.value.response["Error"]["Code"])


def by_name(refusals: list[Refusal]) -> pytest.MarkDecorator:
    """Let a test run once for each of the refusals."""
    return pytest.mark.parametrize("refusal", refusals, ids=str)


def make_things(served: Served) -> Things:
    """Make one of each, in the administrator's account."""
    made = _Maker(served)
    made.keys_and_groups()
    made.images()
    made.templates()
    made.instances()
    made.addresses()
    made.users()
    return Things(served, made.ids)


class _Maker:
    def __init__(self, served: Served) -> None:
        self.served = served
        self.ec2 = served.client()
        self.ids: dict[str, str] = {}

    def keys_and_groups(self) -> None:
        key = self.ec2.import_key_pair(
            KeyName="web", PublicKeyMaterial=PUBLIC_KEY, **tags("key-pair")
        )
        self.ids |= {"key": key["KeyPairId"], "fingerprint": key["KeyFingerprint"]}
        for name in ("web", "db"):
            made = self.ec2.create_security_group(
                GroupName=name, Description=f"of {name}", **tags("security-group")
            )
            self.ids[f"{name}_group"] = made["GroupId"]
        from_web = {"UserIdGroupPairs": [{"GroupId": self.ids["web_group"]}]}
        inside = {"IpProtocol": "udp", "FromPort": 53, "ToPort": 54, **from_web}
        for egress in (False, True):
            way = "egress" if egress else "ingress"
            rules = getattr(self.ec2, f"authorize_security_group_{way}")(
                GroupId=self.ids["db_group"],
                IpPermissions=[HTTPS, inside],
                **tags("security-group-rule"),
            )["SecurityGroupRules"]
            self.ids[f"{way}_rule"] = rules[0]["SecurityGroupRuleId"]
        strategies: dict[str, dict[str, Any]] = {
            "apart": {"Strategy": "spread"},
            "parts": {"Strategy": "partition", "PartitionCount": 3},
        }
        for name, options in strategies.items():
            made = self.ec2.create_placement_group(
                GroupName=name, **options, **tags("placement-group")
            )
            self.ids[name] = made["PlacementGroup"]["GroupId"]

    def images(self) -> None:
        images = self.served.world.images
        self.ids |= {
            "emi": images.machine.id,
            "eki": images.kernel.id,
            "eri": images.ramdisk.id,
        }
        buckets = self.served.world.cloud.buckets
        buckets.create_bucket("disks")
        with (self.served.world.directory / "machine").open("wb+") as stream:
            stream.write(machine_bytes())
            stream.seek(0)
            buckets.put("disks", "web.img", stream)
        for name in ("own", "shared", "public"):
            self.ids[f"{name}_image"] = self.ec2.register_image(
                Name=name,
                Description=f"an image that is {name}",
                ImageLocation="disks/web.img",
                KernelId=self.ids["eki"],
                RamdiskId=self.ids["eri"],
                **tags("image"),
            )["ImageId"]
        for name, grantee in {"shared": {"UserId": STRANGER}, "public": {"Group": "all"}}.items():
            self.ec2.modify_image_attribute(
                ImageId=self.ids[f"{name}_image"], LaunchPermission={"Add": [grantee]}
            )

    def templates(self) -> None:
        data = {"ImageId": self.ids["emi"], "InstanceType": "m1.small", "KeyName": "web"}
        boot = {"KernelId": self.ids["eki"], "RamDiskId": self.ids["eri"]}
        made = self.ec2.create_launch_template(
            LaunchTemplateName="web", LaunchTemplateData=data | boot, **tags("launch-template")
        )
        self.ids["template"] = made["LaunchTemplate"]["LaunchTemplateId"]
        self.ec2.create_launch_template_version(
            LaunchTemplateName="web",
            ClientToken="second",
            LaunchTemplateData=data
            | {
                "InstanceType": "m1.large",
                "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
            },
        )

    def instances(self) -> None:
        placements: dict[str, dict[str, Any]] = {
            "running": {"GroupName": "parts", "PartitionNumber": 1},
            "stopped": {"GroupName": "apart"},
            "terminated": {},
            "protected": {},
        }
        for name, placement in placements.items():
            run = self.ec2.run_instances(
                ImageId=self.ids["own_image"],
                KeyName="web",
                SecurityGroupIds=[self.ids["web_group"]],
                MinCount=1,
                MaxCount=1,
                ClientToken=name,
                Placement=placement,
                DisableApiTermination=name == "protected",
                Monitoring={"Enabled": name == "running"},
                MetadataOptions={
                    "HttpTokens": "required" if name == "running" else "optional",
                    "HttpPutResponseHopLimit": 2,
                },
                **tags("instance", "network-interface"),
            )
            self.ids[name] = run["Instances"][0]["InstanceId"]
            self.ids[f"{name}_reservation"] = run["ReservationId"]
        self.served.world.settle()
        self.ec2.stop_instances(InstanceIds=[self.ids["stopped"]])
        self.ec2.terminate_instances(InstanceIds=[self.ids["terminated"]])
        self.served.world.settle()
        [running] = self.ec2.describe_instances(InstanceIds=[self.ids["running"]])["Reservations"]
        [one] = running["Instances"]
        self.ids |= {
            "address": one["PrivateIpAddress"],
            "eni": one["NetworkInterfaces"][0]["NetworkInterfaceId"],
            "subnet": one["SubnetId"],
            "vpc": one["VpcId"],
        }

    def addresses(self) -> None:
        for name in ("free", "used"):
            made = self.ec2.allocate_address(**tags("elastic-ip"))
            self.ids |= {f"{name}_ip": made["PublicIp"], f"{name}_eip": made["AllocationId"]}
        self.ids["association"] = self.ec2.associate_address(
            AllocationId=self.ids["used_eip"], InstanceId=self.ids["running"]
        )["AssociationId"]
        self.ec2.create_tags(
            Resources=[self.ids["vpc"], self.ids["subnet"]], Tags=[{"Key": "made", "Value": "here"}]
        )

    def users(self) -> None:
        cloud = self.served.world.cloud
        cloud.identity = Identity(cloud.state, Seal(bytes(32)))
        iam = self.served.client("iam")
        iam.create_user(UserName="alice")
        key = iam.create_access_key(UserName="alice")["AccessKey"]
        self.ids["access_key"] = key["AccessKeyId"]


def tags(*kinds: str) -> dict[str, Any]:
    """Return the parameter that tags things in the call that makes them."""
    made = [{"Key": "made", "Value": "here"}]
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": made} for kind in kinds]}
