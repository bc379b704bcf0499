"""The server, over real sockets: bodies as they come, slow clients, HTTPS, and nothing left behind."""

from __future__ import annotations

import io
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPSConnection
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pycloud.aws.callers import FixedKeys
from pycloud.drivers import serve
from pycloud.drivers.bodies import BodyError, RequestBody
from pycloud.drivers.serve import WsgiServer
from pycloud.ec2 import EC2App
from pycloud.errors import Cannot, InvalidValue
from pycloud.testing.world import SimWorld

LIMIT_S = 20


class Echo:
    """Answers with the body, or without having read it at /unread."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.first = b""
        self.seen: list[dict[str, Any]] = []

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        self.seen.append(environ)
        body = b""
        if environ["PATH_INFO"] != "/unread":
            try:
                self.first = environ["wsgi.input"].read(5)
                self.began.set()
                body = self.first + environ["wsgi.input"].read()
            except OSError as error:
                start_response("400 Bad Request", [("Content-Length", "0")], None)
                environ["wsgi.errors"].write(f"{error}\n")
                return []
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def server(echo: Echo) -> Iterator[WsgiServer]:
    with WsgiServer(echo, threads=2) as server:
        yield server


class Client:
    """A socket on which one says what one likes."""

    def __init__(self, server: WsgiServer) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S)
        self.stream = self.socket.makefile("rb")

    def say(self, *lines: str, body: bytes = b"") -> None:
        head = "\r\n".join([*lines, "", ""]).encode() if lines else b""
        self.socket.sendall(head + body)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer."""
        status = int(self.stream.readline().split()[1])
        headers = {}
        while (line := self.stream.readline().strip()) != b"":
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        return status, headers, self.stream.read(int(headers.get("content-length", 0)))

    def is_cut_off(self) -> bool:
        try:
            return self.stream.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


@pytest.fixture
def client(server: WsgiServer) -> Iterator[Client]:
    with closing(Client(server)) as client:
        yield client


POST = ("POST / HTTP/1.1", "Host: cloud")
GET = ("GET / HTTP/1.1", "Host: cloud")


def test_the_body_is_read_while_it_comes(client: Client, echo: Echo) -> None:
    client.say(*POST, "Content-Length: 10", body=b"first")
    assert echo.began.wait(LIMIT_S)  # though the rest has not been sent
    client.say(body=b" last")
    assert client.answer()[2] == b"first last"


def test_a_body_in_chunks(client: Client, echo: Echo) -> None:
    client.say(*POST, "Transfer-Encoding: chunked", body=b"5\r\nfirst\r\n")
    assert echo.began.wait(LIMIT_S)
    client.say(body=b"5;x=y\r\n last\r\n0\r\nTrailer: t\r\n\r\n")
    assert client.answer()[2] == b"first last"
    client.say(*GET)
    assert client.answer()[0] == 200  # the trailer was read with the body


def test_several_requests_on_one_connection(client: Client) -> None:
    one = "\r\n".join([*POST, "Content-Length: 3", "", "abc"]).encode()
    client.say(body=one + one)  # the second is sent before the first is answered
    assert [client.answer()[2], client.answer()[2]] == [b"abc", b"abc"]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Content-Length: 4"], b"left"),
        (["Transfer-Encoding: chunked"], b"4\r\nleft\r\n0\r\n\r\n"),
    ],
)
def test_a_body_that_nobody_read_is_no_request(
    client: Client, headers: list[str], body: bytes
) -> None:
    client.say("POST /unread HTTP/1.1", "Host: cloud", *headers, body=body)
    assert client.answer()[0] == 200
    client.say(*GET)
    assert client.answer()[0] == 200


def test_the_client_is_asked_for_the_body_when_it_is_read(client: Client, echo: Echo) -> None:
    client.say(*POST, "Content-Length: 4", "Expect: 100-continue")
    assert client.answer()[0] == 100
    client.say(body=b"body")
    assert client.answer()[2] == b"body"
    assert echo.seen[0]["HTTP_EXPECT"] == "100-continue"


def test_the_client_is_not_asked_for_a_body_that_nobody_wants(client: Client) -> None:
    client.say("POST /unread HTTP/1.1", "Host: cloud", "Content-Length: 4", "Expect: 100-continue")
    status, headers, _ = client.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert client.is_cut_off()


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: -4"],
        ["Content-Length: four"],
        ["Content-Length: 4", "Transfer-Encoding: chunked"],
        ["Content-Length: +4"],
    ],
)
def test_a_length_that_can_be_understood_in_two_ways_is_refused(
    client: Client, headers: list[str], echo: Echo
) -> None:
    client.say(*POST, *headers, body=b"0\r\n\r\n")
    assert client.answer()[0] == 400
    assert client.is_cut_off()
    assert echo.seen == []


def test_a_body_that_is_said_to_be_too_large_is_refused(client: Client, echo: Echo) -> None:
    client.say(*POST, f"Content-Length: {2 * 1024**2 + 1}")
    assert client.answer()[0] == 413
    assert echo.seen == []


def test_a_head_that_is_too_large_is_refused(client: Client, echo: Echo) -> None:
    client.say(*GET, "X-Long: " + "x" * 70_000)
    assert client.answer()[0] == 413
    assert echo.seen == []


def test_a_head_of_the_largest_size_is_taken(client: Client, echo: Echo) -> None:
    head = "\r\n".join([*GET, "X-Long: ", "", ""])
    client.say(*GET, "X-Long: " + "x" * (65536 - len(head)))
    assert client.answer()[0] == 200
    client.say(*GET, "X-Long: " + "x" * (65537 - len(head)))
    assert client.answer()[0] == 413
    assert client.is_cut_off()
    assert len(echo.seen) == 1


def test_a_head_that_comes_byte_by_byte(client: Client, echo: Echo) -> None:
    for byte in b"POST /a?b=c HTTP/1.1\r\nHost: cloud\r\nContent-Length: 2\r\n\r\nok":
        client.say(body=bytes([byte]))
    assert client.answer()[2] == b"ok"
    assert echo.seen[0]["PATH_INFO"] == "/a"
    assert echo.seen[0]["QUERY_STRING"] == "b=c"


def test_what_a_request_asks_for(client: Client, echo: Echo) -> None:
    asked = [
        ("/", "/", ""),
        ("/a.b/c%20d?e", "/a.b/c d", "e"),
        ("/a:b//c?d=/?&e=%2F", "/a:b//c", "d=/?&e=%2F"),
        ("/a%2fb?", "/a%2Fb", ""),
    ]
    for sent, path, query in asked:
        client.say(f"GET {sent} HTTP/1.1", "Host: cloud")
        assert client.answer()[0] == 200
        environ = echo.seen[-1]
        found = (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"])
        assert found == ("GET", path, query)
        assert (environ["REQUEST_URI"], environ["SERVER_PROTOCOL"]) == (sent, "HTTP/1.1")


def _is_refused(server: WsgiServer, *lines: str) -> bool:
    with closing(Client(server)) as client:
        client.say(*lines)
        return client.answer()[0] == 400 and client.is_cut_off()


def test_a_first_line_that_is_none_is_refused(server: WsgiServer, echo: Echo) -> None:
    for line in (
        "get / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET a HTTP/1.1",
        "GET http://cloud/ HTTP/1.1",
        "GET //cloud/a HTTP/1.1",
        "GET /#a HTTP/1.1",
        "GET / HTTP/one",
        "GET / FTP/1.1",
        "GET /",
        "GET / HTTP/1.1\n",
    ):
        assert _is_refused(server, line, "Host: cloud"), line
    assert echo.seen == []


def test_a_header_that_can_be_understood_in_two_ways_is_refused(
    server: WsgiServer, echo: Echo
) -> None:
    for line in (
        "Host : cloud",
        " continued",
        "X-Own: 1\r\n continued: 2",
        "no colon",
        ": no name",
        "X-Own: 1\nX-Other: 2",
        "Host: other",
        "X-Näme: 1",
        "X-Own: 1\rX-Other: 2",
        "X-Own: 1\0",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding:",
        "Transfer-Encoding: ,",
    ):
        assert _is_refused(server, *GET, line), line
    assert echo.seen == []


def test_headers_as_the_application_finds_them(client: Client, echo: Echo) -> None:
    long = "X-" + "Long-" * 20 + "Name"
    client.say(
        *GET, "Accept: a", "accept:b ", "X-own:\t1", "X-Own: 2", "Content-Type: t", f"{long}: 3"
    )
    client.answer()
    [environ] = echo.seen
    assert environ["pycloud.headers"] == {
        "host": "cloud",
        "accept": "a, b",
        "x-own": "2",
        "content-type": "t",
        long.lower(): "3",
    }
    assert (environ["HTTP_ACCEPT"], environ["HTTP_X_OWN"]) == ("a, b", "2")
    assert environ["CONTENT_TYPE"] == "t"
    assert "HTTP_CONTENT_TYPE" not in environ
    assert environ["HTTP_" + long.upper().replace("-", "_")] == "3"


def test_the_path_is_kept_as_it_was_sent(client: Client, echo: Echo) -> None:
    client.say("GET /a%2Fb//../c?x=%20 HTTP/1.1", "Host: cloud", "X_Amz-Date: 1", "X_Own: 1")
    client.answer()
    assert echo.seen[0]["REQUEST_URI"] == "/a%2Fb//../c?x=%20"
    assert "HTTP_X_AMZ_DATE" not in echo.seen[0], "not what it would be taken for"
    assert echo.seen[0]["HTTP_X_OWN"] == "1"


def test_an_old_client_is_answered_once(client: Client, echo: Echo) -> None:
    client.say("GET / HTTP/1.0")
    assert client.answer()[0] == 200
    assert client.is_cut_off()
    assert echo.seen[0]["SERVER_PROTOCOL"] == "HTTP/1.0"


def test_who_asks_without_end_holds_up_nobody(echo: Echo) -> None:
    many = "\r\n".join([*GET, "", ""]).encode() * 2000
    with (
        WsgiServer(echo, threads=1) as server,
        closing(Client(server)) as chatty,
        closing(Client(server)) as other,
    ):
        sending = threading.Thread(target=chatty.say, kwargs={"body": many})
        sending.start()
        chatty.answer()
        other.say("GET /other HTTP/1.1", "Host: cloud")
        for _ in range(1999):
            assert chatty.answer()[0] == 200
        assert other.answer()[0] == 200
        sending.join(LIMIT_S)
    assert [one["PATH_INFO"] for one in echo.seen].index("/other") < 2000


class Span(NamedTuple):
    """A part of a file."""

    file: int
    offset: int
    size_bytes: int


@pytest.mark.parametrize("size_bytes", [10, 200_000])
def test_spans_of_files(tmp_path: Path, size_bytes: int) -> None:
    content = os.urandom(size_bytes)
    (tmp_path / "file").write_bytes(b"no" + content)
    with (tmp_path / "file").open("rb") as file:

        def give(environ: dict[str, Any], start_response: Any) -> list[Any]:
            start_response("200 OK", [("Content-Length", environ["QUERY_STRING"])])
            return [Span(file.fileno(), 2, int(environ["QUERY_STRING"]))]

        with WsgiServer(give) as server, closing(Client(server)) as client:
            for _ in range(2):
                client.say(f"GET /?{size_bytes} HTTP/1.1", "Host: cloud")
                assert client.answer()[2] == content
            client.say(f"GET /?{size_bytes + 1} HTTP/1.1", "Host: cloud")
            client.say(*GET)  # its answer must not be taken for the last byte of the file
            assert client.answer()[2] == content


def test_an_answer_that_is_larger_than_what_is_under_way() -> None:
    content = os.urandom(64 * 1024) * 256

    def give(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(len(content)))])
        return [content]

    with WsgiServer(give) as server, closing(Client(server)) as client:
        client.say(*GET)
        assert client.answer()[2] == content


def test_an_answer_that_breaks_off(caplog: pytest.LogCaptureFixture) -> None:
    def break_off(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "10")])
        yield b"first"
        raise RuntimeError("no more")

    with WsgiServer(break_off) as server, closing(Client(server)) as client:
        client.say(*GET)
        assert client.answer()[2] == b"first"
        assert client.is_cut_off()
    assert "no more" in caplog.text


def test_the_hop_limit_is_for_one_answer() -> None:
    hops = []

    def limit(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        set_ttl = environ["pycloud.set_ttl"]
        if environ["PATH_INFO"] == "/near":
            set_ttl(1)
        connection: socket.socket = set_ttl.__self__.socket  # the receiver of TCP is not told
        hops.append(connection.getsockopt(socket.IPPROTO_IP, socket.IP_TTL))
        start_response("200 OK", [("Content-Length", "0")])
        return []

    with WsgiServer(limit) as server, closing(Client(server)) as client:
        for path in ("/near", "/", "/near", "/near", "/"):
            client.say(f"GET {path} HTTP/1.1", "Host: cloud")
            client.answer()
    assert hops == [1, 64, 1, 1, 64]


def test_a_client_that_says_nothing_is_cut_off(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_TIMEOUT_S", 1)
    with (
        WsgiServer(echo, threads=1) as server,
        closing(Client(server)) as silent,
        closing(Client(server)) as other,
    ):
        silent.say(*POST, "Content-Length: 4", body=b"hal")
        assert silent.answer()[0] == 400
        assert silent.is_cut_off()
        other.say(*GET)
        assert other.answer()[0] == 200


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_nothing_is_left_after_the_end(echo: Echo) -> None:
    before = set(threading.enumerate()), _open_files()
    server = WsgiServer(echo).start()
    with closing(Client(server)) as client:
        client.say(*GET)
        client.answer()
        server.stop()
        assert client.is_cut_off()
    assert (set(threading.enumerate()), _open_files()) == before
    with pytest.raises(ConnectionRefusedError):
        Client(server)
    server.stop()  # once more does no harm


def test_what_is_under_way_is_answered_at_the_end(echo: Echo) -> None:
    server = WsgiServer(echo).start()
    with closing(Client(server)) as client:
        client.say(*POST, "Content-Length: 10", body=b"first")
        assert echo.began.wait(LIMIT_S)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        client.say(body=b" last")
        assert client.answer()[2] == b"first last"
        stopping.join(LIMIT_S)
        assert not stopping.is_alive()


def test_a_port_that_is_taken_is_named(server: WsgiServer, echo: Echo) -> None:
    with pytest.raises(Cannot, match=f"127.0.0.1:{server.port}"):
        WsgiServer(echo, port=server.port).start()


def test_the_adapter_says_that_a_body_broke_off() -> None:
    with SimWorld() as world:
        app = EC2App(world.cloud, keys=FixedKeys({"AKIDEXAMPLE": "a secret"}))
        with WsgiServer(app) as server, closing(Client(server)) as client:
            client.say(*POST, "Transfer-Encoding: chunked", body=b"none\r\n")
            status, _, document = client.answer()
            assert (status, b"<Code>InvalidRequest</Code>" in document) == (400, True)
            assert client.is_cut_off()


# Bodies alone


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"5\r\nfirst",
        b"5\r\nfirst\r\n",
        b"5\r\nfirst, and more\r\n0\r\n\r\n",
        b"-5\r\nfirst\r\n0\r\n\r\n",
        b"0x5\r\nfirst\r\n0\r\n\r\n",
        b"5_0\r\nfirst\r\n0\r\n\r\n",
        b"5\nfirst\n0\n\n",
        b"0\r\n" + b"a: b\r\n" * 65 + b"\r\n",
        b"1" * 2000 + b"\r\n",
    ],
)
def test_chunks_that_are_none(sent: bytes) -> None:
    with pytest.raises(BodyError):
        io.BufferedReader(RequestBody(io.BytesIO(sent), None, most_bytes=100)).read()


def test_chunks_are_not_more_than_is_taken() -> None:
    sent = b"5\r\nfirst\r\n5\r\n last\r\n0\r\n\r\n"
    with pytest.raises(BodyError, match="longer"):
        io.BufferedReader(RequestBody(io.BytesIO(sent), None, most_bytes=9)).read()
    body = RequestBody(io.BytesIO(sent), None, most_bytes=10)
    assert io.BufferedReader(body).read() == b"first last"


def test_lines_of_a_body_in_chunks() -> None:
    sent = b"4\r\none\n\r\n3\r\ntwo\r\n0\r\n\r\n"
    body = RequestBody(io.BytesIO(sent), None, most_bytes=100)
    assert io.BufferedReader(body).readlines() == [b"one\n", b"two"]


def test_a_body_that_breaks_off() -> None:
    body = RequestBody(io.BytesIO(b"hal"), 4, most_bytes=100)
    with pytest.raises(BodyError, match="gone"):
        io.BufferedReader(body).read()


# HTTPS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cloud")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "cert.pem", folder / "key.pem"


def test_boto3_is_served_over_https(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    with SimWorld() as world:
        app = EC2App(world.cloud, keys=FixedKeys({"AKIDEXAMPLE": "a secret"}))
        with WsgiServer(app, certificate=cert, key=key) as server:
            client = boto3.client(
                "ec2",
                endpoint_url=f"https://127.0.0.1:{server.port}",
                region_name="pycloud",
                aws_access_key_id="AKIDEXAMPLE",
                aws_secret_access_key="a secret",
                verify=str(cert),
            )
            assert client.describe_instances()["Reservations"] == []
            [region] = client.describe_regions()["Regions"]
            assert region["Endpoint"].endswith(f":{server.port}")


def test_the_application_knows_how_it_is_encrypted(certificate: tuple[Path, Path]) -> None:
    def tell(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{environ['SSL_PROTOCOL']} {environ['SSL_CIPHER']}".encode()]

    cert, key = certificate
    trusting = ssl.create_default_context(cafile=str(cert))
    trusting.maximum_version = ssl.TLSVersion.TLSv1_2
    trusting.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    with WsgiServer(tell, certificate=cert, key=key) as server:
        connection = HTTPSConnection("127.0.0.1", server.port, context=trusting)
        connection.request("GET", "/")
        said = connection.getresponse().read().decode()
        connection.close()
    assert said == "TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256"


def test_who_does_not_shake_hands_holds_up_nobody(
    certificate: tuple[Path, Path], echo: Echo
) -> None:
    cert, key = certificate
    trusting = ssl.create_default_context(cafile=str(cert))
    with (
        WsgiServer(echo, threads=2, certificate=cert, key=key) as server,
        closing(Client(server)),
        closing(Client(server)) as plain,
    ):
        plain.say(*GET)
        assert plain.is_cut_off()
        with (
            socket.create_connection(("127.0.0.1", server.port), LIMIT_S) as bare,
            trusting.wrap_socket(bare, server_hostname="127.0.0.1") as secure,
        ):
            secure.sendall(b"GET / HTTP/1.1\r\nHost: cloud\r\nConnection: close\r\n\r\n")
            assert secure.recv(100).startswith(b"HTTP/1.1 200")
    assert echo.seen[0]["wsgi.url_scheme"] == "https"


@pytest.mark.parametrize("piece_bytes", [7, 16_384])
def test_many_requests_in_records_of_any_size(
    certificate: tuple[Path, Path], echo: Echo, piece_bytes: int
) -> None:
    cert, key = certificate
    trusting = ssl.create_default_context(cafile=str(cert))
    many = 2 * 16_384 // 64  # requests: what the server reads at once ends between two
    sent = (b"GET / HTTP/1.1\r\nHost: cloud\r\nX: " + b"x" * 28 + b"\r\n\r\n") * many
    with (
        WsgiServer(echo, threads=1, certificate=cert, key=key) as server,
        socket.create_connection(("127.0.0.1", server.port), LIMIT_S) as bare,
        trusting.wrap_socket(bare, server_hostname="127.0.0.1") as secure,
    ):
        for at in range(0, len(sent), piece_bytes):
            secure.sendall(sent[at : at + piece_bytes])
        stream = secure.makefile("rb")
        assert sum(stream.readline() == b"HTTP/1.1 200 OK\r\n" for _ in range(5 * many)) == many
    assert len(echo.seen) == many


def test_a_certificate_that_cannot_be_used(
    certificate: tuple[Path, Path], echo: Echo, tmp_path: Path
) -> None:
    cert, _ = certificate
    with pytest.raises(InvalidValue, match="or neither"):
        WsgiServer(echo, certificate=cert)
    with pytest.raises(Cannot, match="/cert"):
        WsgiServer(echo, certificate=cert, key=tmp_path / "missing.pem").start()
    with pytest.raises(Cannot, match="/cert"):
        WsgiServer(echo, certificate=cert, key=cert).start()


def test_a_large_body_is_not_held(server: WsgiServer) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    with closing(connection):
        connection.request("POST", "/", b"x" * 1024**2)
        assert len(connection.getresponse().read()) == 1024**2


def test_an_answer_without_a_body_is_sent_whatever_becomes_of_its_end() -> None:
    class Broken(list[bytes]):
        def close(self) -> None:
            raise LookupError("after all was given")

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("204 No Content", [])
        return Broken()

    with WsgiServer(app) as server, socket.create_connection(("127.0.0.1", server.port)) as one:
        one.settimeout(20)
        one.sendall(b"GET / HTTP/1.1\r\nHost: cloud\r\n\r\n")
        assert one.recv(4096).startswith(b"HTTP/1.1 204")
