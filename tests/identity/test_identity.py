"""Accounts, users and what they prove themselves with, together."""

from __future__ import annotations

import io
import zipfile

import pytest

from pycloud.errors import InUse, InvalidValue, NotFound
from pycloud.identity.accounts import Account
from pycloud.identity.identity import Identity
from pycloud.identity.users import User
from pycloud.ids import ADMIN_ACCOUNT
from pycloud.testing.world import SimWorld
from tests.conftest import NewDatabase
from tests.identity.conftest import SEAL
from tests.races import meanwhile


def test_a_usable_key_is_made_once(identity: Identity, another: Identity, alice: User) -> None:
    made: list[tuple[str, str]] = []
    found = meanwhile(
        identity.state,
        lambda: made.append(identity.usable_key(alice)),
        lambda: another.usable_key(alice),
    )
    assert [found] == made
    assert len(identity.access_keys.list(alice)) == 1


def test_a_user_is_forgotten_with_all_that_is_theirs(identity: Identity, alice: User) -> None:
    identity.access_keys.create(alice)
    identity.certificates.create(alice)
    identity.forget(alice)
    with pytest.raises(NotFound):
        identity.users.get("alice")
    with pytest.raises(NotFound):
        identity.forget(alice)


def test_admin_is_forgotten_but_stays(identity: Identity, research: Account) -> None:
    admin = identity.users.get("admin", account=research.id)
    identity.access_keys.create(admin)
    identity.forget(admin)
    assert identity.users.get("admin", account=research.id) == admin
    assert identity.access_keys.list(admin) == []


def test_whoever_forgets_a_user_also_sees_a_key_of_this_moment(
    identity: Identity, another: Identity, alice: User
) -> None:
    meanwhile(
        identity.state,
        lambda: identity.access_keys.create(alice),
        lambda: another.forget(alice),
    )
    with pytest.raises(NotFound):
        identity.users.get("alice")


# A cloud with users


@pytest.fixture
def world(new_database: NewDatabase) -> SimWorld:
    world = SimWorld(nodes=1, postgres_url=new_database())
    world.cloud.identity = Identity(world.cloud.state, SEAL)
    return world


def test_a_cloud_gives_credentials(world: SimWorld) -> None:
    with world:
        world.cloud.region = "here"
        with zipfile.ZipFile(io.BytesIO(world.cloud.credentials_zip("admin"))) as packed:
            assert b"AWS_DEFAULT_REGION=here\n" in packed.read("eucarc")
        with pytest.raises(NotFound, match="no user 'bob'"):
            world.cloud.credentials_zip("bob")
        world.cloud.identity = None
        with pytest.raises(InvalidValue, match="assemble it with identity="):
            world.cloud.credentials_zip()


def test_what_came_by_itself_goes_with_the_account(world: SimWorld) -> None:
    with world:
        cloud, identity = world.cloud, world.cloud.identity
        assert identity is not None
        account = identity.accounts.create("research").id
        [group] = cloud.groups.list(account=account)
        vpc = cloud.vpcs.default(account=account)
        with cloud.state.transaction() as tx:
            cloud.tags.put(tx, [vpc.id, group.id], {"Name": "ours"}, account=account)
        cloud.delete_account(account)
        assert [one.name for one in identity.accounts.list()] == ["admin"]
        with pytest.raises(NotFound, match="no account"):
            cloud.groups.list(account=account)
        with pytest.raises(NotFound, match="no account"):
            cloud.vpcs.default(account=account)


def test_recursively_an_account_goes_with_its_users_and_nothing_else(world: SimWorld) -> None:
    with world:
        cloud, identity = world.cloud, world.cloud.identity
        assert identity is not None
        account = identity.accounts.create("research").id
        for name in ("admin", "bob", "carol"):
            user = (
                identity.users.get(name, account=account)
                if name == "admin"
                else (identity.users.create(name, account=account))
            )
            key, _ = identity.access_keys.create(user)
        with pytest.raises(InUse, match="still has the user 'bob'"):
            cloud.delete_account(account)
        web = cloud.groups.create("web", "", account=account)
        with pytest.raises(InUse, match="still has security groups: web"):
            cloud.delete_account(account, recursive=True)
        assert identity.find(key.id, None) is not None, "what was refused has changed nothing"
        cloud.groups.delete(web.id, account=account)
        cloud.delete_account(account, recursive=True)
        assert identity.find(key.id, None) is None
        with pytest.raises(NotFound):
            cloud.delete_account(account, recursive=True)


def test_instances_keep_an_account(world: SimWorld) -> None:
    with world:
        cloud, identity = world.cloud, world.cloud.identity
        assert identity is not None
        account = identity.accounts.create("research").id
        cloud.images.share(world.images.machine.id, public=True)
        for shared in (world.images.kernel, world.images.ramdisk):
            cloud.images.share(shared.id, public=True)
        [instance] = cloud.run_instances(world.images.machine.id, account=account)
        with pytest.raises(InUse, match=f"applies to {instance.id}"):
            cloud.delete_account(account, recursive=True)
        cloud.terminate_instances([instance.id], account=account)
        world.settle()
        with pytest.raises(InUse, match="still has instances"):
            cloud.delete_account(account)
        world.clock.advance(seconds=3700)
        cloud.tick()
        cloud.delete_account(account)


def test_the_administrators_account_stays_whatever_is_asked(world: SimWorld) -> None:
    with world:
        for recursive in (False, True):
            with pytest.raises(InvalidValue, match="administrator's account"):
                world.cloud.delete_account(ADMIN_ACCOUNT, recursive=recursive)
        world.cloud.identity = None
        with pytest.raises(InvalidValue, match="assemble it with identity="):
            world.cloud.delete_account(ADMIN_ACCOUNT)
