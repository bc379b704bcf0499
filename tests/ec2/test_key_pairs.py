"""Key pairs."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

from tests.ec2.things import NOWHERE, PUBLIC_KEY, Refusal, Things, by_name, code_of

_MATERIAL = {"PublicKeyMaterial": PUBLIC_KEY.encode()}
_MANY_TAGS = [{"ResourceType": "key-pair", "Tags": [{"Key": f"k{n}"} for n in range(51)]}]
_NOT_OURS = [{"ResourceType": "instance", "Tags": [{"Key": "k"}]}]
REFUSALS = [
    Refusal("CreateKeyPair", {}, "MissingParameter"),
    Refusal("CreateKeyPair", {"KeyName": "web"}, "InvalidKeyPair.Duplicate"),
    Refusal("CreateKeyPair", {"KeyName": "x" * 256}, "InvalidParameterValue"),
    Refusal("CreateKeyPair", {"KeyName": " x"}, "InvalidParameterValue"),
    Refusal("CreateKeyPair", {"KeyName": "x", "KeyType": "dsa"}, "InvalidParameterValue"),
    Refusal("CreateKeyPair", {"KeyName": "x", "KeyFormat": "ppk"}, "UnsupportedOperation"),
    Refusal("CreateKeyPair", {"KeyName": "x", "TagSpecifications": _MANY_TAGS}, "TagLimitExceeded"),
    Refusal(
        "CreateKeyPair", {"KeyName": "x", "TagSpecifications": _NOT_OURS}, "InvalidParameterValue"
    ),
    Refusal("ImportKeyPair", {"KeyName": "x"}, "MissingParameter"),
    Refusal("ImportKeyPair", {"KeyName": "web", **_MATERIAL}, "InvalidKeyPair.Duplicate"),
    Refusal("ImportKeyPair", {"KeyName": "x", "PublicKeyMaterial": b"x"}, "InvalidKey.Format"),
    Refusal("ImportKeyPair", {"KeyName": "x" * 256, **_MATERIAL}, "InvalidParameterValue"),
    Refusal(
        "ImportKeyPair",
        {"KeyName": "x", **_MATERIAL, "TagSpecifications": _MANY_TAGS},
        "TagLimitExceeded",
    ),
    Refusal("DescribeKeyPairs", {"KeyNames": ["nobodys"]}, "InvalidKeyPair.NotFound"),
    Refusal("DescribeKeyPairs", {"KeyNames": ["web", "no"]}, "InvalidKeyPair.NotFound"),
    Refusal("DescribeKeyPairs", {"KeyPairIds": [f"key-{NOWHERE}"]}, "InvalidKeyPair.NotFound"),
    Refusal("DescribeKeyPairs", {"KeyPairIds": ["web"]}, "InvalidKeyPair.NotFound"),
    Refusal(
        "DescribeKeyPairs",
        {"Filters": [{"Name": "colour", "Values": ["red"]}]},
        "InvalidParameterValue",
    ),
    Refusal("DeleteKeyPair", {}, "MissingParameter"),
    Refusal(
        "DeleteKeyPair", {"KeyName": "web", "KeyPairId": "{key}"}, "InvalidParameterCombination"
    ),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    things.check(refusal)


def _shown(api: Any, name: str, **asked: Any) -> dict[str, Any]:
    [shown] = api.describe_key_pairs(KeyNames=[name], **asked)["KeyPairs"]
    return dict(shown)


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_created(api: Any, kind: str) -> None:
    tags = [{"Key": "made", "Value": "here"}]
    made = api.create_key_pair(
        KeyName=kind,
        KeyType=kind,
        KeyFormat="pem",
        TagSpecifications=[{"ResourceType": "key-pair", "Tags": tags}],
    )
    load = load_pem_private_key if kind == "rsa" else load_ssh_private_key
    assert load(made["KeyMaterial"].encode(), None)
    shown = _shown(api, kind, IncludePublicKey=True)
    for member in ("KeyName", "KeyPairId", "KeyFingerprint", "Tags"):
        assert shown[member] == made[member]
    assert shown["Tags"] == tags
    assert shown["KeyType"] == kind
    assert shown["PublicKey"].endswith(f" {kind}")
    assert "PublicKey" not in _shown(api, kind)


def test_imported_and_deleted_by_name_and_by_id(api: Any) -> None:
    made = [
        api.import_key_pair(
            KeyName=name,
            TagSpecifications=[{"ResourceType": "key-pair", "Tags": [{"Key": "a", "Value": "b"}]}],
            **_MATERIAL,
        )
        for name in ("first", "second")
    ]
    ids = [one["KeyPairId"] for one in made]
    assert made[0]["KeyFingerprint"] == made[1]["KeyFingerprint"]
    found = api.describe_key_pairs(KeyPairIds=ids)["KeyPairs"]
    assert [one["KeyName"] for one in found] == ["first", "second"]
    assert api.delete_key_pair(KeyName="first")["KeyPairId"] == ids[0]
    assert api.delete_key_pair(KeyPairId=ids[1])["KeyPairId"] == ids[1]
    for name in ("first", "second"):
        with pytest.raises(ClientError) as refused:
            _shown(api, name)
        assert code_of(refused) == "InvalidKeyPair.NotFound"
    filters = [{"Name": "resource-id", "Values": ids}]
    assert api.describe_tags(Filters=filters)["Tags"] == []


def test_what_is_not_there_is_deleted_without_complaint(api: Any) -> None:
    assert api.delete_key_pair(KeyName="never")["Return"] is True
    assert api.delete_key_pair(KeyPairId=f"key-{NOWHERE}")["Return"] is True
