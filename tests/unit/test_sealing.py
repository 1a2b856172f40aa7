"""What is kept is encrypted at rest, with a key that nobody else can read."""

from __future__ import annotations

import base64
import stat
import threading
from pathlib import Path

import pytest

from app.errors import StoreError
from app.sealing import Seal, key_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "stored-responses.key"


def test_what_is_sealed_opens_with_the_same_key_and_context_alone(file: Path) -> None:
    sealed = Seal(file).close(b"a secret", "owner\nhandle")
    assert b"secret" not in sealed
    assert Seal(file).open(sealed, "owner\nhandle") == b"a secret"
    assert Seal(file).open(sealed, "other\nhandle") is None
    assert Seal(file, bytes(32)).open(sealed, "owner\nhandle") is None
    for damaged in (sealed[:-1], sealed[:5], b"", b"\0" + sealed[1:]):
        assert Seal(file).open(damaged, "owner\nhandle") is None


def test_the_same_content_is_never_sealed_the_same_way(file: Path) -> None:
    seal = Seal(file)
    assert seal.close(b"x", "") != seal.close(b"x", "")


def test_the_key_is_made_on_first_use_for_its_owner_alone(file: Path) -> None:
    seal = Seal(file)
    assert not file.exists()
    seal.close(b"", "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(base64.b64decode(file.read_text())) == 32
    assert list(file.parent.iterdir()) == [file]


def test_all_who_come_first_have_one_key(file: Path) -> None:
    sealed: list[bytes] = []
    together = threading.Barrier(8)

    def first() -> None:
        together.wait()
        sealed.append(Seal(file).close(b"x", "c"))

    threads = [threading.Thread(target=first) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [Seal(file).open(one, "c") for one in sealed] == [b"x"] * 8


def test_a_given_key_needs_no_file(file: Path) -> None:
    key = key_of(base64.b64encode(bytes(range(32))).decode() + "\n")
    assert Seal(file, key).open(Seal(file, key).close(b"x", "c"), "c") == b"x"
    assert not file.exists()


@pytest.mark.parametrize("content", ["", "short", base64.b64encode(bytes(16)).decode(), "Ä" * 44])
def test_a_file_without_a_key_is_an_error_that_names_it(file: Path, content: str) -> None:
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(StoreError, match=r"stored-responses\.key"):
        Seal(file).close(b"x", "c")


def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StoreError, match=r"stored-responses\.key"):
        Seal(tmp_path / "data" / "stored-responses.key").close(b"x", "c")
