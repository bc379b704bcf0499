"""The canonical forms of a request's parts.

Clients agree on the rules but not on their edges (`+`, default ports, inner spaces), so each part
has several forms that a client may have signed, the likeliest first. Every form says the same as
what was sent; most requests have only one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import TypeVar
from urllib.parse import quote_from_bytes, unquote_to_bytes

Pair = tuple[bytes, bytes]
Form = TypeVar("Form", str, bytes)

_DEFAULT_PORTS = (":80", ":443")
_PLAIN = re.compile(rb"[A-Za-z0-9/_.~-]+")
"""A path that is the same encoded and decoded; most are."""


def as_bytes(text: str) -> bytes:
    """Return the bytes that were sent: servers read them as Latin-1 (PEP 3333)."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return as_utf8(text)


def as_utf8(text: str) -> bytes:
    """Return the bytes of a form's decoded text; what cannot be encoded matches no signature."""
    return text.encode("utf-8", "surrogatepass")


def unquoted(part: bytes) -> bytes:
    """Return `part` percent-decoded, a plus left alone."""
    return unquote_to_bytes(part)


def encoded(raw: bytes, *, keep: str = "") -> bytes:
    """Return `raw` percent-encoded as AWS does ("UriEncode")."""
    return quote_from_bytes(raw, safe=keep + "-_.~").encode()


def raw_pairs(query: str) -> list[Pair]:
    """Return the parameters of a query string as sent."""
    if not query:
        return []
    parts = (part.partition(b"=") for part in as_bytes(query).split(b"&") if part)
    return [(name, value) for name, _, value in parts]


def decoded(part: bytes) -> bytes:
    """Return what a part of a query string stands for."""
    return unquote_to_bytes(part.replace(b"+", b" "))


def paths(path: str, *, twice: bool) -> list[bytes]:
    """Return the forms of a path; `twice` for services other than S3."""
    sent = as_bytes(path) or b"/"
    if twice:
        return _unique([encoded(_without_dots(sent), keep="/"), sent])
    if _PLAIN.fullmatch(sent):
        return [sent]
    return _unique([encoded(unquote_to_bytes(sent), keep="/"), sent])


def queries(pairs: Sequence[Pair]) -> list[bytes]:
    """Return the forms of a query: encoded anew, and as sent."""
    if not pairs:
        return [b""]
    anew = [(encoded(decoded(name)), encoded(decoded(value))) for name, value in pairs]
    return _unique([_joined(anew), _joined(pairs)])


def query_of_v2(pairs: Sequence[Pair]) -> bytes:
    """Return decoded parameters as EC2's V2 signs them: in the order of their names."""
    return b"&".join(encoded(name) + b"=" + encoded(value) for name, value in sorted(pairs))


def hosts(host: str) -> Iterator[str]:
    """Give the forms of a host, some twice: a default port may be left out or added on the way."""
    yield host
    yield host.lower()
    bare = next((host[: -len(port)] for port in _DEFAULT_PORTS if host.endswith(port)), None)
    if bare is not None:
        yield bare
        yield bare.lower()
    elif host.rpartition("]")[2].count(":") == 0:
        yield from (host.lower() + port for port in _DEFAULT_PORTS)


def header_blocks(names: Iterable[str], headers: Mapping[str, str], host: str) -> Iterator[bytes]:
    """Give the forms, some twice, of the lines `name:value` for the signed `names`."""
    found = [(name, host if name == "host" else headers.get(name, "")) for name in names]
    yield b"".join(
        [b"%b:%b\n" % (name.encode(), b" ".join(as_bytes(value).split())) for name, value in found]
    )
    yield b"".join(name.encode() + b":" + as_bytes(value).strip() + b"\n" for name, value in found)
    # Some sign text as UTF-8 and send it as Latin-1.
    yield b"".join(as_utf8(f"{name}:{' '.join(value.split())}\n") for name, value in found)


def each(*forms: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
    """Give every combination of forms, the likeliest first."""
    return product(*forms)


def _joined(pairs: Iterable[Pair]) -> bytes:
    return b"&".join(name + b"=" + value for name, value in sorted(pairs))


def _without_dots(path: bytes) -> bytes:
    """Remove dot segments (RFC 3986, 5.2.4) and, as AWS does, doubled slashes."""
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    end = b"/" if kept and path.endswith(b"/") else b""
    return b"/" + b"/".join(kept) + end


def _unique(forms: Iterable[Form]) -> list[Form]:
    return list(dict.fromkeys(forms))
