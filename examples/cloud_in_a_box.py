"""A cloud on this machine, assembled from pycloud's parts, that runs one real virtual machine and
logs in to it.

`./cloud-in-a-box` prepares the machine and calls this. With `--simulated N` no hypervisor is
needed, and no guest is real.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Network
from pathlib import Path

import attrs
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

import pycloud
from examples.images.build import BuildError, build_images
from pycloud.drivers.files import FileBlobs
from pycloud.drivers.libvirt import LibvirtHypervisor
from pycloud.drivers.qcow2 import Qcow2Blocks
from pycloud.drivers.routed import RoutedFabric
from pycloud.drivers.serve import WsgiServer
from pycloud.drivers.sim import sim_node
from pycloud.ec2 import EC2App
from pycloud.ec2.identity import IdentityKeys
from pycloud.s3 import S3App
from pycloud.testing.images import register_sim_images

KEY_NAME = "eucatest"
METADATA_PORT = 8775
SSH_LIMIT_S = 240
RUNNING_LIMIT_S = 120
NETWORKS = [f"10.{second}.0.0/24" for second in range(11, 31)]
PUBLIC = "203.0.113.0/24"
COMMAND = "echo $(hostname) runs $(uname -sr) with $(grep -c ^processor /proc/cpuinfo) core"

screen = Console(highlight=False, soft_wrap=True)


class BoxError(Exception):
    """The main job failed; the text says why, and what would mend it."""


@attrs.frozen
class Box:
    """The assembled cloud, and the parts of its one node that are looked at from outside."""

    home: Path
    cloud: pycloud.CloudController
    node: pycloud.NodeController
    simulated: bool
    ec2_url: str | None = None
    """Where the EC2 API answers, if it is served."""
    s3_url: str | None = None
    """And the object store."""


@attrs.frozen
class Launched:
    """The instance of the main job, and how long it took."""

    instance: pycloud.Instance
    running_s: float | None = None
    ssh_s: float | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the main job; return the exit status."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _open(options) as box:
            gc.freeze()  # AWS's models stay: the collector need not look through them at each answer
            if options.once:
                _run_once(box)
            else:
                _show(box, _launch(box, fresh=False))
                _show_access(box)
                _stay()
    except KeyboardInterrupt:
        screen.print("\nStopped. Instances go on running; start again to look after them.")
    except (BoxError, BuildError, pycloud.PyCloudError, OSError) as error:
        screen.print(f"[red]cloud-in-a-box failed:[/] {error}", markup=True)
        return 1
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cloud-in-a-box", description=__doc__)
    parser.add_argument(
        "--once", action="store_true", help="terminate the instance after the check"
    )
    parser.add_argument(
        "--simulated", type=int, metavar="N", help="N simulated nodes, no real guest"
    )
    parser.add_argument("--home", type=Path, default=_default_home(), help="default: %(default)s")
    parser.add_argument(
        "--isolated", action="store_true", help="give guests no way out of this host"
    )
    parser.add_argument(
        "--ec2-port",
        "--port",
        type=int,
        default=8773,
        metavar="PORT",
        help="where the EC2 API is served; default: %(default)s",
    )
    parser.add_argument(
        "--s3-port",
        type=int,
        default=8774,
        metavar="PORT",
        help="where the object store is served; default: %(default)s",
    )
    parser.add_argument(
        "--listen",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="the address at which it is served; default: %(default)s, this machine alone",
    )
    return parser.parse_args(arguments)


def _default_home() -> Path:
    """Return the user's data directory. The hypervisor's user may not enter root's own, so
    root's is /var/lib.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/pycloud")
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share")) / "pycloud"


# Assembling


@contextmanager
def _open(options: argparse.Namespace) -> Iterator[Box]:
    home = options.home.absolute()
    home.mkdir(parents=True, exist_ok=True, mode=0o711)
    with ExitStack() as stack:
        if options.simulated is None:
            box = _real(home, outbound=not options.isolated, s3_port=options.s3_port)
            stack.enter_context(_metadata(box))
        else:
            box = _simulated(home, options.simulated)
        with _step("opening the cloud"):
            stack.enter_context(box.cloud)
        ec2_url = _serve_ec2(stack, box.cloud, options.listen, options.ec2_port)
        s3_url = _serve_s3(stack, box, options.listen, options.s3_port)
        yield attrs.evolve(box, ec2_url=ec2_url, s3_url=s3_url)


def _serve_ec2(
    stack: ExitStack, cloud: pycloud.CloudController, address: str, port: int
) -> str | None:
    """Serve the EC2 API as long as the stack stands, and return where it answers; None if it is not
    served.
    """
    assert cloud.identity is not None
    try:
        server = stack.enter_context(WsgiServer(EC2App(cloud), address, port, threads=16))
    except pycloud.Cannot as taken:
        screen.print(f"{taken}; the EC2 API is not served (choose another --ec2-port)")
        return None
    host = "127.0.0.1" if address == "0.0.0.0" else address
    url = f"http://{host}:{server.port}/"
    cloud.identity.set_endpoint("ec2", url)
    return url


def _serve_s3(stack: ExitStack, box: Box, address: str, port: int) -> str | None:
    """Serve the object store, to guests too (at their gateway's address), and return where it
    answers; None if it is not served.
    """
    cloud = box.cloud
    assert cloud.identity is not None
    app = S3App(cloud.buckets, IdentityKeys(cloud.identity), region=cloud.region)
    stack.callback(app.deliver_logs)
    try:
        server = stack.enter_context(WsgiServer(app, address, port, threads=32, body_bytes=0))
        if not box.simulated and address != "0.0.0.0":
            gateway = str(cloud.addresses.gateway)
            stack.enter_context(
                WsgiServer(app, gateway, server.port, threads=16, freebind=True, body_bytes=0)
            )
    except pycloud.Cannot as taken:
        screen.print(f"{taken}; the object store is not served (choose another --s3-port)")
        return None
    host = "127.0.0.1" if address == "0.0.0.0" else address
    url = f"http://{host}:{server.port}/"
    cloud.identity.set_endpoint("s3", url)
    return url


def _real(home: Path, *, outbound: bool, s3_port: int) -> Box:
    """Assemble a cloud of one node, this machine."""
    if os.geteuid() != 0:
        raise BoxError(
            "taps, routes and firewall rules take root: sudo ./cloud-in-a-box, or look at a simulated "
            "cloud with ./cloud-in-a-box --simulated 3"
        )
    tag = hashlib.sha256(bytes(home)).hexdigest()[:8]
    fabric = RoutedFabric(
        cloud=tag,
        metadata_port=METADATA_PORT,
        service_ports=[s3_port] if s3_port else [],
        outbound=outbound,
    )
    node = pycloud.NodeController(
        "node1",
        hypervisor=LibvirtHypervisor(consoles=home / "consoles", cloud=tag),
        fabric=fabric,
        blocks=Qcow2Blocks(home / "disks"),
        reserved_memory_mib=512,
        cpu_overcommit=8,
    )
    return _assemble(home, [node], _network(home, fabric))


def _simulated(home: Path, nodes: int) -> Box:
    """Assemble a cloud of nodes that are only told of."""
    if nodes < 1:
        raise BoxError(f"a simulated cloud has at least 1 node, not {nodes}")
    screen.print(f"[bold yellow]SIMULATED: {nodes} nodes that do not exist, and no real guest[/]")
    sims = [sim_node(f"node{number}") for number in range(1, nodes + 1)]
    return _assemble(home / "simulated", sims, NETWORKS[0], simulated=True)


def _assemble(
    home: Path, nodes: list[pycloud.NodeController], network: str, *, simulated: bool = False
) -> Box:
    state = pycloud.SQLiteState(home / "cloud.db")
    seal = pycloud.Seal.from_file(home / "seal.key")
    buckets = pycloud.BucketStore(state, FileBlobs(home / "blobs"), seal=seal)
    identity = pycloud.Identity(state, seal)
    cloud = pycloud.CloudController(
        state,
        scheduler=pycloud.ClusterScheduler(state, nodes),
        addresses=pycloud.IPPool(state, network),
        images=pycloud.ImageRegistry(state, buckets, certificates=identity.certificates),
        identity=identity,
        # What leads to an elastic address is not led anywhere yet: only simulated guests have them.
        elastic=pycloud.ElasticAddresses(state, pycloud.IPPool(state, PUBLIC, name="public"))
        if simulated
        else None,
    )
    return Box(home, cloud, nodes[0], simulated)


def _network(home: Path, fabric: RoutedFabric) -> str:
    """Return the network of this home: chosen once, so that it overlaps no route of this host."""
    kept = home / "network"
    if not kept.exists():
        for network in NETWORKS:
            with contextlib.suppress(pycloud.InvalidValue):
                fabric.check(IPv4Network(network))
                kept.write_text(network)
                break
        else:
            raise BoxError(f"all of {NETWORKS[0]} to {NETWORKS[-1]} overlap routes of this host")
    return kept.read_text().strip()


@contextmanager
def _metadata(box: Box) -> Iterator[None]:
    """Serve what guests ask at 169.254.169.254; the fabric leads it to the gateway's address."""
    kept = box.home / "metadata.secret"
    if not kept.exists():
        kept.touch(mode=0o600)
        kept.write_bytes(secrets.token_bytes(32))
    app = pycloud.MetadataApp(box.cloud.metadata, secret=kept.read_bytes())
    gateway = str(box.cloud.addresses.gateway)
    with ExitStack() as stack:
        try:
            stack.enter_context(WsgiServer(app, gateway, METADATA_PORT, freebind=True))
        except pycloud.Cannot as taken:
            screen.print(f"{taken}; another process serves this home, it seems")
        yield


# The main job


def _run_once(box: Box) -> None:
    """Run the job and end it; what fails on the way leaves no instance behind either."""
    former = {instance.id for instance in box.cloud.describe_instances()}
    try:
        launched = _launch(box, fresh=True)
        _show(box, launched)
    except BaseException:
        with contextlib.suppress(pycloud.PyCloudError):
            new = [one.id for one in box.cloud.describe_instances() if one.id not in former]
            box.cloud.terminate_instances(new)
            box.cloud.settle(timeout_s=RUNNING_LIMIT_S)
        raise
    screen.print(f"[green]{_end(box, launched.instance)}[/]")


def _launch(box: Box, *, fresh: bool) -> Launched:
    """Run one m1.small and log in; a home that has a running instance shows that one, unless a
    fresh one is wanted.
    """
    running = [
        instance
        for instance in box.cloud.describe_instances()
        if instance.state is pycloud.InstanceState.RUNNING
    ]
    if running and not fresh:
        screen.print(f"found {len(running)} running")
        return Launched(running[0])
    image = _image(box)
    _key(box)
    began = time.monotonic()
    with _step("running one m1.small"):
        [instance] = box.cloud.run_instances(image.id, type="m1.small", key=KEY_NAME)
        instance = _running(box, instance)
    running_s = time.monotonic() - began
    if box.simulated:
        return Launched(instance, running_s)
    with _step(f"waiting for SSH at {instance.address}"):
        said = _log_in(box, instance)
    screen.print(f"the guest says: [bold]{said}[/]")
    return Launched(instance, running_s, time.monotonic() - began)


def _image(box: Box) -> pycloud.Image:
    """Return the machine image, registered with its kernel and ramdisk if it is not there yet."""
    images = box.cloud.images
    found = [image for image in images.list() if image.kind is pycloud.ImageKind.MACHINE]
    if found:
        return found[-1]
    if box.simulated:
        return register_sim_images(images).machine
    with _step("building the guest image") as say:
        guest = build_images(box.home / "guest-images", say)
    with _step("registering kernel, ramdisk and machine image"):
        kernel = images.register_kernel(guest.kernel)
        ramdisk = images.register_ramdisk(guest.ramdisk)
        machine = images.register_machine(guest.machine, kernel=kernel.id, ramdisk=ramdisk.id)
    screen.print(f"registered {kernel.id}, {ramdisk.id}, {machine.id}")
    return machine


def _key(box: Box) -> None:
    """See that there is a key pair whose private half is in the home."""
    names = [key.name for key in box.cloud.keypairs.list()]
    if KEY_NAME in names and _private_key(box).exists():
        return
    box.cloud.keypairs.delete(KEY_NAME)
    created = box.cloud.keypairs.create(KEY_NAME)
    private = _private_key(box)
    private.unlink(missing_ok=True)
    private.touch(mode=0o600)
    private.write_text(created.private_key)
    screen.print(f"created key pair {KEY_NAME} ({created.key_pair.fingerprint})")


def _private_key(box: Box) -> Path:
    return box.home / f"{KEY_NAME}.pem"


def _running(box: Box, instance: pycloud.Instance) -> pycloud.Instance:
    box.cloud.settle(timeout_s=RUNNING_LIMIT_S)
    [instance] = box.cloud.describe_instances([instance.id])
    if instance.state is not pycloud.InstanceState.RUNNING:
        raise BoxError(f"{instance.id} is {instance.state}: {instance.reason}")
    return instance


def _ssh(box: Box, instance: pycloud.Instance) -> list[str]:
    """Return the command that logs in. A guest's host key is new, as the guest is."""
    quiet = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    quiet += ["-o", "LogLevel=ERROR"]
    return ["ssh", "-i", str(_private_key(box)), *quiet, f"root@{instance.address}"]


def _log_in(box: Box, instance: pycloud.Instance) -> str:
    """Run a command in the guest, as soon as it lets us; return what it says."""
    command = _ssh(box, instance)
    command[1:1] = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
    deadline = time.monotonic() + SSH_LIMIT_S
    while time.monotonic() < deadline:
        done = subprocess.run([*command, COMMAND], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
        [instance] = box.cloud.describe_instances([instance.id])
        if instance.state is not pycloud.InstanceState.RUNNING:
            raise BoxError(f"{instance.id} is {instance.state}: {instance.reason}")
        time.sleep(0.5)
    console = box.cloud.console_output(instance.id).decode(errors="replace")[-2000:]
    raise BoxError(f"no SSH within {SSH_LIMIT_S} s: {done.stderr.strip()}; its console:\n{console}")


def _end(box: Box, instance: pycloud.Instance) -> str:
    """Terminate the instance, see that nothing of it is left, and say so."""
    with _step("terminating it"):
        box.cloud.terminate_instances([instance.id])
        box.cloud.settle(timeout_s=RUNNING_LIMIT_S)
    left = _remains(box, instance)
    if left:
        raise BoxError(f"left behind: {', '.join(left)}")
    return (
        "nothing is left behind: no domain, tap, lease, firewall rule, disk, console or address of "
        f"{instance.id}"
    )


def _remains(box: Box, instance: pycloud.Instance) -> list[str]:
    """Look for the instance in the world, with eyes other than the drivers' own where there are
    any.
    """
    node = box.node
    found = {
        "domain": instance.id in node.hypervisor.found().domains,
        "console": bool(node.hypervisor.console(instance.id)),
        "wire": instance.id in node.fabric.found(),
        "disk": instance.id in map(str, node.blocks.found()),
        "address": instance.id in box.cloud.addresses.held().values(),
    }
    if not box.simulated:
        device = "pc" + instance.id.removeprefix("i-")[:12]
        found["tap"] = Path("/sys/class/net", device).exists()
        found["firewall rule"] = device in _output("nft", "list", "ruleset")
        found["libvirt's domain"] = instance.id in _output("virsh", "list", "--all", "--name")
    return [what for what, is_there in found.items() if is_there]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# What people see


@contextmanager
def _step(what: str) -> Iterator[Callable[[str], None]]:
    """Show that something is being done, and how long it took."""
    began = time.monotonic()
    with screen.status(what) as status:
        yield lambda detail: status.update(f"{what}: {detail}")
    screen.print(f"[green]✓[/] {what} [dim]({time.monotonic() - began:.1f} s)[/]")


def _show(box: Box, launched: Launched) -> None:
    instance = launched.instance
    columns = {
        "id": instance.id,
        "state": instance.state,
        "address": str(instance.address),
        "node": instance.node,
        "image": instance.image_id,
        "type": instance.type,
        "running in": _seconds(launched.running_s),
        "SSH in": _seconds(launched.ssh_s),
    }
    table = Table(
        box=SIMPLE, show_header=False
    )  # upright, so that no screen is too narrow for an id
    for title, value in columns.items():
        table.add_row(title, f"[bold]{value}[/]")
    screen.print(table)
    if box.simulated:
        screen.print("[bold yellow]SIMULATED: there is nothing to log in to[/]")
    else:
        host = box.node.hypervisor.found()
        screen.print(
            f"{host.accelerator} on {host.cpus} cores, {host.memory_mib} MiB; log in with:"
        )
        screen.print(f"  {' '.join(_ssh(box, instance))}")


def _show_access(box: Box) -> None:
    """Say how the AWS command line finds the cloud and is let in."""
    identity = box.cloud.identity
    if box.ec2_url is None or identity is None:
        return
    key, secret = identity.usable_key(identity.users.get("admin"))
    screen.print("the AWS command line, boto3 and others find it after:")
    screen.print(f"  export AWS_ENDPOINT_URL={box.ec2_url} AWS_DEFAULT_REGION={box.cloud.region}")
    screen.print(f"  export AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={secret}")
    if box.s3_url is not None:
        screen.print(f"  export AWS_ENDPOINT_URL_S3={box.s3_url}")
    screen.print("the same for older tools too, as an archive to unzip and source:")
    screen.print(f"  {sys.executable} -m pycloud credentials admin.zip --home {box.home}")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _stay() -> None:
    screen.print("The cloud is up until Ctrl-C.")
    threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
