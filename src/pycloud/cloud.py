"""`CloudController`: the public verbs of a cloud. It assembles the parts and decides, one
transaction for each verb.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from ipaddress import IPv4Address
from types import TracebackType
from typing import Any, Self

import attrs
from sqlalchemy.exc import IntegrityError

from pycloud import limits
from pycloud.compute.explanation import Explanation
from pycloud.compute.images import ImageRegistry
from pycloud.compute.instances import InstanceStore, Verb
from pycloud.compute.keypairs import KeyPairStore
from pycloud.compute.launch import Launch, check_options
from pycloud.compute.launch_templates import LaunchTemplates
from pycloud.compute.node import NodeController
from pycloud.compute.placement import Placement
from pycloud.compute.placement_groups import PlacementGroups
from pycloud.compute.records import (
    HttpEndpoint,
    HttpTokens,
    Image,
    ImageKind,
    Instance,
    InstanceState,
    NodeRoom,
    NodeState,
    ShutdownBehaviour,
)
from pycloud.compute.scheduler import Capacity, ClusterScheduler
from pycloud.compute.types import InstanceType, InstanceTypes
from pycloud.errors import DriverError, InvalidValue, Protected, WrongState
from pycloud.identity.accounts import get_account
from pycloud.identity.identity import Identity
from pycloud.ids import (
    ADMIN_ACCOUNT,
    AccountId,
    ImageId,
    InstanceId,
    NodeName,
    ReservationId,
    SecurityGroupId,
    mint,
)
from pycloud.loop import Loop
from pycloud.metadata import InstanceMetadata
from pycloud.network.addresses import IPPool
from pycloud.network.elastic import ElasticAddresses
from pycloud.network.groups import SecurityGroups
from pycloud.network.records import interface_of
from pycloud.network.vpcs import VPCStore
from pycloud.state.database import Database
from pycloud.state.transaction import Transaction
from pycloud.storage.buckets import BucketStore
from pycloud.tags import TagStore

_GIB = 1024**3
_GOING = (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED)


class CloudController:
    """A cloud: its parts, and what can be asked of it.

    Use it as a context manager, or call `open()` and `close()`. A verb that returns has its
    decision durably in the state; a loop makes it true, in a thread, or with `background=False`
    whenever `tick()` or `settle()` is called. Several processes may open one state: all serve, one
    turns the loop. `mint` makes ids from a prefix; for simulations that are to repeat.

    >>> import pycloud
    >>> from pycloud.drivers.files import FileBlobs
    >>> from pycloud.drivers.sim import sim_node
    >>> state = pycloud.SQLiteState("cloud.db")
    >>> buckets = pycloud.BucketStore(state, FileBlobs("blobs"))
    >>> cloud = pycloud.CloudController(
    ...     state,
    ...     scheduler=pycloud.ClusterScheduler(state, [sim_node("node1")]),
    ...     addresses=pycloud.IPPool(state, "10.11.0.0/24"),
    ...     images=pycloud.ImageRegistry(state, buckets),
    ... )
    >>> with cloud:
    ...     cloud.describe_nodes()[0].name
    'node1'
    """

    def __init__(
        self,
        state: Database,
        *,
        scheduler: ClusterScheduler,
        addresses: IPPool,
        images: ImageRegistry,
        keypairs: KeyPairStore | None = None,
        types: InstanceTypes | None = None,
        elastic: ElasticAddresses | None = None,
        identity: Identity | None = None,
        region: str = "pycloud",
        domain: str = "pycloud.internal",
        background: bool = True,
        workers: int = 8,
        mint: Callable[[str], str] = mint,
    ) -> None:
        self.state = state
        self.scheduler = scheduler
        self.addresses = addresses
        self.images = images
        self.keypairs = keypairs or KeyPairStore(state)
        self.types = types or InstanceTypes(state)
        self.elastic = elastic
        self.identity = identity
        self.vpcs = VPCStore(state, addresses.network)
        self.groups = SecurityGroups(state, self.vpcs)
        self.launch_templates = LaunchTemplates(state)
        self.tags = TagStore(state)
        self.instances = InstanceStore(state)
        self.region = region
        self.domain = domain
        self.background = background
        self._loop = Loop(
            state,
            scheduler,
            self.instances,
            images,
            addresses,
            workers=workers,
            on_terminated=self._let_go,
            on_forgotten=self.tags.forget,
        )
        self._open = ExitStack()
        self._mint = mint
        self._watches: dict[NodeName, Callable[[], None]] = {}

    @property
    def buckets(self) -> BucketStore:
        """Where the images' bytes are, and whatever else its users keep there."""
        return self.images.buckets

    @property
    def placement_groups(self) -> PlacementGroups:
        """Groups of instances that are placed with regard to each other."""
        return self.scheduler.groups

    # Opening and closing

    def open(self) -> Self:
        """Open the state, look at the nodes, and start the loop.

        Raises `InvalidValue` if the addresses can't be used on a node, `StateError` if the state
        can't be opened.
        """
        with ExitStack() as stack:
            self.state.open()
            stack.callback(self.state.close)
            stack.callback(self._unwatch_all)
            for node in self.scheduler.nodes.values():
                node.check(self.addresses.network)
                self._watch(node)
            self.scheduler.open()
            stack.callback(self.state.subscribe(self._loop.nudge))
            stack.callback(self.state.watch(self._loop.nudge))
            stack.callback(self._loop.stop)
            if self.background:
                self._loop.start()
            self._open = stack.pop_all()
        return self

    def close(self) -> None:
        """Stop the loop and close the state. Guests go on running."""
        self._open.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def tick(self) -> bool:
        """Turn the loop once, in this thread. Returns False if another process turns it."""
        return self._loop.tick()

    def settle(self, timeout_s: float) -> None:
        """Return when reality is what was asked for. Raises `NotSettled`, naming what is still
        under way.
        """
        self._loop.settle(timeout_s)

    # Instances

    def run_instances(
        self,
        image: ImageId,
        *,
        type: str = "m1.small",
        count: int = 1,
        min_count: int | None = None,
        key: str | None = None,
        user_data: bytes | None = None,
        placement: Placement | None = None,
        http_tokens: HttpTokens = "optional",
        http_hop_limit: int = 1,
        http_endpoint: HttpEndpoint = "enabled",
        groups: Sequence[SecurityGroupId] | None = None,
        protected: bool = False,
        shutdown_behaviour: ShutdownBehaviour = "stop",
        monitored: bool = False,
        tags: Mapping[str, str] | None = None,
        system_tags: Mapping[str, str] | None = None,
        interface_tags: Mapping[str, str] | None = None,
        client_token: str | None = None,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> list[Instance]:
        """Launch `count` instances, or as many as there is room for but `min_count` (default: all),
        or none.

        They come back `pending`, in the security groups `groups` (ids; by default the account's
        default group). `protected` ones can't be terminated; `shutdown_behaviour` is what becomes
        of one whose guest switches itself off. `system_tags` (`aws:…`) say where it comes from; its
        users can't change them. The same `client_token` again gives the same instances ("Ensuring
        idempotency in Amazon EC2 API requests"). Raises `InvalidValue`, `NotFound`, `NoRoom`,
        `NoAddress`, and `Duplicate` if the token was used for another launch; then nothing was
        launched.
        """
        launch = Launch(
            image=image,
            type=type,
            count=count,
            min_count=count if min_count is None else min_count,
            key=key,
            user_data=user_data,
            placement=placement or Placement(),
            http_tokens=http_tokens,
            http_hop_limit=http_hop_limit,
            http_endpoint=http_endpoint,
            groups=None if groups is None else tuple(groups),
            protected=protected,
            shutdown_behaviour=shutdown_behaviour,
            monitored=monitored,
            tags=tags or {},
            system_tags=system_tags or {},
            interface_tags=interface_tags or {},
            account=account,
        )
        if client_token is not None and not 1 <= len(client_token) <= limits.CLIENT_TOKEN_CHARS:
            raise InvalidValue(f"a client token has 1 to {limits.CLIENT_TOKEN_CHARS} characters")
        try:
            return self._launch_once(launch, client_token)
        except IntegrityError:
            # Another process used the token in the same moment: by now its launch is there.
            return self._launch_once(launch, client_token)

    def describe_instances(
        self, ids: Iterable[InstanceId] | None = None, *, account: AccountId | None = ADMIN_ACCOUNT
    ) -> list[Instance]:
        """Return the instances with these ids, or all of the account, in the order of their
        launch; with the account None, those of all accounts. Raises `NotFound`.

        One that was running when its node was last heard of is shown as `silent`, not as running.
        """
        with self.state.reading() as tx:
            found = (
                self.instances.list(tx, account=account)
                if ids is None
                else self.instances.find(tx, ids, account=account)
            )
            unheard = self.scheduler.unheard(tx)
        return [_as_heard(instance, unheard) for instance in found]

    def page_of_instances(
        self,
        *,
        after: tuple[datetime, int, str] | None = None,
        most: int = limits.INSTANCES_PER_READ,
        account: AccountId | None = ADMIN_ACCOUNT,
    ) -> list[Instance]:
        """Return at most so many instances in the order of their launch: those after the one with
        this `launched_at`, `launch_index` and id.
        """
        with self.state.reading() as tx:
            found = self.instances.page(tx, account=account, after=after, most=most)
            unheard = self.scheduler.unheard(tx)
        return [_as_heard(instance, unheard) for instance in found]

    def modify_instance(
        self,
        id: InstanceId,
        *,
        type: str | None = None,
        user_data: bytes | None = None,
        groups: Sequence[SecurityGroupId] | None = None,
        protected: bool | None = None,
        shutdown_behaviour: ShutdownBehaviour | None = None,
        monitored: bool | None = None,
        http_tokens: HttpTokens | None = None,
        http_hop_limit: int | None = None,
        http_endpoint: HttpEndpoint | None = None,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> Instance:
        """Change what is given of an instance; type and user data only while it is stopped, and
        its disk stays as large as it is. Raises `InvalidValue`, `NotFound`, `WrongState`.
        """
        given: dict[str, Any] = {
            "user_data": user_data,
            "is_protected": protected,
            "shutdown_behaviour": shutdown_behaviour,
            "is_monitored": monitored,
            "http_tokens": http_tokens,
            "http_hop_limit": http_hop_limit,
            "http_endpoint": http_endpoint,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        check_options(changes)
        with self._chosen([id], account) as (tx, found):
            [instance] = found
            if instance.state in _GOING:
                raise WrongState(f"cannot change {id}: it is {instance.state}")
            if type is not None or user_data is not None:
                if instance.state is not InstanceState.STOPPED:
                    raise WrongState(f"stop {id} before you change that: it is {instance.state}")
                changes |= self._resized(tx, type)
            if groups is not None:
                self.groups.detach(tx, id)
                self.groups.attach(tx, [id], groups, account=account)
            changed = attrs.evolve(instance, **changes)
            self.instances.write(tx, changed)
            tx.record("instance.modified", id, ", ".join(sorted(changes)))
            return changed

    def start_instances(
        self, ids: Sequence[InstanceId], *, account: AccountId = ADMIN_ACCOUNT
    ) -> list[Instance]:
        """Start stopped instances, on the nodes that have their disks. Raises `NotFound`,
        `WrongState`, `NoRoom`.
        """

        with self._chosen(ids, account) as (tx, found):
            stopped = [one for one in found if one.state is InstanceState.STOPPED]
            self.scheduler.reclaim(tx, [(one.id, one.node, _size(one)) for one in stopped])
            return [self.instances.want(tx, one, Verb.START) for one in found]

    def stop_instances(
        self, ids: Sequence[InstanceId], *, account: AccountId = ADMIN_ACCOUNT
    ) -> list[Instance]:
        """Switch instances off, gently at first; their disks and addresses stay. Raises
        `NotFound`, `WrongState`.
        """
        return self._want(ids, account, Verb.STOP)

    def reboot_instances(
        self, ids: Sequence[InstanceId], *, account: AccountId = ADMIN_ACCOUNT
    ) -> list[Instance]:
        """Switch running instances off, gently at first, and on again. Raises `NotFound`,
        `WrongState`.
        """
        return self._want(ids, account, Verb.REBOOT)

    def terminate_instances(
        self, ids: Sequence[InstanceId], *, account: AccountId = ADMIN_ACCOUNT
    ) -> list[Instance]:
        """Take instances away with all that is theirs. They are shown for an hour. Raises
        `NotFound`, and `Protected` if one of them is: then all stay.
        """
        with self._chosen(ids, account) as (tx, found):
            for one in found:
                if one.is_protected and one.state not in _GOING:
                    raise Protected(f"{one.id} is protected from termination: take that back first")
            return [self.instances.want(tx, one, Verb.TERMINATE) for one in found]

    def console_output(self, id: InstanceId, *, account: AccountId = ADMIN_ACCOUNT) -> bytes:
        """Return the end of what the guest wrote to its console, its last words if it is gone.
        Raises `NotFound`.
        """
        with self.state.reading() as tx:
            [instance] = self.instances.find(tx, [id], account=account)
            kept = self.instances.kept_console(tx, id)
        node = self.scheduler.nodes.get(instance.node)
        if kept is not None or node is None:
            return kept or b""
        try:
            return node.hypervisor.console(id)
        except DriverError as error:
            raise WrongState(
                f"{instance.node} does not give the console of {id}: {error}"
            ) from error

    # The cloud itself

    def describe_nodes(self) -> list[NodeRoom]:
        """Return the nodes in the order of their joining, also those that have left, as long as
        an instance is shown that was on them.
        """
        with self.state.reading() as tx:
            return self.scheduler.rooms(tx)

    def join(self, node: NodeController) -> None:
        """Add a node while the cloud runs. Raises `Duplicate`, and `InvalidValue` if the node
        offers nothing or the addresses can't be used there.

        Every process of the cloud must be told: a node that the one which turns the loop has not
        is silent.
        """
        node.check(self.addresses.network)
        self.scheduler.join(node)
        self._watch(node)

    def leave(self, name: str, *, lost: bool = False) -> None:
        """Take a node away. Raises `NotFound`, and `InUse` naming the instances that are still
        on it: `scheduler.drain` it first, and terminate them.

        With `lost`, its host is gone for good: its instances are terminated without asking it.
        Only for a node that is silent or in maintenance (`WrongState` otherwise), and whose host
        never comes back with guests on it: their addresses are given to others.
        """
        with self.state.transaction() as tx:
            if lost:
                self._give_up(tx, NodeName(name))
            self.scheduler.remove(tx, name)
        self.scheduler.nodes.pop(NodeName(name), None)
        self._unwatch(name)

    def capacity(
        self, *, zone: str | None = None, account: AccountId | None = None
    ) -> dict[str, Capacity]:
        """Return how many instances of each type alone fit now, and would fit on empty nodes; in
        all zones, or in one; on all nodes, or on those that `account` may use. Raises `NotFound`.
        """
        return self.scheduler.capacity(self.types.list(), zone=zone, account=account)

    def explain(
        self,
        type: str = "m1.small",
        placement: Placement | None = None,
        *,
        count: int = 1,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> Explanation:
        """Say what speaks for and against launching `count` instances of a type, without doing
        it. Raises `NotFound`, `InvalidValue`.
        """
        kind = self.types.get(type)
        return self.scheduler.explain(kind, placement or Placement(), count=count, account=account)

    def credentials_zip(self, user: str = "admin", *, account: AccountId = ADMIN_ACCOUNT) -> bytes:
        """Return the archive with which old and new tools find the cloud and are let in. Raises
        `NotFound`, and `InvalidValue` for a cloud that was assembled without `identity`.
        """
        return self._users().credentials_zip(user, account=account, region=self.region)

    def delete_account(self, account: AccountId, *, recursive: bool = False) -> None:
        """Delete an account that has nothing any more but what each has by itself: the user
        `admin`, the VPC and the default group. With `recursive`, all its users go too, with their
        keys and certificates.

        Raises `NotFound`, `InUse` naming what it still has, and `InvalidValue` for the
        administrator's, and for a cloud that was assembled without `identity`.
        """
        identity = self._users()
        with self.state.transaction() as tx:
            identity.accounts.claim(tx, account)
            if recursive:
                for user in identity.users.list(account=account):
                    identity.forget(user)
            self.groups.forget(tx, account)
            self.tags.forget_account(tx, account)
            identity.accounts.delete(account)

    def metadata(self, address: IPv4Address) -> InstanceMetadata | None:
        """Return what the metadata service tells the guest at `address`; None if there is none."""
        with self.state.reading() as tx:
            instance = self.instances.at(tx, address)
            if instance is None:
                return None
            image = self.images.known(tx, instance.image_id)
            groups = self.groups.of(tx, [instance.id]).get(instance.id, [])
        return InstanceMetadata.of(
            instance,
            image,
            [group.name for group in groups],
            network=self.addresses.network,
            domain=self.domain,
            region=self.region,
        )

    # Behind the verbs

    def _users(self) -> Identity:
        if self.identity is None:
            raise InvalidValue("the cloud knows no users: assemble it with identity=")
        return self.identity

    def _watch(self, node: NodeController) -> None:
        self._watches[node.name] = node.watch(partial(self._loop.nudge, node.name))

    def _unwatch(self, name: str) -> None:
        unwatch = self._watches.pop(NodeName(name), None)
        if unwatch is not None:
            unwatch()

    def _unwatch_all(self) -> None:
        for name in list(self._watches):
            self._unwatch(name)

    def _give_up(self, tx: Transaction, name: NodeName) -> None:
        """Terminate what is on a node that is lost."""
        holders = self.scheduler.holders(tx, name)
        here = {one.id for one in self.instances.list(tx, nodes=[name])}
        found = self.instances.find(tx, sorted(here.intersection(holders)))
        if holders and name not in self.scheduler.unheard(tx):
            raise WrongState(f"node {name!r} answers: it is not lost. Drain it instead")
        for holder in holders:
            if holder not in here:
                self.scheduler.give_back(tx, holder)  # it was placed without being launched
        for instance in found:
            self._let_go(tx, instance.id)
            self.instances.give_up(tx, instance, f"its node {name} was lost")

    def _launch_once(self, launch: Launch, client_token: str | None) -> list[Instance]:
        """Launch, unless that was done with this token before."""
        with self.state.transaction() as tx:
            get_account(tx, launch.account)
            if client_token is not None:
                former = self.instances.by_token(tx, launch.account, client_token)
                if former is not None:
                    digest, launched = former
                    launch.check_same(digest, client_token)
                    return list(launched)
            return self._launch(tx, launch, client_token)

    def _launch(self, tx: Transaction, launch: Launch, client_token: str | None) -> list[Instance]:
        """Decide everything that a launch needs, or nothing: rollback is the whole undo."""
        image, kind = self._checked(tx, launch)
        key = (
            None
            if launch.key is None
            else self.keypairs.find(tx, launch.key, account=launch.account)
        )
        ids = [InstanceId(self._mint("i")) for _ in range(launch.count)]
        picks = self.scheduler.claim(
            tx, kind, ids, launch.placement, least=launch.min_count, account=launch.account
        )
        reservation = ReservationId(self._mint("r"))
        self.instances.reserve(tx, reservation, launch.account, client_token, launch.digest())
        launched = []
        for index, (id_, picked) in enumerate(zip(ids, picks, strict=False)):
            instance = launch.instance(
                id_,
                reservation,
                index,
                image=image,
                kind=kind,
                key=key,
                pick=picked,
                address=self.addresses.take(tx, id_),
                now=tx.now,
            )
            self.instances.add(tx, instance)
            launched.append(instance)
        made = [instance.id for instance in launched]
        self.groups.attach(tx, made, launch.groups, account=launch.account)
        self.tags.put(tx, made, launch.tags, account=launch.account)
        self.tags.put(tx, made, launch.system_tags, account=launch.account, system=True)
        interfaces = [interface_of(id_) for id_ in made]
        self.tags.put(tx, interfaces, launch.interface_tags, account=launch.account)
        tx.nudge()
        return launched

    def _resized(self, tx: Transaction, type: str | None) -> dict[str, Any]:
        if type is None:
            return {}
        kind = self.types.find(tx, type)
        return {"type": kind.name, "cpus": kind.cpus, "memory_mib": kind.memory_mib}

    def _let_go(self, tx: Transaction, id_: InstanceId) -> None:
        """Free what an instance had that is terminated."""
        self.scheduler.give_back(tx, id_)
        self.addresses.give_back(tx, id_)
        self.groups.detach(tx, id_)
        self.tags.forget(tx, [interface_of(id_)])
        if self.elastic is not None:
            self.elastic.forget(tx, id_)

    def _checked(self, tx: Transaction, launch: Launch) -> tuple[Image, InstanceType]:
        image = self.images.find(tx, launch.image, account=launch.account, kind=ImageKind.MACHINE)
        kind = self.types.find(tx, launch.type)
        if image.virtual_size_bytes > kind.disk_gib * _GIB:
            raise InvalidValue(
                f"{image.id} needs a disk of {image.virtual_size_bytes / _GIB:.1f} GiB; "
                f"{kind.name} has {kind.disk_gib} GiB: choose a larger type"
            )
        return image, kind

    def _want(self, ids: Sequence[InstanceId], account: AccountId, verb: Verb) -> list[Instance]:
        with self._chosen(ids, account) as (tx, found):
            return [self.instances.want(tx, one, verb) for one in found]

    @contextmanager
    def _chosen(
        self, ids: Sequence[InstanceId], account: AccountId
    ) -> Iterator[tuple[Transaction, list[Instance]]]:
        """Begin a transaction in which something is done for all of the instances, or for none."""
        if isinstance(ids, str):
            raise InvalidValue(f"give a list of instance ids: [{ids!r}]")
        with self.state.transaction() as tx:
            yield tx, self.instances.find(tx, ids, account=account)


def _as_heard(instance: Instance, unheard: Mapping[NodeName, NodeState]) -> Instance:
    why = unheard.get(instance.node)
    if instance.state is not InstanceState.RUNNING or why is None:
        return instance
    what = "in maintenance" if why is NodeState.MAINTENANCE else str(why)
    return attrs.evolve(
        instance, state=InstanceState.SILENT, reason=f"its node {instance.node} is {what}"
    )


def _size(instance: Instance) -> InstanceType:
    return InstanceType(instance.type, instance.cpus, instance.memory_mib, instance.disk_gib)
