"""Files that are whole or not there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from captum_gag.files import replace_file


def test_what_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    replace_file(path, lambda place: place.write_text("old"))

    def half(place: Path) -> None:
        place.write_text("ne")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        replace_file(path, half)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("run.json", "old")]


def test_two_that_write_the_same_file_at_once_do_not_mix(tmp_path: Path) -> None:
    """Processes on two machines that share a directory may have the same number."""
    path = tmp_path / "scores"

    def first(place: Path) -> None:
        with place.open("w") as file:
            file.write("a" * 10)
            file.flush()
            replace_file(path, lambda other: other.write_text("b" * 5))
            file.write("a" * 10)

    replace_file(path, first)
    assert path.read_text() == "a" * 20
    assert os.listdir(tmp_path) == ["scores"]


def test_the_content_is_on_the_disk_before_the_name_counts_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        events.append(("fsync", "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"))
        fsync(descriptor)

    def replaced(source: Path, target: Path) -> None:
        events.append(("rename", target.name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    replace_file(tmp_path / "it", lambda place: place.write_text("new"))
    assert events == [("fsync", "file"), ("rename", "it"), ("fsync", "directory")]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_whatever_writes_it_the_mode_is_that_of_any_new_file(tmp_path: Path, umask: int, mode: int) -> None:
    path = tmp_path / "maps.safetensors"

    def secretly(place: Path) -> None:
        place.unlink()
        place.touch(mode=0o600)

    before = os.umask(umask)
    try:
        replace_file(path, secretly)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_file_system_that_does_not_sync_directories_is_none_the_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def refused(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refused)
    replace_file(tmp_path / "it", lambda place: place.write_text("new"))
    assert (tmp_path / "it").read_text() == "new"
