"""Which members of AWS's request structures this cloud carries out. What is not here is refused.

The members of an action's own input are the parameters of its function.
"""

from __future__ import annotations

from typing import Final

from pycloud.aws.reader import Taken

# Why members, and parameters of several actions, may be given though they change nothing.
NO_CREDITS: Final = "no type here has CPU credits"
NO_VOLUMES: Final = "it tells how fast volumes are, not what they do"
NOT_MANAGED: Final = "no resource here is managed by somebody else"
RESERVED: Final = "AWS itself reserves it"
_ONE_ADDRESS = "an instance's one address is public and private alike"
_NETWORK = "an instance has one interface, in the default VPC"

_METADATA = "HttpTokens HttpPutResponseHopLimit HttpEndpoint HttpProtocolIpv6 InstanceMetadataTags"

EC2: Final = Taken(
    members={
        name: frozenset(members.split())
        for name, members in {
            "AttributeBooleanValue": "Value",
            "AttributeValue": "Value",
            "BlobAttributeValue": "Value",
            "EnclaveOptionsRequest": "Enabled",
            "Filter": "Name Values",
            "HibernationOptionsRequest": "Configured",
            "InstanceMetadataOptionsRequest": _METADATA,
            "InstanceNetworkInterfaceSpecification": "DeviceIndex Groups SubnetId",
            "IpPermission": "IpProtocol FromPort ToPort UserIdGroupPairs IpRanges Ipv6Ranges",
            "IpRange": "CidrIp Description",
            "Ipv6Range": "CidrIpv6 Description",
            "LaunchPermission": "UserId Group",
            "LaunchPermissionModifications": "Add Remove",
            "LaunchTemplateEnclaveOptionsRequest": "Enabled",
            "LaunchTemplateHibernationOptionsRequest": "Configured",
            "LaunchTemplateInstanceMetadataOptionsRequest": _METADATA,
            "LaunchTemplateInstanceNetworkInterfaceSpecificationRequest": "DeviceIndex Groups SubnetId",
            "LaunchTemplatePlacementRequest": "AvailabilityZone GroupName PartitionNumber Tenancy",
            "LaunchTemplateSpecification": "LaunchTemplateId LaunchTemplateName Version",
            "LaunchTemplateTagSpecificationRequest": "ResourceType Tags",
            "LaunchTemplatesMonitoringRequest": "Enabled",
            "Placement": "AvailabilityZone GroupName GroupId PartitionNumber Tenancy",
            "RequestLaunchTemplateData": "ImageId InstanceType KeyName UserData Monitoring Placement "
            "SecurityGroupIds SecurityGroups TagSpecifications DisableApiTermination "
            "InstanceInitiatedShutdownBehavior MetadataOptions NetworkInterfaces KernelId RamDiskId "
            "DisableApiStop EnclaveOptions HibernationOptions",
            "RunInstancesMonitoringEnabled": "Enabled",
            "Tag": "Key Value",
            # What today's model calls a BlobAttributeValue.
            "SecureBlobAttributeValue": "Value",
            "TagSpecification": "ResourceType Tags",
            "UserIdGroupPair": "GroupId GroupName UserId Description VpcId",
        }.items()
    },
    harmless={
        "CreditSpecificationRequest": {"CpuCredits": NO_CREDITS},
        "InstanceNetworkInterfaceSpecification": {
            "AssociatePublicIpAddress": _ONE_ADDRESS,
            "DeleteOnTermination": _NETWORK,
            "Description": _NETWORK,
        },
        "LaunchTemplateInstanceNetworkInterfaceSpecificationRequest": {
            "AssociatePublicIpAddress": _ONE_ADDRESS,
            "DeleteOnTermination": _NETWORK,
            "Description": _NETWORK,
        },
        "RequestLaunchTemplateData": {
            "CreditSpecification": NO_CREDITS,
            "EbsOptimized": NO_VOLUMES,
        },
    },
    optional={
        "RegisterImageRequest": frozenset({"Name"}),  # images had no names before 2010-08-31
    },
    # Types are what the cloud's owner has made them.
    open_enums=frozenset({"InstanceType"}),
)
