"""Files of people's: backed up, replaced in one step, and left alone where there is any doubt."""

from __future__ import annotations

import json
import os
import stat
from datetime import datetime
from pathlib import Path

import pytest

from app.clients.files import write
from app.clients.files.merge import MergeError
from app.clients.files.write import apply, plan, take_back
from app.clients.record import ConfigFile

NOW = datetime(2026, 1, 2, 3, 4, 5)
FILE = ConfigFile(".tool/settings.json", "json", {"env": {"KEY": "k"}})
OTHER = ConfigFile(".tool/other.toml", "toml", {"a": 1}, secret=False)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def everything(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def existing(home: Path, text: str = '{"mine": 1}\n', path: str = FILE.path) -> Path:
    file = home / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def test_a_new_file_is_for_its_owner_only(home: Path) -> None:
    (done,) = apply(plan([FILE], home), now=NOW)
    assert done.backup is None
    assert json.loads((home / FILE.path).read_text()) == {"env": {"KEY": "k"}}
    assert mode(home / FILE.path) == 0o600
    assert done.mark is not None
    assert everything(home).keys() == {FILE.path, str(done.mark.relative_to(home))}
    assert (done.mark.read_bytes(), mode(done.mark)) == (b"", 0o600)


def test_what_was_there_is_kept_beside_it(home: Path) -> None:
    file = existing(home)
    file.chmod(0o640)
    (done,) = apply(plan([FILE], home), now=NOW)
    assert done.backup == file.with_name("settings.json.bak-20260102-030405")
    assert done.backup.read_text() == '{"mine": 1}\n'
    assert json.loads(file.read_text()) == {"mine": 1, "env": {"KEY": "k"}}
    assert (mode(file), mode(done.backup)) == (0o640, 0o640)
    assert done.change.readable
    assert len(everything(home)) == 2


def test_a_second_run_changes_nothing_and_keeps_no_backup(home: Path) -> None:
    existing(home)
    apply(plan([FILE], home), now=NOW)
    before = everything(home)
    (done,) = apply(plan([FILE], home), now=datetime(2027, 1, 1))
    assert (done.backup, done.change.after) == (None, None)
    assert everything(home) == before


def test_no_backup_takes_the_place_of_another(home: Path) -> None:
    file = existing(home)
    apply(plan([FILE], home), now=NOW)
    file.write_text('{"second": 2}')
    (done,) = apply(plan([FILE], home), now=NOW)
    assert done.backup is not None
    assert done.backup.name == "settings.json.bak-20260102-030405-1"
    assert file.with_name("settings.json.bak-20260102-030405").read_text() == '{"mine": 1}\n'
    assert done.backup.read_text() == '{"second": 2}'


def test_links_are_followed(home: Path) -> None:
    real = existing(home, path="dotfiles/settings.json")
    (home / ".tool").mkdir()
    link = home / FILE.path
    link.symlink_to(real)
    (done,) = apply(plan([FILE], home), now=NOW)
    assert link.is_symlink()
    assert json.loads(real.read_text())["env"] == {"KEY": "k"}
    assert done.backup is not None
    assert done.backup.parent == real.parent


def test_a_link_to_nowhere_is_filled_at_its_end(home: Path) -> None:
    (home / ".tool").mkdir()
    (home / FILE.path).symlink_to(home / "dotfiles" / "settings.json")
    apply(plan([FILE], home), now=NOW)
    assert (home / FILE.path).is_symlink()
    assert (home / "dotfiles" / "settings.json").is_file()


def test_another_name_of_the_file_is_used_if_it_is_there(home: Path) -> None:
    file = ConfigFile("a.json", "json", {"x": 1}, instead=("a.jsonc",))
    existing(home, "{ // mine\n}", "a.jsonc")
    apply(plan([file], home), now=NOW)
    assert not (home / "a.json").exists()
    assert (home / "a.jsonc").read_text() == '{ // mine\n  "x": 1\n}'


@pytest.mark.parametrize(
    ("content", "words"),
    [(b'{"mine": ', "not valid JSON"), (b"\xff\xfe{}", "not UTF-8"), (b'{"env": 1}', "“env” holds a single value")],
)
def test_a_file_that_cannot_be_merged_stops_everything(home: Path, content: bytes, words: str) -> None:
    existing(home).write_bytes(content)
    existing(home, "mine = 1\n", OTHER.path)
    before = everything(home)
    with pytest.raises(MergeError, match=words) as caught:
        plan([OTHER, FILE], home)
    assert everything(home) == before
    assert str(home / FILE.path) in caught.value.message
    assert caught.value.details == {"by_hand": FILE.path}
    assert '"k"' not in caught.value.message, "a key does not belong into an error"


def test_a_folder_in_its_place_stops_everything(home: Path) -> None:
    (home / FILE.path).mkdir(parents=True)
    with pytest.raises(MergeError, match=r"settings\.json was left alone.*no ordinary file"):
        plan([FILE], home)


def test_a_pipe_in_its_place_is_not_waited_for(home: Path) -> None:
    """Password managers offer .env files as pipes."""
    (home / ".tool").mkdir()
    os.mkfifo(home / FILE.path)
    with pytest.raises(MergeError, match="no ordinary file"):
        plan([FILE], home)


def test_links_in_a_circle_stop_everything(home: Path) -> None:
    (home / ".tool").mkdir()
    (home / FILE.path).symlink_to(home / ".tool" / "b")
    (home / ".tool" / "b").symlink_to(home / FILE.path)
    with pytest.raises(MergeError, match="so was everything else"):
        plan([FILE], home)


def test_a_file_stays_its_owners(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run by root, as with sudo, the new file must not become root's."""
    file = existing(home)
    owners: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "chown", lambda _, uid, gid: owners.append((uid, gid)))
    apply(plan([FILE], home), now=NOW)
    assert owners == [(file.stat().st_uid, file.stat().st_gid)]


def test_a_moved_folder_is_followed(home: Path) -> None:
    moved = {".tool": home / "there", ".tool/deep": home / "deeper"}
    places = [change.path for change in plan([FILE, ConfigFile(".tool/deep/x", "env", {"A": "b"})], home, moved)]
    assert places == [home / "there" / "settings.json", home / "deeper" / "x"]


def test_a_file_where_a_folder_belongs_stops_everything(home: Path) -> None:
    (home / ".tool").write_text("a file")
    with pytest.raises(MergeError, match="was left alone, and so was everything else"):
        plan([FILE], home)
    assert everything(home) == {".tool": b"a file"}


def test_a_folder_that_may_not_be_written_to_stops_everything(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = existing(home)
    monkeypatch.setattr(os, "access", lambda *_: False)  # whoever runs the tests may be root
    with pytest.raises(MergeError, match=r"\.tool is no folder that you may write to"):
        plan([FILE], home)
    file.write_text('{"env": {"KEY": "k"}}')
    assert plan([FILE], home)[0].after is None, "nothing to write, nothing to complain about"


def test_a_change_in_between_stops_everything(home: Path) -> None:
    file = existing(home)
    changes = plan([OTHER, FILE], home)
    file.write_text('{"newer": 1}')
    before = everything(home)
    with pytest.raises(MergeError, match="changed by another program"):
        apply(changes, now=NOW)
    assert everything(home) == before


def test_a_failure_half_way_takes_back_what_was_done(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = existing(home)
    changes = plan([FILE, OTHER], home)
    replace = os.replace

    def full(source: str, target: Path) -> None:
        if target == home / OTHER.path:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(MergeError, match=r"other\.toml could not be written: No space left.*as they were before"):
        apply(changes, now=NOW)
    assert first.read_text() == '{"mine": 1}\n'
    assert not (home / OTHER.path).exists()
    assert {name for name in everything(home) if not name.startswith(".tool/settings.json.bak-")} == {FILE.path}


def test_what_could_not_be_taken_back_is_told_with_its_backup(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    existing(home)
    changes = plan([FILE, OTHER], home)
    replace, count = os.replace, iter(range(9))

    def full(source: str, target: Path) -> None:
        if next(count):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(MergeError, match=r"settings\.json could not be put back: .* in .*\.bak-20260102-030405"):
        apply(changes, now=NOW)
    assert (home / (FILE.path + ".bak-20260102-030405")).read_text() == '{"mine": 1}\n'
    assert not [name for name in everything(home) if name.endswith(".new")]


def test_a_change_in_the_last_moment_is_not_lost(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = existing(home)
    chmod = os.chmod

    def change(path: Path | str, mode: int) -> None:
        chmod(path, mode)
        file.write_text('{"newer": 1}')

    changes = plan([FILE], home)
    monkeypatch.setattr(os, "chmod", change)
    with pytest.raises(MergeError, match="another program has just changed it"):
        apply(changes, now=NOW)
    assert file.read_text() == '{"newer": 1}'
    assert not [name for name in everything(home) if name.endswith(".new")]


def test_a_read_only_file_is_meant_to_be(home: Path) -> None:
    file = existing(home)
    file.chmod(0o444)
    with pytest.raises(MergeError, match="read-only"):
        plan([FILE], home)
    assert everything(home) == {FILE.path: b'{"mine": 1}\n'}


def test_half_a_character_stops_everything(home: Path) -> None:
    existing(home)
    with pytest.raises(MergeError, match="not UTF-8"):
        plan([ConfigFile(FILE.path, "json", {"model": "\ud800"})], home)


def test_the_old_file_is_there_until_the_new_one_is_whole(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = existing(home)
    seen: list[str] = []
    replace = os.replace

    def look(source: str, target: Path) -> None:
        seen.append(file.read_text())
        assert json.loads(Path(source).read_text())["env"] == {"KEY": "k"}
        assert mode(Path(source)) == mode(file)
        replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    apply(plan([FILE], home), now=NOW)
    assert seen == ['{"mine": 1}\n']


def test_a_huge_file_is_no_settings_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "_MAX_BYTES", 10)
    existing(home)
    with pytest.raises(MergeError, match="too large"):
        plan([FILE], home)


def test_undo_puts_back_what_was_there_and_keeps_what_was_until_now(home: Path) -> None:
    file = existing(home)
    apply(plan([FILE], home), now=NOW)
    written = file.read_text()
    (undone,) = take_back([FILE], home, now=NOW)
    assert file.read_text() == '{"mine": 1}\n'
    assert undone.backup is not None
    assert not undone.backup.exists()
    assert undone.kept is not None
    assert undone.kept.read_text() == written
    assert take_back([FILE], home, now=NOW)[0].backup is None
    assert file.read_text() == '{"mine": 1}\n'


def test_undo_goes_back_one_write_after_the_other(home: Path) -> None:
    file = existing(home)
    texts = [file.read_text()]
    for value in ("a", "b", "c"):
        apply(plan([ConfigFile(FILE.path, "json", {"env": {"KEY": value}})], home), now=NOW)
        texts.append(file.read_text())
    for text in reversed(texts[:-1]):
        take_back([FILE], home, now=NOW)
        assert file.read_text() == text


def test_undo_follows_a_link_and_keeps_it(home: Path) -> None:
    real = existing(home, path="dotfiles/settings.json")
    link = home / FILE.path
    link.parent.mkdir()
    link.symlink_to(real)
    apply(plan([FILE], home), now=NOW)
    take_back([FILE], home, now=NOW)
    assert link.is_symlink()
    assert real.read_text() == '{"mine": 1}\n'


def test_undo_removes_what_was_new_and_keeps_what_it_held(home: Path) -> None:
    apply(plan([FILE], home), now=NOW)
    written = (home / FILE.path).read_text()
    (undone,) = take_back([FILE], home, now=NOW)
    assert undone.removed
    assert undone.kept is not None
    assert undone.kept.read_text() == written
    assert list((home / FILE.path).parent.iterdir()) == [undone.kept]
    assert not take_back([FILE], home, now=NOW)[0].removed


def test_undo_goes_back_to_before_a_file_was_new_although_it_was_changed_since(home: Path) -> None:
    for value in ("a", "b"):
        apply(plan([ConfigFile(FILE.path, "json", {"env": {"KEY": value}})], home), now=NOW)
    take_back([FILE], home, now=NOW)
    assert '"a"' in (home / FILE.path).read_text()
    take_back([FILE], home, now=NOW)
    assert not (home / FILE.path).exists()


def test_undo_leaves_alone_what_was_never_written(home: Path) -> None:
    existing(home)
    before = everything(home)
    (undone,) = take_back([FILE], home, now=NOW)
    assert (undone.backup, undone.kept, undone.removed) == (None, None, False)
    assert everything(home) == before


def test_undo_brings_back_a_file_that_was_deleted(home: Path) -> None:
    file = existing(home)
    apply(plan([FILE], home), now=NOW)
    file.unlink()
    take_back([FILE], home, now=NOW)
    assert file.read_text() == '{"mine": 1}\n'
