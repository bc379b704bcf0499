"""Key pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pycloud.aws.actions import Actions, Answer
from pycloud.aws.errors import AWSError
from pycloud.compute.keymaterial import KeyKind, read_public
from pycloud.compute.records import KeyPair
from pycloud.ec2.answers import picked, put_tags, tag_set, tags_for
from pycloud.ec2.call import Call, check_ids, check_one_of
from pycloud.ec2.filters import Filter, chosen
from pycloud.ec2.taken import EC2
from pycloud.errors import Duplicate, InvalidValue

actions = Actions("ec2", EC2)

_FILTERS = {
    "fingerprint": "KeyFingerprint",
    "key-name": "KeyName",
    "key-pair-id": "KeyPairId",
}
_NEW = {Duplicate: "InvalidKeyPair.Duplicate"}


@actions.action("CreateKeyPair", codes=_NEW)
def create_key_pair(
    call: Call,
    *,
    key_name: str,
    key_type: str = "rsa",
    key_format: str = "pem",
    tag_specifications: Sequence[Mapping[str, Any]] | None = None,
) -> Answer:
    """RSA unless told otherwise, as in AWS."""
    if key_format != "pem":
        raise AWSError(
            "UnsupportedOperation",
            "The parameter KeyFormat is supported with the value pem; convert with puttygen",
        )
    tags = tags_for("key-pair", tag_specifications)
    kind: KeyKind = "rsa" if key_type == "rsa" else "ed25519"
    with call.cloud.state.transaction() as tx:
        created = call.cloud.keypairs.create(key_name, kind=kind, account=call.account)
        put_tags(call, tx, created.key_pair.id, tags)
    return {**_made(created.key_pair, tags), "KeyMaterial": created.private_key}


@actions.action("ImportKeyPair", codes=_NEW)
def import_key_pair(
    call: Call,
    *,
    key_name: str,
    public_key_material: bytes,
    tag_specifications: Sequence[Mapping[str, Any]] | None = None,
) -> Answer:
    """The material is a public key in base64."""
    tags = tags_for("key-pair", tag_specifications)
    _check_material(public_key_material)
    with call.cloud.state.transaction() as tx:
        made = call.cloud.keypairs.import_(key_name, public_key_material, account=call.account)
        put_tags(call, tx, made.id, tags)
    return _made(made, tags)


@actions.action("DescribeKeyPairs")
def describe_key_pairs(
    call: Call,
    *,
    key_names: Sequence[str] | None = None,
    key_pair_ids: Sequence[str] | None = None,
    include_public_key: bool = False,
    filters: Sequence[Filter] | None = None,
) -> Answer:
    """By name; other accounts' too for the administrator, with `verbose`."""
    account, names = call.whose(key_names)
    ids = list(key_pair_ids or ())
    check_ids(ids, ["key"], "InvalidKeyPair.NotFound")
    with call.cloud.state.reading() as tx:
        found = call.cloud.keypairs.list(account=account)
        tags = call.cloud.tags.of(tx, [one.id for one in found])
    items = [
        {
            **_made(one, tags.get(one.id)),
            "KeyType": one.kind,
            "CreateTime": one.created_at,
            "PublicKey": f"{one.public_key} {one.name}" if include_public_key else None,
        }
        for one in found
    ]
    items = picked(items, "KeyName", names, "InvalidKeyPair.NotFound")
    items = picked(items, "KeyPairId", ids, "InvalidKeyPair.NotFound")
    return {"KeyPairs": chosen(items, filters, _FILTERS)}


@actions.action("DeleteKeyPair")
def delete_key_pair(
    call: Call, *, key_name: str | None = None, key_pair_id: str | None = None
) -> Answer:
    """Nothing happens where there is none, as in AWS."""
    check_one_of(KeyName=key_name, KeyPairId=key_pair_id)
    with call.cloud.state.transaction() as tx:
        for one in call.cloud.keypairs.list(account=call.account):
            if one.name == key_name or one.id == key_pair_id:
                call.cloud.keypairs.delete(one.name, account=call.account)
                call.cloud.tags.forget(tx, [one.id])
                return {"Return": True, "KeyPairId": one.id}
    return {"Return": True}


def _check_material(public_key: bytes) -> None:
    try:
        read_public(public_key)
    except InvalidValue as error:
        raise AWSError("InvalidKey.Format", str(error)) from None


def _made(one: KeyPair, tags: Mapping[str, str] | None) -> dict[str, Any]:
    return {
        "KeyPairId": one.id,
        "KeyName": one.name,
        "KeyFingerprint": one.fingerprint,
        "Tags": tag_set(tags),
    }
