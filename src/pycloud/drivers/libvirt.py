"""`LibvirtHypervisor`: real guests, through libvirt (extra `pycloud[libvirt]`).

Domains are persistent, so that the hypervisor itself remembers why a guest is off, also if nobody
was listening. What else must be remembered (whose the guest is, which boot it had) is in the
domain's metadata.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pycloud import limits
from pycloud.compute.hypervisor import Domain, FoundDomain, FoundHost, OffReason, Power
from pycloud.drivers import accelerator as accelerators
from pycloud.drivers.domain_xml import NAMESPACE, Mark, domain_xml
from pycloud.errors import Cannot, InvalidValue, TryLater
from pycloud.ids import InstanceId

if TYPE_CHECKING:
    import libvirt

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PORTS = {"tls": 16514, "tcp": 16509, "ssh": 22}
_CONNECT_S = 5
_PREFIX = "pycloud"


class LibvirtHypervisor:
    """The guests of one libvirtd, any URI ("Connection URIs", libvirt.org).

    `consoles` is a folder for what the guests write to their serial consoles. `cloud` tells this
    cloud's guests from those of another on the same libvirtd. `accelerator` is `kvm` or `qemu`; by
    default it is found out by running a tiny guest, which takes a local URI.

    Errors of libvirt become `TryLater` (it did not answer) or `Cannot` (it answered no).
    """

    def __init__(
        self,
        uri: str = "qemu:///system",
        *,
        consoles: Path | str,
        cloud: str = "pycloud",
        accelerator: str | None = None,
    ) -> None:
        if accelerator not in (None, "kvm", "qemu"):
            raise InvalidValue(f"an accelerator is 'kvm' or 'qemu', not {accelerator!r}")
        if not cloud.isalnum():
            raise InvalidValue(f"a cloud's tag has letters and digits only, not {cloud!r}")
        self.uri = uri
        self.consoles = Path(consoles)
        self.cloud = cloud
        self._accelerator = accelerator
        self._connection: libvirt.virConnect | None = None
        self._lock = threading.RLock()
        self._watchers: list[Callable[[], None]] = []

    @cached_property
    def accelerator(self) -> str:
        """`kvm` or `qemu`. Raises `InvalidValue` for a remote host, where it can't be found out."""
        if self._accelerator is not None:
            return self._accelerator
        if not self._is_local:
            raise InvalidValue(
                f"cannot find out whether KVM runs guests on {self.uri}: say accelerator='kvm' or 'qemu'"
            )
        with self._talking() as connection:
            capabilities = connection.getDomainCapabilities(None, "x86_64", None, "qemu")
        emulator = capabilities.partition("<path>")[2].partition("</path>")[0]
        self._make_consoles()
        return accelerators.probe(emulator, self.consoles / ".accelerator", self._host_boot)

    def found(self) -> FoundHost:
        """Tell what is there."""
        with self._talking() as connection:
            memory_kib = connection.getMemoryStats(-1)["total"]  # getInfo's can be plain wrong
            cpus = connection.getInfo()[2]
            domains = [self._found_domain(*found) for found in self._all(connection)]
        return FoundHost(
            cpus=cpus,
            memory_mib=memory_kib // 1024,
            accelerator=self.accelerator,
            host_boot=self._host_boot,
            domains={domain.id: domain for domain in domains if domain is not None},
        )

    def ensure(self, domain: Domain) -> None:
        """Bring the domain one step nearer to what it shall be."""
        with self._talking(domain.id) as connection:
            handle = _look_up(connection, domain.id)
            mark = None if handle is None else self._mark(handle)
            if handle is not None and mark is None:
                raise Cannot(f"there is a domain {domain.id} that is not this cloud's")
            if handle is None or mark is None or not handle.isActive():
                if domain.power is Power.ON:
                    self._start(connection, domain, mark)
            elif domain.power is Power.OFF or mark.boot < domain.boot:
                _switch_off(handle, force=domain.force)
            elif _is_paused_by_error(handle):
                handle.resume()

    def remove(self, id: InstanceId) -> None:
        """Make the domain and its console not exist."""
        with self._talking(id) as connection:
            handle = _look_up(connection, id)
            if handle is not None and self._mark(handle) is not None:
                if handle.isActive():
                    _switch_off(handle, force=True)
                _undefine(handle)
        for log in self._logs(id):
            log.unlink(missing_ok=True)

    def console(self, id: InstanceId) -> bytes:
        """Return the end of the guest's console, from its log and the rotated ones."""
        output = b""
        for log in self._logs(id):  # the newest first
            with contextlib.suppress(FileNotFoundError):
                output = log.read_bytes() + output
            if len(output) >= limits.CONSOLE_BYTES:
                break
        return output[-limits.CONSOLE_BYTES :]

    def watch(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call `on_change` at each event of a domain, and when the connection is lost."""
        self._watchers.append(on_change)
        return lambda: self._watchers.remove(on_change)

    def close(self) -> None:
        """Let go of the connection; the next call makes a new one."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(_libvirt().libvirtError):
                connection.close()

    # Domains

    def _all(self, connection: libvirt.virConnect) -> list[tuple[libvirt.virDomain, int, int]]:
        states = connection.getAllDomainStats(_libvirt().VIR_DOMAIN_STATS_STATE, 0)
        return [(handle, stats["state.state"], stats["state.reason"]) for handle, stats in states]

    def _found_domain(
        self, handle: libvirt.virDomain, state: int, reason: int
    ) -> FoundDomain | None:
        mark = self._mark(handle)
        if mark is None:
            return None
        id_ = InstanceId(handle.name())
        if state in (_libvirt().VIR_DOMAIN_SHUTOFF, _libvirt().VIR_DOMAIN_CRASHED):
            return FoundDomain(id_, mark.started, Power.OFF, off_reason=_off_reason(reason))
        problem = None
        if state == _libvirt().VIR_DOMAIN_PAUSED:
            problem = _problem(reason)
        return FoundDomain(id_, mark.boot, Power.ON, problem=problem)

    def _mark(self, handle: libvirt.virDomain) -> Mark | None:
        """Return our mark on a domain; None if it is not this cloud's, or is vanishing."""
        try:
            element = handle.metadata(_libvirt().VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE)
        except _libvirt().libvirtError as error:
            if error.get_error_code() in _gone_codes():
                return None
            raise
        mark = Mark.read(element)
        return mark if mark.cloud == self.cloud else None

    def _start(self, connection: libvirt.virConnect, domain: Domain, mark: Mark | None) -> None:
        """Define and start, unless this boot was started before.

        The mark says that it was only after it was: dying in between costs a second look, never a
        guest that is taken for one that has ended.
        """
        started = 0 if mark is None else mark.started
        if started >= domain.boot:
            return
        self._make_consoles()
        console = self.consoles / f"{domain.id}.log"
        new = Mark(self.cloud, domain.boot, started)
        handle = connection.defineXML(domain_xml(domain, new, self.accelerator, console))
        handle.create()
        done = Mark(self.cloud, domain.boot, domain.boot)
        handle.setMetadata(
            _libvirt().VIR_DOMAIN_METADATA_ELEMENT,
            done.as_element(),
            _PREFIX,
            NAMESPACE,
            _libvirt().VIR_DOMAIN_AFFECT_CONFIG,
        )

    def _make_consoles(self) -> None:
        try:
            self.consoles.mkdir(parents=True, exist_ok=True, mode=0o711)
        except OSError as error:
            raise Cannot(f"cannot make the folder {self.consoles}: {error.strerror}") from error

    def _logs(self, id_: InstanceId) -> list[Path]:
        """Return the console's log and, in front of which virtlogd puts a number when it
        rotates, the older ones.
        """
        newest = self.consoles / f"{id_}.log"
        return [newest, *sorted(self.consoles.glob(f"{id_}.log.*"))]

    # The connection

    @property
    def _is_local(self) -> bool:
        return not urlsplit(self.uri).netloc

    @property
    def _host_boot(self) -> str:
        return _BOOT_ID.read_text().strip() if self._is_local else ""

    @contextmanager
    def _talking(self, subject: str = "") -> Iterator[libvirt.virConnect]:
        """Give the connection, and translate what libvirt says, here and nowhere else."""
        try:
            yield self._connected()
        except _libvirt().libvirtError as error:
            if _is_lost(error):
                self.close()
                raise TryLater(f"libvirt at {self.uri} does not answer: {error}") from error
            about = f"{subject}: " if subject else ""
            kind = TryLater if error.get_error_code() in _busy_codes() else Cannot
            raise kind(f"{about}{error}{_advice(str(error))}") from error

    def _connected(self) -> libvirt.virConnect:
        with self._lock:
            if self._connection is None or not self._connection.isAlive():
                self._connection = self._connect()
            return self._connection

    def _connect(self) -> libvirt.virConnect:
        _start_events()
        self._try_port()
        connection = _libvirt().open(self.uri)
        with contextlib.suppress(_libvirt().libvirtError):  # not every driver has keepalive
            connection.setKeepAlive(2, 3)
        lifecycle = _libvirt().VIR_DOMAIN_EVENT_ID_LIFECYCLE
        connection.domainEventRegisterAny(None, lifecycle, self._tell, None)
        connection.registerCloseCallback(self._tell, None)
        return connection

    def _try_port(self) -> None:
        """Fail soon on a dead host: `libvirt.open` has no timeout."""
        parts = urlsplit(self.uri)
        transport = parts.scheme.partition("+")[2] or "tls"
        if self._is_local or parts.hostname is None or transport not in _PORTS:
            return
        try:
            port = parts.port or _PORTS[transport]
            socket.create_connection((parts.hostname, port), timeout=_CONNECT_S).close()
        except OSError as error:
            raise TryLater(f"{parts.hostname} does not answer: {error}") from error

    def _tell(self, *_: Any) -> None:
        for watcher in list(self._watchers):
            watcher()


def _libvirt() -> Any:
    """Return the module, which is imported when it is first needed."""
    try:
        import libvirt
    except ImportError as error:
        raise InvalidValue(
            "the libvirt driver needs libvirt-python: pip install 'pycloud[libvirt]'"
        ) from error
    return libvirt


_events = threading.Lock()
_events_started = False


def _start_events() -> None:
    """Start libvirt's event loop, once in a process and before the first connection
    ("virEventRegisterDefaultImpl").
    """
    global _events_started
    with _events:
        if _events_started:
            return
        libvirt = _libvirt()
        libvirt.virEventRegisterDefaultImpl()
        # Errors come as exceptions; libvirt would print each as well.
        libvirt.registerErrorHandler(lambda *_: None, None)

        def run() -> None:
            while True:
                libvirt.virEventRunDefaultImpl()

        threading.Thread(target=run, name="pycloud-libvirt", daemon=True).start()
        _events_started = True


def _look_up(connection: libvirt.virConnect, id_: InstanceId) -> libvirt.virDomain | None:
    try:
        return connection.lookupByName(id_)
    except _libvirt().libvirtError as error:
        if error.get_error_code() == _libvirt().VIR_ERR_NO_DOMAIN:
            return None
        raise


def _switch_off(handle: libvirt.virDomain, *, force: bool) -> None:
    """Press the power button, or pull the plug; that the guest is off already is as good."""
    try:
        if force:
            handle.destroy()
        else:
            handle.shutdown()
    except _libvirt().libvirtError:
        # During a reconnect libvirt can say that the domain is not running though it killed it.
        if handle.isActive():
            raise


def _undefine(handle: libvirt.virDomain) -> None:
    libvirt = _libvirt()
    flags = (
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    )
    try:
        handle.undefineFlags(flags)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise


def _is_paused_by_error(handle: libvirt.virDomain) -> bool:
    state, reason = handle.state()
    return bool(state == _libvirt().VIR_DOMAIN_PAUSED and _problem(reason) is not None)


def _off_reason(reason: int) -> OffReason:
    libvirt = _libvirt()
    return {
        libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: OffReason.SHUTDOWN,
        libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: OffReason.DESTROYED,
        libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: OffReason.CRASHED,
        libvirt.VIR_DOMAIN_SHUTOFF_FAILED: OffReason.CRASHED,
    }.get(reason, OffReason.UNKNOWN)


def _problem(reason: int) -> str | None:
    libvirt = _libvirt()
    return {
        libvirt.VIR_DOMAIN_PAUSED_IOERROR: "paused: its disk could not be written, "
        "most likely because the node's disk is full",
        libvirt.VIR_DOMAIN_PAUSED_USER: "paused behind the cloud's back",
        libvirt.VIR_DOMAIN_PAUSED_CRASHED: "paused: the guest crashed",
    }.get(reason)


def _gone_codes() -> set[int]:
    libvirt = _libvirt()
    return {libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_DOMAIN_METADATA}


def _is_lost(error: Any) -> bool:
    """Tell whether the connection failed, rather than what was asked of it."""
    libvirt = _libvirt()
    codes = {
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_GNUTLS_ERROR,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
    }
    # A broken connection is also a "system" or "internal" error, as many others are: its origin tells.
    origins = {libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE}
    return error.get_error_code() in codes or error.get_error_domain() in origins


def _busy_codes() -> set[int]:
    libvirt = _libvirt()
    return {libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_ERR_RESOURCE_BUSY}


def _advice(message: str) -> str:
    """Return what to do about an error that people meet on a new machine."""
    if "Permission denied" in message or "Cannot access storage file" in message:
        return (
            "; the hypervisor's user must be able to enter every folder above the file: "
            "choose a home outside of private folders, such as one below /var/lib"
        )
    return ""
