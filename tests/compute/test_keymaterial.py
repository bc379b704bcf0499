"""Key material, held against OpenSSH and OpenSSL."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.compute.keymaterial import KeyKind, generate, read_public
from pycloud.errors import InvalidValue


def _run(*command: object) -> str:
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_openssh_reads_what_was_made(folder: Path, kind: KeyKind) -> None:
    made = generate(kind)
    private = folder / "key"
    private.touch(mode=0o600)
    private.write_text(made.private_key)
    assert _run("ssh-keygen", "-y", "-f", private).split()[:2] == made.public_key.split()
    assert made.private_key not in repr(made)


def test_a_made_rsa_key_has_the_fingerprint_that_aws_documents(folder: Path) -> None:
    made = generate("rsa")
    assert made.private_key.startswith("-----BEGIN RSA PRIVATE KEY-----")
    (folder / "key").write_text(made.private_key)
    der = folder / "der"
    convert = ("openssl", "pkcs8", "-topk8", "-nocrypt", "-outform", "DER")
    _run(*convert, "-in", folder / "key", "-out", der)
    digest = _run("openssl", "dgst", "-sha1", "-c", der).split()[-1]
    assert made.fingerprint == digest


def test_an_ed25519_key_has_openssh_fingerprint(folder: Path) -> None:
    made = generate("ed25519")
    (folder / "key.pub").write_text(made.public_key)
    told = _run("ssh-keygen", "-l", "-f", folder / "key.pub").split()[1]
    assert f"SHA256:{made.fingerprint.rstrip('=')}" == told
    assert read_public(made.public_key).fingerprint == made.fingerprint


@pytest.mark.parametrize("form", ["RFC4716", "PKCS8", "PEM"])
def test_each_form_of_a_public_key_is_the_same_key(folder: Path, form: str) -> None:
    key = folder / "key"
    _run("ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "a comment", "-f", key)
    line = (folder / "key.pub").read_text()
    exported = _run("ssh-keygen", "-e", "-m", form, "-f", folder / "key.pub")
    read = read_public(exported)
    assert read == read_public(line)
    assert read.public_key.split() == line.split()[:2]
    public = folder / "public.der"
    convert = ("openssl", "rsa", "-pubin", "-RSAPublicKey_in", "-outform", "DER")
    pem = _run("ssh-keygen", "-e", "-m", "PEM", "-f", folder / "key.pub")
    (folder / "pem").write_text(pem)
    _run(*convert, "-in", folder / "pem", "-out", public)
    assert read.fingerprint == _run("openssl", "dgst", "-md5", "-c", public).split()[-1]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("-t", "ecdsa"), "RSA or ED25519"),
        (("-t", "rsa", "-b", "1024"), None),
    ],
)
def test_kinds_of_key(folder: Path, options: tuple[str, ...], complaint: str | None) -> None:
    key = folder / "key"
    _run("ssh-keygen", "-q", *options, "-N", "", "-f", key)
    line = (folder / "key.pub").read_text()
    if complaint is None:
        assert read_public(line).kind == "rsa"
    else:
        with pytest.raises(InvalidValue, match=complaint):
            read_public(line)


def test_a_private_key_given_by_mistake_is_refused_and_not_repeated() -> None:
    private = generate("ed25519").private_key
    with pytest.raises(InvalidValue, match="this is a private key") as refusal:
        read_public(private)
    assert private.splitlines()[2] not in repr(refusal.value)


@pytest.mark.parametrize("data", ["", "ssh-rsa", "ssh-rsa AAAA", "ssh-ed25519 !!", "x" * 20_000])
def test_what_is_no_key_is_refused(data: str) -> None:
    with pytest.raises(InvalidValue):
        read_public(data)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(max_size=300),
        st.text(max_size=200).map(lambda text: f"---- BEGIN SSH2 PUBLIC KEY ----\n{text}"),
        st.binary(max_size=100).map(lambda data: b"ssh-rsa " + data),
    )
)
def test_garbage_is_only_ever_refused(data: bytes | str) -> None:
    with pytest.raises(InvalidValue):
        read_public(data)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InvalidValue, match="not 'dsa'"):
        generate("dsa")  # type: ignore[arg-type]
