"""Files for one run of a client: what is the person's own is seen there, and stays as it is."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from app.clients.files.merge import MergeError
from app.clients.files.once import prepared
from app.clients.record import ConfigFile, Once

FILE = ConfigFile(".tool/deep/settings.json", "json", {"url": "ours"}, instead=(".tool/deep/settings.jsonc",))
MOVED = Once("tool", {"KEY": "k"}, moved=("TOOL_HOME", ".tool"))
NAMED = Once("tool", named={"TOOL_CONFIG": FILE.path})


def everything(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    own = tmp_path / ".tool"
    (own / "deep").mkdir(parents=True)
    (own / "deep/settings.json").write_text('{"mine": 1, "url": "theirs"}')
    (own / "deep/other").write_text("other")
    (own / "history").mkdir()
    (own / "history/one").write_text("said")
    return tmp_path


def test_a_moved_folder_has_ours_merged_and_leads_to_all_else(home: Path) -> None:
    before = everything(home)
    with prepared(MOVED, [FILE], home, {}) as variables:
        folder = Path(variables["TOOL_HOME"])
        assert variables["KEY"] == "k"
        assert json.loads((folder / "deep/settings.json").read_text()) == {"mine": 1, "url": "ours"}
        assert stat.S_IMODE((folder / "deep/settings.json").stat().st_mode) == 0o600
        assert (folder / "deep/other").read_text() == "other"
        # What the program remembers is the person's, and remains.
        (folder / "history/two").write_text("said more")
    assert not folder.exists()
    assert everything(home) == {**before, ".tool/history/two": b"said more"}


def test_a_file_that_a_variable_names(home: Path) -> None:
    before = everything(home)
    with prepared(NAMED, [FILE], home, {}) as variables:
        assert json.loads(Path(variables["TOOL_CONFIG"]).read_text())["url"] == "ours"
    assert everything(home) == before


def test_somebody_without_a_folder_gets_ours_alone(tmp_path: Path) -> None:
    with prepared(MOVED, [FILE], tmp_path, {}) as variables:
        assert everything(Path(variables["TOOL_HOME"])).keys() == {"deep/settings.json"}
    assert not list(tmp_path.iterdir())


def test_a_folder_that_the_person_moved_is_the_one_that_counts(home: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/note").write_text("here")
    with prepared(MOVED, [FILE], home, {".tool": tmp_path / "elsewhere"}) as variables:
        folder = Path(variables["TOOL_HOME"])
        assert (folder / "note").read_text() == "here"
        assert json.loads((folder / "deep/settings.json").read_text()) == {"url": "ours"}


def test_the_other_name_of_a_file_is_merged_and_not_seen_twice(home: Path) -> None:
    (home / ".tool/deep/settings.json").unlink()
    (home / ".tool/deep/settings.jsonc").write_text('{"mine": 2} // kept')
    with prepared(MOVED, [FILE], home, {}) as variables:
        folder = Path(variables["TOOL_HOME"]) / "deep"
        assert "mine" in (folder / "settings.json").read_text()
        assert not (folder / "settings.jsonc").exists()


def test_a_broken_file_is_named_and_nothing_is_left(home: Path) -> None:
    (home / ".tool/deep/settings.json").write_text("{")
    with pytest.raises(MergeError, match=r"settings\.json"), prepared(MOVED, [FILE], home, {}):
        pass


def test_a_file_that_may_not_be_written_can_be_read_all_the_same(home: Path) -> None:
    (home / ".tool/deep/settings.json").chmod(0o400)
    with prepared(NAMED, [FILE], home, {}) as variables:
        assert "mine" in Path(variables["TOOL_CONFIG"]).read_text()
