"""Forwarding on the host's uplinks: switched on for guests that may get out, and put back when the
last of them has gone.

The kernel asks the interface where a packet comes *in* whether it forwards, so answers to guests
need it on the uplink (`Documentation/networking/ip-sysctl.rst`, "forwarding"). The host's global
`ip_forward` stays as it is. What the uplink was before is noted in `/run`, which lives as long as
the setting itself, and is shared by all clouds of the host.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

from pycloud.drivers.dnsmasq import network_namespace

_CONF = Path("/proc/sys/net/ipv4/conf")
_MEMORY = Path("/run/pycloud/forwarding")


def remember(uplinks: Collection[str]) -> None:
    """Note which uplinks do not forward, before `switch_on`."""
    for uplink in uplinks:
        if _value(uplink) == "0":
            _MEMORY.mkdir(parents=True, exist_ok=True)
            _note(uplink).write_text(_value("all"))


def switched_on(uplinks: Collection[str]) -> list[str]:
    """Return those uplinks that forward, or are about to, only because of us."""
    return [uplink for uplink in uplinks if _is_ours(_note(uplink))]


def switch_on(uplinks: Collection[str]) -> None:
    """Let the uplinks forward."""
    for uplink in uplinks:
        if _value(uplink) == "0":
            _set(uplink, "1")


def switch_off() -> None:
    """Put back what `remember` noted."""
    for note in _notes():
        uplink = note.name.partition(".")[2]
        # A vanished uplink took its setting along.
        if _is_ours(note) and (_CONF / uplink).exists():
            _set(uplink, "0")
        note.unlink(missing_ok=True)
    for folder in (_MEMORY, _MEMORY.parent):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _is_ours(note: Path) -> bool:
    """If the global setting has changed since, it has set every interface, and the host wants to
    forward by itself.
    """
    try:
        return note.read_text() == _value("all")
    except FileNotFoundError:
        return False


def _notes() -> Iterator[Path]:
    return _MEMORY.glob(f"{network_namespace()}.*")


def _note(uplink: str) -> Path:
    return _MEMORY / f"{network_namespace()}.{uplink}"


def _value(interface: str) -> str:
    return (_CONF / interface / "forwarding").read_text().strip()


def _set(interface: str, value: str) -> None:
    (_CONF / interface / "forwarding").write_text(value)
