"""Secrets are sealed with a key that is kept elsewhere."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.errors import InvalidValue, StateError
from pycloud.identity.sealing import Seal

SEAL = Seal(bytes(32))


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_was_sealed_opens(secret: bytes, label: str) -> None:
    sealed = SEAL.close(secret, label)
    assert SEAL.open(sealed, label) == secret
    assert SEAL.close(secret, label) != sealed, "a nonce was used twice"


@given(st.integers(min_value=0), st.integers(1, 255))
def test_whatever_byte_is_changed_it_does_not_open(place: int, change: int) -> None:
    sealed = bytearray(SEAL.close(b"a secret", "key 1"))
    sealed[place % len(sealed)] ^= change
    with pytest.raises(StateError):
        SEAL.open(bytes(sealed), "key 1")


@pytest.mark.parametrize("length", range(0, 32, 3))
def test_what_is_cut_off_does_not_open(length: int) -> None:
    with pytest.raises(StateError):
        SEAL.open(SEAL.close(b"a secret", "key 1")[:length], "key 1")


def test_it_opens_under_no_other_label() -> None:
    with pytest.raises(StateError, match="the sealed secret of key 2 was changed or moved"):
        SEAL.open(SEAL.close(b"a secret", "key 1"), "key 2")


def test_another_key_is_named_as_such() -> None:
    other = Seal(bytes(31) + b"\1", origin="other.key")
    with pytest.raises(StateError, match=r"key 1 was sealed with another key than other\.key"):
        other.open(SEAL.close(b"a secret", "key 1"), "key 1")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_has_32_bytes(length: int, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=f"has 32 bytes, not {length}"):
        Seal(bytes(length))
    (tmp_path / "seal.key").write_bytes(bytes(length))
    (tmp_path / "seal.key").chmod(0o600)
    with pytest.raises(InvalidValue, match=rf"seal\.key holds no key: it has {length} bytes"):
        Seal.from_file(tmp_path / "seal.key")


def test_a_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "seal.key"
    sealed = Seal.from_file(path).close(b"a secret", "key 1")
    assert path.stat().st_mode & 0o777 == 0o600
    assert Seal.from_file(path).open(sealed, "key 1") == b"a secret"
    assert [one.name for one in path.parent.iterdir()] == ["seal.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "seal.key"
    Seal.from_file(path)
    path.chmod(mode)
    with pytest.raises(InvalidValue, match=f"others may read it: chmod 600 {path}"):
        Seal.from_file(path)


def test_many_who_make_the_file_at_once_have_one_key(tmp_path: Path) -> None:
    path, begin = tmp_path / "seal.key", threading.Barrier(8)
    sealed: list[bytes] = []

    def make() -> None:
        begin.wait(20)
        sealed.append(Seal.from_file(path).close(b"a secret", "key 1"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seal = Seal.from_file(path)
    assert [seal.open(one, "key 1") for one in sealed] == [b"a secret"] * 8
    assert len(list(tmp_path.iterdir())) == 1
