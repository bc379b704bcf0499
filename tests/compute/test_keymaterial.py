"""Key material, held against OpenSSH and OpenSSL."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.compute.keymaterial import KeyKind, generate, read_public
from pycloud.errors import InvalidValue


def _run(*command: object) -> str:
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def _ssh_key(folder: Path, *options: str) -> str:
    _run("ssh-keygen", "-q", *options, "-N", "", "-f", folder / "key")
    return (folder / "key.pub").read_text()


def _ecdsa(folder: Path) -> str:
    return _ssh_key(folder, "-t", "ecdsa")


def _dsa(folder: Path) -> str:
    return "ssh-dss AAAAB3NzaC1kc3MAAAAA someone"  # newer ones of OpenSSH make none


def _certificate(folder: Path) -> str:
    _ssh_key(folder, "-t", "ed25519")
    _run("ssh-keygen", "-q", "-s", folder / "key", "-I", "someone", folder / "key.pub")
    return (folder / "key-cert.pub").read_text()


def _x509(folder: Path) -> str:
    ask = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=someone")
    return _run(*ask, "-keyout", folder / "key")


def _ec_pem(folder: Path) -> str:
    _ssh_key(folder, "-t", "ecdsa")
    return _run("ssh-keygen", "-e", "-m", "PKCS8", "-f", folder / "key.pub")


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


@pytest.mark.parametrize("form", ["RFC4716", "PKCS8"])
def test_an_ed25519_key_is_read_in_each_form(folder: Path, form: str) -> None:
    key = folder / "key"
    if form == "PKCS8":  # ssh-keygen does not export ED25519 so
        _run("openssl", "genpkey", "-algorithm", "ed25519", "-out", key)
        _run("openssl", "pkey", "-in", key, "-pubout", "-out", folder / "key.pub")
        assert read_public((folder / "key.pub").read_text()).kind == "ed25519"
    else:
        made = generate("ed25519")
        key.write_text(made.public_key)
        read = read_public(_run("ssh-keygen", "-e", "-m", form, "-f", key))
        assert (read.public_key, read.fingerprint) == (made.public_key, made.fingerprint)


@pytest.mark.parametrize("make", [_ecdsa, _dsa, _certificate, _x509, _ec_pem])
def test_what_it_is_instead_is_named(folder: Path, make: Callable[[Path], str]) -> None:
    with pytest.raises(InvalidValue, match="a key pair is RSA or ED25519; this is a"):
        read_public(make(folder))


def test_the_shortest_rsa_key_has_1024_bits(folder: Path) -> None:
    key = folder / "key"
    _run("ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", key)
    assert read_public((folder / "key.pub").read_bytes()).kind == "rsa"


def test_two_keys_are_not_one() -> None:
    line = generate("ed25519").public_key
    with pytest.raises(InvalidValue, match="more than one line"):
        read_public(f"{line}\n{line}\n")
    pem = "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n"
    with pytest.raises(InvalidValue, match="more than one key"):
        read_public(pem * 2)


def test_a_comment_may_say_what_it_likes() -> None:
    made = generate("ed25519")
    read = read_public(f"{made.public_key} beside my PRIVATE KEY\r\n")
    assert read.public_key == made.public_key


@pytest.mark.parametrize("head", ["PuTTY-User-Key-File-3: ssh-ed25519", "-----BEGIN PRIVATE KEY"])
def test_private_keys_of_others_are_known_too(head: str) -> None:
    with pytest.raises(InvalidValue, match="this is a private key"):
        read_public(f"{head}\nMaterial")


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
