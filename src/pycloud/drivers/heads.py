"""The head of a request: its headers, read so that nobody on the way can have read others (RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from cheroot import server as cheroot
from cheroot.errors import MaxSizeExceeded

_SINGLE = frozenset(
    {
        *(b"Authorization", b"Content-Length", b"Content-Type", b"Host", b"Transfer-Encoding"),
        b"X-Amz-Date",
    }
)
"""Headers that decide what a request is."""
_LISTS = frozenset(cheroot.comma_separated_headers)  # type: ignore[attr-defined]  # its types leave it out
"""Headers of which several are one, with commas."""
_NAME_BYTES = 64
_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ENDS = re.compile(rb"[\0\r\x0b\x0c]")
"""What others may take for the end of a value."""


class Headers(dict[bytes, bytes]):
    """A request's headers as they are read. Raises `ValueError` for what another server on the way
    may have understood otherwise, and found other requests in it (RFC 9112, 6.3 and 11.2).
    """

    def __setitem__(self, name: bytes, value: bytes) -> None:
        if b"_" in name and name.replace(b"_", b"-") in _SINGLE:
            return  # in the environment it would be that header
        if name in self and name in _SINGLE:
            raise ValueError(f"two headers {name.decode('latin-1')}")
        super().__setitem__(name, value)


def read_lines(readline: Callable[[int], bytes], most_bytes: int, found: Headers) -> None:
    """Read headers, up to and with the empty line, into `found`, in cheroot's spelling. Raises
    `ValueError`, and `MaxSizeExceeded`.
    """
    left = most_bytes
    while True:
        line = readline(left + 1)
        left -= len(line)
        if left < 0:
            raise MaxSizeExceeded
        if line == b"\r\n":
            return
        sent, colon, value = line.partition(b":")
        if not colon or not line.endswith(b"\r\n"):
            raise ValueError("A header is a name, a colon and a value, and ends with CRLF.")
        name, value = spelt(sent)[0], value[:-2].strip(b" \t")
        if _ENDS.search(value):
            raise ValueError("A header's value has a character that others may take for its end.")
        if name in _LISTS and (before := found.get(name)):
            value = before + b", " + value
        found[name] = value


def spelt(sent: bytes) -> tuple[bytes, str, str]:
    """Return a header's name as cheroot, `pycloud.headers` and the environment spell it. With a
    space before the colon, two readers see two requests: raises `ValueError`.
    """
    # The same few names come with every request; strangers shall not have long ones remembered.
    return _spell_again(sent) if len(sent) <= _NAME_BYTES else _spell(sent)


def _spell(sent: bytes) -> tuple[bytes, str, str]:
    if not _HEADER_NAME.fullmatch(sent):
        raise ValueError("Illegal header name.")
    name = sent.decode("latin-1")
    variable = name.upper().replace("-", "_")
    is_content = variable in {"CONTENT_TYPE", "CONTENT_LENGTH"}
    return sent.title(), name.lower(), variable if is_content else f"HTTP_{variable}"


_spell_again = lru_cache(1024)(_spell)
