"""Bodies in chunks: AWS's published examples, any cut into chunks, and every tampered part."""

from __future__ import annotations

import hashlib
import hmac
import io
from base64 import b64encode
from datetime import UTC, datetime
from zlib import crc32

import attrs
import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from hypothesis import given, settings
from hypothesis import strategies as st

from pycloud import limits
from pycloud.aws.chunks import ChunkedBody
from pycloud.aws.payloads import HashedBody, open_payload
from pycloud.aws.requests import (
    EMPTY_SHA256,
    SIGNED_CHUNKS,
    SIGNED_CHUNKS_AND_TRAILER,
    UNSIGNED,
    UNSIGNED_CHUNKS_AND_TRAILER,
    Authenticated,
    SignatureError,
    SignedRequest,
)
from pycloud.errors import InvalidValue
from tests.aws.clients import KEY_ID, check

SCOPE = "20130524/us-east-1/s3/aws4_request"
HEAD = Authenticated(
    access_key_id=KEY_ID,
    how="header",
    version=4,
    payload=SIGNED_CHUNKS,
    seed_signature="5" * 64,
    timestamp="20130524T000000Z",
    scope=SCOPE,
    signing_key=b"k" * 32,
)


def sign(key: bytes, algorithm: str, *parts: str) -> str:
    message = "\n".join((algorithm, HEAD.timestamp, SCOPE, *parts))
    return hmac.new(key, message.encode(), hashlib.sha256).hexdigest()


def pieces(chunks: list[bytes], trailer: str = "") -> list[bytes]:
    """The parts of a signed body: chunks, the final empty one, and perhaps a trailer."""
    previous = HEAD.seed_signature
    parts = []
    for chunk in [*chunks, b""]:
        digest = hashlib.sha256(chunk).hexdigest()
        previous = sign(
            HEAD.signing_key, "AWS4-HMAC-SHA256-PAYLOAD", previous, EMPTY_SHA256, digest
        )
        end = b"" if trailer and not chunk else b"\r\n"
        parts.append(b"%x;chunk-signature=%s\r\n%s%s" % (len(chunk), previous.encode(), chunk, end))
    if trailer:
        digest = hashlib.sha256(f"{trailer}\n".encode()).hexdigest()
        previous = sign(HEAD.signing_key, "AWS4-HMAC-SHA256-TRAILER", previous, digest)
        parts.append(f"{trailer}\r\nx-amz-trailer-signature:{previous}\r\n\r\n".encode())
    return parts


def body(
    sent: bytes, decoded_length: int, mode: str = SIGNED_CHUNKS, head: Authenticated | None = HEAD
) -> ChunkedBody:
    return ChunkedBody(io.BytesIO(sent), head, mode, decoded_length)


def refusal(reader: ChunkedBody | HashedBody) -> str:
    with pytest.raises(SignatureError) as caught:
        reader.read()
    return caught.value.code


# AWS's examples: 65 KiB of the letter a


def documented(mode: str, signature: str, **more: str) -> Authenticated:
    headers = {
        "host": "s3.amazonaws.com",
        "x-amz-date": "20130524T000000Z",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "x-amz-content-sha256": mode,
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": "66560",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    names = ";".join(sorted(headers))
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={KEY_ID}/{SCOPE},SignedHeaders={names},Signature={signature}"
    )
    request = SignedRequest(
        "PUT", "/examplebucket/chunkObject.txt", "", headers, headers["host"], body_sha256=None
    )
    return check(request, "s3", datetime(2013, 5, 24, tzinfo=UTC))


def test_the_documented_example_is_accepted() -> None:
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    head = documented(SIGNED_CHUNKS, seed, content_length="66824")
    sent = b"".join(
        b"%x;chunk-signature=%s\r\n%s\r\n" % (size, signature, b"a" * size)
        for size, signature in [
            (65536, b"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
            (1024, b"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
            (0, b"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
        ]
    )
    assert len(sent) == 66824
    assert body(sent, 66560, head=head).read() == b"a" * 66560


def test_the_documented_example_with_a_trailer_is_accepted() -> None:
    seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    mode = SIGNED_CHUNKS_AND_TRAILER
    head = documented(mode, seed, x_amz_trailer="x-amz-checksum-crc32c")
    sent = b"".join(
        b"%x;chunk-signature=%s\r\n%s" % (size, signature, b"a" * size + b"\r\n" * bool(size))
        for size, signature in [
            (65536, b"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
            (1024, b"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
            (0, b"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"),
        ]
    )
    sent += b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"
    sent += b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
    reader = body(sent, 66560, mode, head)
    assert reader.read() == b"a" * 66560
    assert reader.trailers == {"x-amz-checksum-crc32c": "sOO8/Q=="}


# Any body


CHUNKS = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
SIZES = st.lists(st.integers(min_value=1, max_value=50), min_size=1, max_size=4)


def read_in(reader: ChunkedBody, sizes: list[int]) -> bytes:
    found: list[bytes] = []
    while True:
        for size in sizes:
            part = reader.read(size)
            if not part:
                return b"".join(found)
            assert len(part) <= size
            found.append(part)


@settings(deadline=None)
@given(chunks=CHUNKS, sizes=SIZES, trailer=st.sampled_from(["", "x-amz-checksum-crc32:AAAAAA=="]))
def test_any_signed_chunks_read_in_any_pieces(
    chunks: list[bytes], sizes: list[int], trailer: str
) -> None:
    whole = b"".join(chunks)
    mode = SIGNED_CHUNKS_AND_TRAILER if trailer else SIGNED_CHUNKS
    reader = body(b"".join(pieces(chunks, trailer)), len(whole), mode)
    assert reader.trailers == {}
    assert read_in(reader, sizes) == whole
    assert bool(reader.trailers) == bool(trailer)
    assert reader.read(1) == b""


@settings(deadline=None)
@given(whole=st.binary(max_size=300), sizes=SIZES, chunk_size=st.integers(1, 100))
def test_any_body_as_botocore_sends_it(whole: bytes, sizes: list[int], chunk_size: int) -> None:
    sent = AwsChunkedWrapper(
        io.BytesIO(whole), Crc32Checksum, "x-amz-checksum-crc32", chunk_size=chunk_size
    ).read()
    for head in (HEAD, None):
        reader = body(sent, len(whole), UNSIGNED_CHUNKS_AND_TRAILER, head)
        assert read_in(reader, sizes) == whole
        checksum = b64encode(crc32(whole).to_bytes(4, "big")).decode()
        assert reader.trailers == {"x-amz-checksum-crc32": checksum}


def test_an_empty_line_before_the_signature_of_the_trailer() -> None:
    *chunks, trailer = pieces([b"abc"], "x-amz-checksum-crc32:AAAAAA==")
    as_minio_go = trailer.replace(b"==\r\n", b"==\n\r\n")
    reader = body(b"".join([*chunks, as_minio_go]), 3, SIGNED_CHUNKS_AND_TRAILER)
    assert reader.read() == b"abc"
    assert reader.trailers == {"x-amz-checksum-crc32": "AAAAAA=="}


class Slow(io.BytesIO):
    """Gives one byte at a time, and counts what it gave."""

    given = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.given += 1
        return super().read(min(1, size or 0))


def test_a_slow_client_is_waited_for() -> None:
    sent = b"".join(pieces([b"abc", b"de"]))
    assert ChunkedBody(Slow(sent), HEAD, SIGNED_CHUNKS, 5).read() == b"abcde"


def test_an_unsigned_chunk_is_passed_on_as_it_comes() -> None:
    size = limits.CHUNK_BYTES * 4
    stream = io.BytesIO(b"%x\r\n%s" % (size, b"a" * 100_000))  # the rest is still to come
    reader = ChunkedBody(stream, None, UNSIGNED_CHUNKS_AND_TRAILER, size)
    assert len(reader.read(70_000)) > 0
    assert stream.tell() < 70_000


# What is refused


TRAILER = "x-amz-checksum-crc32:AAAAAA=="


@pytest.mark.parametrize("mode", [SIGNED_CHUNKS, SIGNED_CHUNKS_AND_TRAILER])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_one_changed_byte_anywhere_is_refused(mode: str, data: st.DataObject) -> None:
    trailer = TRAILER if mode == SIGNED_CHUNKS_AND_TRAILER else ""
    sent = bytearray(b"".join(pieces([b"abcdefgh", b"ijkl"], trailer)))
    place = data.draw(st.integers(0, len(sent) - 1))
    # Not 4: it makes a tab of CR, and space at the end of a trailer says nothing.
    sent[place] ^= data.draw(st.sampled_from([1, 2, 16, 64, 128]))
    assert refusal(body(bytes(sent), 12, mode)) in (
        "SignatureDoesNotMatch",
        "IncompleteBody",
        "MalformedTrailerError",
    )


@pytest.mark.parametrize("mode", [SIGNED_CHUNKS, SIGNED_CHUNKS_AND_TRAILER])
def test_a_body_that_is_cut_off_anywhere_is_refused(mode: str) -> None:
    trailer = TRAILER if mode == SIGNED_CHUNKS_AND_TRAILER else ""
    sent = b"".join(pieces([b"abcdefgh", b"ijkl"], trailer))
    # Without its very last line end nothing is missing from a trailer.
    for length in range(len(sent) - (2 if trailer else 0)):
        refusal(body(sent[:length], 12, mode))


def test_an_unsigned_body_that_is_cut_off_anywhere_is_refused() -> None:
    sent = b"8\r\nabcdefgh\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    assert body(sent, 8, UNSIGNED_CHUNKS_AND_TRAILER).read() == b"abcdefgh"
    for length in range(len(sent)):
        refusal(body(sent[:length], 8, UNSIGNED_CHUNKS_AND_TRAILER))


def test_chunks_in_another_order_are_refused_before_any_is_given() -> None:
    first, second, last = pieces([b"abcd", b"efgh"])
    assert refusal(body(second + first + last, 8)) == "SignatureDoesNotMatch"
    assert refusal(body(first + first + last, 8)) == "SignatureDoesNotMatch"
    assert refusal(body(second + last, 4)) == "SignatureDoesNotMatch"


def test_what_follows_a_refused_chunk_is_refused() -> None:
    good = b"".join(pieces([b"abcd"]))
    reader = body(good.replace(b"abcd", b"abcx") + good, 4)
    for _ in range(2):
        with pytest.raises(SignatureError) as caught:
            reader.read(4)
        assert caught.value.code == "SignatureDoesNotMatch"


def test_the_last_bytes_are_held_back_until_the_end_was_verified() -> None:
    first, second, _last = pieces([b"abcd", b"efgh"])
    reader = body(first + second, 8)
    assert reader.read(4) == b"abcd"
    for _ in range(2):
        with pytest.raises(SignatureError) as caught:
            reader.read(4)
        assert caught.value.code == "IncompleteBody"


@pytest.mark.parametrize("mode", [SIGNED_CHUNKS, UNSIGNED_CHUNKS_AND_TRAILER])
@pytest.mark.parametrize("length", [0, 3, 5])
def test_the_decoded_length_is_held_to(mode: str, length: int) -> None:
    signed = mode == SIGNED_CHUNKS
    sent = b"".join(pieces([b"ab", b"cd"])) if signed else b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"
    assert body(sent, 4, mode).read() == b"abcd"
    assert refusal(body(sent, length, mode)) == "IncompleteBody"


def test_the_seed_and_the_key_of_the_head_are_what_counts() -> None:
    sent = b"".join(pieces([b"abcd"]))
    for changed in (
        attrs.evolve(HEAD, seed_signature="6" * 64),
        attrs.evolve(HEAD, signing_key=b"x" * 32),
        attrs.evolve(HEAD, timestamp="20130524T000001Z"),
        attrs.evolve(HEAD, scope=SCOPE.replace("us-east-1", "us-east-2")),
    ):
        assert refusal(body(sent, 4, head=changed)) == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    "head", [None, attrs.evolve(HEAD, version=2), attrs.evolve(HEAD, how="query")]
)
def test_signed_chunks_need_a_signed_head(head: Authenticated | None) -> None:
    for mode in (SIGNED_CHUNKS, SIGNED_CHUNKS_AND_TRAILER):
        with pytest.raises(SignatureError):
            body(b"", 0, mode, head)


def test_a_huge_chunk_is_refused_before_it_is_read() -> None:
    size = limits.CHUNK_BYTES + 1
    stream = Slow(b"%x;chunk-signature=%s\r\n" % (size, b"0" * 64))
    assert refusal(ChunkedBody(stream, HEAD, SIGNED_CHUNKS, size)) == "InvalidChunkSizeError"
    assert stream.given == 0


@pytest.mark.parametrize(
    "line", [b"", b"\r\n", b"-1", b"0x4", b"4;a=b", b" 4", b"4\n", b"f" * 5000]
)
def test_odd_lines_before_a_chunk_are_refused(line: bytes) -> None:
    sent = line + b"\r\nabcd\r\n0\r\n\r\n"
    assert refusal(body(sent, 4)) == "IncompleteBody"
    assert refusal(body(sent, 4, UNSIGNED_CHUNKS_AND_TRAILER)) == "IncompleteBody"


@pytest.mark.parametrize(
    "trailer", [b"a", b"a b:c\r\n\r\n", b":c\r\n\r\n", b"a:1\r\nA:2\r\n\r\n", b"a:" + b"b" * 9000]
)
def test_odd_trailers_are_refused(trailer: bytes) -> None:
    reader = body(b"0\r\n" + trailer, 0, UNSIGNED_CHUNKS_AND_TRAILER)
    assert refusal(reader) == "MalformedTrailerError"
    assert reader.trailers == {}


def test_a_trailer_added_without_a_signature_is_refused() -> None:
    *chunks, trailer = pieces([b"abc"], TRAILER)
    for changed in (
        b"x-amz-checksum-crc32:BBBBBB==\r\n" + trailer.partition(b"\r\n")[2],
        b"x-amz-meta-a:b\r\n" + trailer,
        trailer.partition(b"\r\n")[2],
    ):
        sent = b"".join([*chunks, changed])
        assert refusal(body(sent, 3, SIGNED_CHUNKS_AND_TRAILER)) == "SignatureDoesNotMatch"
    bare = b"".join([*chunks, TRAILER.encode(), b"\r\n\r\n"])
    assert refusal(body(bare, 3, SIGNED_CHUNKS_AND_TRAILER)) == "MalformedTrailerError"


def test_another_mode_is_no_mode() -> None:
    with pytest.raises(InvalidValue, match="STREAMING"):
        body(b"", 0, UNSIGNED)


# The reader for each kind of body


LENGTH = {"x-amz-decoded-content-length": "4"}


def test_each_kind_of_body_has_its_reader() -> None:
    sent = b"".join(pieces([b"abcd"]))
    assert open_payload(io.BytesIO(sent), HEAD, LENGTH, len(sent)).read() == b"abcd"
    plain = attrs.evolve(HEAD, payload=UNSIGNED)
    assert open_payload(io.BytesIO(b"abcd"), plain, {}, 4).read() == b"abcd"
    hashed = attrs.evolve(HEAD, payload=hashlib.sha256(b"abcd").hexdigest())
    assert open_payload(io.BytesIO(b"abcd"), hashed, {}, 4).read() == b"abcd"
    wrong = open_payload(io.BytesIO(b"abce"), hashed, {}, 4)
    assert isinstance(wrong, HashedBody)
    assert refusal(wrong) == "XAmzContentSHA256Mismatch"


def test_the_head_that_was_signed_says_the_kind_of_body() -> None:
    forged = LENGTH | {"x-amz-content-sha256": UNSIGNED_CHUNKS_AND_TRAILER}
    reader = open_payload(io.BytesIO(b"4\r\nabcd\r\n0\r\n\r\n"), HEAD, forged, 15)
    assert isinstance(reader, ChunkedBody)
    assert refusal(reader) == "IncompleteBody"


def test_nobody_may_send_unsigned_chunks_but_no_signed_ones() -> None:
    sent = io.BytesIO(b"4\r\nabcd\r\n0\r\n\r\n")
    word = {"x-amz-content-sha256": UNSIGNED_CHUNKS_AND_TRAILER}
    assert open_payload(sent, None, LENGTH | word, 15).read() == b"abcd"
    with pytest.raises(SignatureError):
        open_payload(sent, None, LENGTH | {"x-amz-content-sha256": SIGNED_CHUNKS}, 15)


@pytest.mark.parametrize("length", ["", "-1", "x", "9" * 30])
def test_chunks_need_a_decoded_length(length: str) -> None:
    with pytest.raises(SignatureError) as caught:
        open_payload(io.BytesIO(), HEAD, {"x-amz-decoded-content-length": length}, 0)
    assert caught.value.code == "MissingContentLength"
