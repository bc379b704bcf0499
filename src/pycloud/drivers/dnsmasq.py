"""One dnsmasq per cloud and node: the fixed lease and the name of each guest.

It listens at the gateways' addresses, which only this cloud's taps have, so a new tap needs no new
configuration. It outlives the process that started it. Nothing that it keeps is needed after a
restart: leases are fixed, and held in its memory only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import signal
import stat
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import attrs

from pycloud.drivers.commands import run
from pycloud.drivers.nft import METADATA_ADDRESS
from pycloud.errors import Cannot, TryLater
from pycloud.network.records import Wire

_PATIENCE_S = 3.0
_FILES = ("dnsmasq.conf", "leases", "names", "loaded", "dnsmasq.pid")


@attrs.frozen
class Dnsmasq:
    """The dnsmasq whose files are in `directory`, which its unprivileged user must be able to read.

    `upstream` are the name servers for names outside `domain`; None means those of the host's
    `/etc/resolv.conf`.
    """

    directory: Path
    mark: str
    domain: str
    upstream: tuple[IPv4Address, ...] | None
    mtu_bytes: int

    def ensure(self, wires: Sequence[Wire]) -> None:
        """Make it run, and know these guests and no others. Raises `Cannot` or `TryLater`."""
        settings, leases, names = self.settings(wires), self.leases(wires), self.names(wires)
        pid = self._pid()
        loaded = [str(pid), _digest(settings), _digest(leases + names)]
        before = self._read("loaded").split()
        changed = [self._write("leases", leases), self._write("names", names)]
        if pid is None or before[:2] != loaded[:2]:
            self._restart(settings)
            loaded[0] = str(self._pid())
        elif before != loaded or any(changed):
            self._signal(pid, signal.SIGHUP)
        # Written last: who dies before this tells dnsmasq again.
        self._write("loaded", " ".join(loaded))

    def remove(self) -> None:
        """End it and remove its files. Raises `TryLater` if it does not end."""
        self._stop()
        for name in _FILES:
            self._path(name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def settings(self, wires: Sequence[Wire]) -> str:
        """Return the configuration file. It changes with the subnets, not with the guests."""
        subnets = sorted({(wire.subnet, wire.gateway) for wire in wires})
        lines = [
            f"pid-file={self._path('dnsmasq.pid')}",
            "bind-dynamic",
            "no-hosts",
            f"addn-hosts={self._path('names')}",
            f"domain={self.domain}",
            f"local=/{self.domain}/",
            "domain-needed",
            "bogus-priv",
            "dhcp-authoritative",
            # Otherwise it writes the guest's neighbour entry, which is ours and permanent.
            "dhcp-broadcast",
            "dhcp-ignore-clid",
            "dhcp-ignore-names",
            "dhcp-lease-max=65536",
            f"dhcp-hostsfile={self._path('leases')}",
            f"dhcp-option=option:mtu,{self.mtu_bytes}",
            "leasefile-ro",
            "no-ping",
            "quiet-dhcp",
            *self._upstream(),
        ]
        for place, (subnet, gateway) in enumerate(subnets):
            lines += _subnet_settings(f"subnet{place}", subnet, gateway)
        return "\n".join([*lines, ""])

    def leases(self, wires: Sequence[Wire]) -> str:
        """Return the file of fixed leases, one guest a line."""
        return "".join(f"{wire.mac},{wire.address},{wire.hostname},infinite\n" for wire in wires)

    def names(self, wires: Sequence[Wire]) -> str:
        """Return the file of names, one guest a line, in the form of `/etc/hosts`."""
        return "".join(
            f"{wire.address} {wire.hostname}.{self.domain} {wire.hostname}\n" for wire in wires
        )

    def _upstream(self) -> list[str]:
        if self.upstream is None:
            return []
        return ["no-resolv", *(f"server={server}" for server in self.upstream)]

    def _restart(self, settings: str) -> None:
        self._stop()
        self._check_readable()
        self._write("dnsmasq.conf", settings)
        run(
            ["dnsmasq", f"--conf-file={self._path('dnsmasq.conf')}", self._argument()],
            package="dnsmasq-base",
        )

    def _stop(self) -> None:
        while (pid := self._pid()) is not None:
            if not self._signal(pid, signal.SIGTERM) and not self._signal(pid, signal.SIGKILL):
                raise TryLater(f"dnsmasq (process {pid}) does not end")

    def _signal(self, pid: int, number: signal.Signals) -> bool:
        """Send a signal to that very process; for all but SIGHUP, tell whether it ended in time."""
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            if not self._is_ours(pid):
                return True
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, number)
            return number is signal.SIGHUP or _ends(process)
        finally:
            os.close(process)

    def _pid(self) -> int | None:
        """Return its process id, from its file or, if that was lost, by looking at all processes."""
        known = self._read("dnsmasq.pid").strip()
        if known.isdigit() and self._is_ours(int(known)):
            return int(known)
        return min(filter(self._is_ours, _processes()), default=None)

    def _is_ours(self, pid: int) -> bool:
        """Process ids are used again, so the command line and the network namespace must be right
        too.
        """
        place = Path("/proc", str(pid))
        try:
            arguments = (place / "cmdline").read_bytes().split(b"\0")
            return (
                self._argument().encode() in arguments
                and arguments[0].endswith(b"dnsmasq")
                and (place / "ns/net").stat().st_ino == network_namespace()
            )
        except OSError:
            return False

    def _argument(self) -> str:
        """Return what tells it from others on its command line, and has no effect."""
        return f"--tag-if=set:{self.mark}"

    def _path(self, name: str) -> Path:
        return self.directory / name

    def _read(self, name: str) -> str:
        try:
            return self._path(name).read_text()
        except FileNotFoundError:
            return ""

    def _write(self, name: str, text: str) -> bool:
        """Make the file say `text`; tell whether it said something else."""
        place = self._path(name)
        if self._read(name) == text and place.exists():
            return False
        self._make(self.directory)
        unfinished = place.with_suffix(".part")
        unfinished.write_text(text)
        unfinished.chmod(0o644)
        unfinished.rename(place)
        return True

    def _make(self, directory: Path) -> None:
        if not directory.is_dir():
            self._make(directory.parent)
            directory.mkdir(exist_ok=True)
            directory.chmod(0o755)

    def _check_readable(self) -> None:
        """It reads its files again when it has long given up being root."""
        real = self.directory.resolve()
        for place in (real, *real.parents):
            if not place.stat().st_mode & stat.S_IXOTH:
                raise Cannot(
                    f"dnsmasq, which runs as an unprivileged user, cannot read {real}: {place} is "
                    "closed to others. Give the fabric another directory, such as /run/pycloud, or "
                    "open this one (chmod o+x)"
                )


def network_namespace() -> int:
    """Return the number of the network namespace of this thread."""
    return Path("/proc/thread-self/ns/net").stat().st_ino


def _subnet_settings(tag: str, subnet: IPv4Network, gateway: IPv4Address) -> list[str]:
    """A route of its own leads to the metadata: some guests think that 169.254.0.0/16 is on their
    link.

    Option 121 replaces the router of option 3 for those who understand it (RFC 3442), so it names
    the default route too.
    """
    return [
        f"listen-address={gateway}",
        f"dhcp-range=set:{tag},{subnet.network_address},static,{subnet.netmask},infinite",
        f"dhcp-option=tag:{tag},option:router,{gateway}",
        f"dhcp-option=tag:{tag},option:dns-server,{gateway}",
        f"dhcp-option=tag:{tag},option:classless-static-route,"
        f"{METADATA_ADDRESS}/32,{gateway},0.0.0.0/0,{gateway}",
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _ends(process: int) -> bool:
    """Wait for the end of a process, given by its pidfd; tell whether it came in time."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(_PATIENCE_S * 1000))
