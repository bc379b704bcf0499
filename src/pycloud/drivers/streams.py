"""The two directions of a client's connection, for cheroot, whose own streams are written in Python and slow."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from typing import Any


class Raw(socket.SocketIO):
    """What comes from the client, unless nothing is asked for."""

    is_asked = True

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection, "r")
        self.pending: Callable[[], int] = getattr(connection, "pending", lambda: 0)

    def readinto(self, buffer: Any) -> int | None:
        """Fill the buffer with what there is; 0 at the end."""
        return super().readinto(buffer) if self.is_asked else None


class Incoming(io.BufferedReader):
    """What comes from the client, buffered."""

    raw: Raw
    bytes_read = 0  # cheroot's statistics, which are off

    def has_data(self) -> bool:
        """Whether something of it has been received, so that waiting at the socket may be in vain."""
        self.raw.is_asked = False  # the buffer can't be asked without it asking for more
        try:
            return bool(self.peek() or self.raw.pending())
        finally:
            self.raw.is_asked = True


class Outgoing:
    """What goes to the client: at once, but for a head, which waits for what follows."""

    bytes_written = 0  # cheroot's statistics, which are off

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._held = b""
        self._holds = False

    def hold(self) -> None:
        """Keep what is written next, until more is."""
        self._holds = True

    def write(self, data: bytes) -> None:
        """Send it. Raises `OSError`."""
        if not data:
            return
        if self._holds:
            self._held, self._holds = data, False
            return
        data, self._held = self._held + data, b""
        sent = self._connection.send(data)
        while sent < len(data):  # not `sendall`: its time is for all, here each piece has its own
            sent += self._connection.send(memoryview(data)[sent:])

    def flush(self) -> None:
        """Send what waits. Raises `OSError`."""
        data, self._held = self._held, b""
        self.write(data)


def make_stream(connection: socket.socket, mode: str, size: int) -> Incoming | Outgoing:
    """Return the stream as cheroot asks for it, by the `mode` of a file."""
    return Incoming(Raw(connection), size) if "r" in mode else Outgoing(connection)
