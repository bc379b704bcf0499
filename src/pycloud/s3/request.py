"""What a request asks S3 for, before anybody is believed: which bucket, which key, how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

import attrs

from pycloud.aws import canonical
from pycloud.aws.errors import AWSError
from pycloud.aws.rest_routes import Level
from pycloud.aws.web import headers_of, raw_path_of

LEGACY_PREFIXES: Final = ("/services/Walrus", "/services/objectstorage")
"""Before the path, in configurations of Eucalyptus's clients."""


@attrs.frozen
class S3Request:
    """Method, place, query and headers of a request; its body is still on the wire."""

    method: str
    path: str
    """Undecoded, with every prefix: signatures cover what was sent."""
    raw_query: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By lower-case names; bytes beyond ASCII read as Latin-1."""
    bucket: str
    """Empty where the service itself is asked."""
    key: str
    """Empty where the bucket itself is asked."""
    is_virtual: bool
    """The host names the bucket."""
    prefix: str
    """The legacy prefix of the path, if there is one."""
    environ: Mapping[str, Any]

    @property
    def level(self) -> Level:
        """What kind of thing is asked."""
        if not self.bucket:
            return "service"
        return "object" if self.key else "bucket"

    @property
    def resource(self) -> str:
        """The path as errors name it."""
        return self.path.removeprefix(self.prefix) or "/"

    @property
    def host(self) -> str:
        """The Host header."""
        return self.headers.get("host", "")

    @property
    def is_secure(self) -> bool:
        """Whether it came over TLS."""
        return bool(self.environ.get("wsgi.url_scheme") == "https")

    def url_of(self, bucket: str, key: str) -> str:
        """Return where an object is, as the client sees us."""
        scheme = "https" if self.is_secure else "http"
        place = "" if self.is_virtual else f"/{bucket}"
        return f"{scheme}://{self.host}{place}/{quote(key)}"

    @property
    def source(self) -> str:
        """The address that it came from."""
        return str(self.environ.get("REMOTE_ADDR", ""))


def read_head(environ: Mapping[str, Any], domains: Sequence[str]) -> S3Request:
    """Return the request of a WSGI environment. Raises `AWSError`."""
    headers = headers_of(environ)
    path = raw_path_of(environ)
    prefix = _prefix_of(path) if path.startswith(LEGACY_PREFIXES) else ""
    virtual = _bucket_of_host(headers.get("host", ""), domains) if domains else ""
    rest = path[len(prefix) :].removeprefix("/")
    named, _, key = (virtual, "", rest) if virtual else rest.partition("/")
    query = environ.get("QUERY_STRING", "")
    return S3Request(
        environ["REQUEST_METHOD"],
        path,
        query,
        _query_of(query) if query else {},
        headers,
        virtual or _decoded(named),
        _decoded(key),
        bool(virtual),
        prefix,
        environ,
    )


def _prefix_of(path: str) -> str:
    """Return the legacy prefix of a path, empty if it only begins like one."""
    return next((one for one in LEGACY_PREFIXES if f"{path}/".startswith(f"{one}/")), "")


def _bucket_of_host(host: str, domains: Sequence[str]) -> str:
    """Return the bucket that the host names, below one of the domains; empty if it names none."""
    name = host.lower() if host.endswith("]") else host.lower().rpartition(":")[0] or host.lower()
    for domain in domains:
        if name.endswith(f".{domain}"):
            return name[: -len(domain) - 1]
    return ""


def _query_of(query: str) -> dict[str, str]:
    """Return the parameters; of one that stands twice, the first."""
    found: dict[str, str] = {}
    for name, value in canonical.raw_pairs(query):
        try:
            found.setdefault(canonical.decoded(name).decode(), canonical.decoded(value).decode())
        except UnicodeDecodeError:
            raise AWSError("InvalidArgument", "A parameter of the query is not UTF-8") from None
    return found


def _decoded(part: str) -> str:
    if part.isascii() and "%" not in part:
        return part
    try:
        return unquote_to_bytes(canonical.as_bytes(part)).decode()
    except UnicodeDecodeError:
        raise AWSError("InvalidURI", "Couldn't parse the specified URI.") from None
