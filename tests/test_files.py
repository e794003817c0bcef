"""Files that are whole or not there, and read only where reading ends, in their encoding."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from captum_gag.data.class_names import class_names
from captum_gag.data.images import image_size, read_image
from captum_gag.data.masks import read_mask
from captum_gag.errors import InputError
from captum_gag.files import csv_rows, read_text, replace_file
from captum_gag.models.weights import read_state
from captum_gag.reliability import read_scores
from captum_gag.runs.suite_file import read_suite


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


@pytest.mark.parametrize(("owner", "name", "number"), [(os, "fsync", 22), (Path, "chmod", 1), (os, "fsync", 28)])
def test_a_file_system_without_syncing_or_modes_is_none_the_worse_and_a_full_one_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, number: int
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(owner, name, refused)
    with pytest.raises(OSError, match="No space") if number == 28 else nullcontext():
        replace_file(tmp_path / "it", lambda place: place.write_text("new"))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["new"] * (number != 28)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
def test_what_is_no_file_is_not_replaced_and_a_link_is_written_through(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "to fifo").symlink_to("fifo")
    for name in ("fifo", "to fifo", "."):
        with pytest.raises(OSError, match="Not a regular file"):
            replace_file(tmp_path / name, lambda place: place.write_text("new"))
    assert sorted(os.listdir(tmp_path)) == ["fifo", "to fifo"]
    assert (tmp_path / "fifo").is_fifo()
    (tmp_path / "link").symlink_to("file")
    for text in ("old", "new"):
        replace_file(tmp_path / "link", lambda place, text=text: place.write_text(text))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_a_name_as_long_as_may_be_is_written(tmp_path: Path) -> None:
    replace_file(tmp_path / ("写" * 85), lambda place: place.write_text("new"))
    assert (tmp_path / ("写" * 85)).read_text() == "new"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_is_read_by_its_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "it.csv"
    path.write_text('image\tlabel\na\t"Prüfung\n2"\n', encoding=encoding)
    assert csv_rows(path) == [["image", "label"], ["a", "Prüfung\n2"]]
    path.write_text('title = "Prüfung"\nmethods = ["SG"]\nmetrics = ["RCAP"]\n', encoding=encoding)
    assert read_suite(str(path))["title"] == "Prüfung"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_first_line_says_what_separates_cells(tmp_path: Path, end: str) -> None:
    (tmp_path / "it.csv").write_bytes(f"a;b{end}1,5;2,5,5{end}".encode())
    assert csv_rows(tmp_path / "it.csv") == [["a", "b"], ["1,5", "2,5,5"]]


def test_a_text_of_another_encoding_is_refused_instead_of_changed(tmp_path: Path) -> None:
    (tmp_path / "it.toml").write_text('title = "Prüfung"', encoding="latin-1")
    with pytest.raises(InputError, match="cannot be read as TOML: 'utf-8' codec can't decode"):
        read_suite(str(tmp_path / "it.toml"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
@pytest.mark.parametrize(
    "read", [read_text, csv_rows, read_image, read_mask, read_state, class_names, image_size, read_scores]
)
def test_what_may_never_end_is_not_read(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    for path in (tmp_path / "fifo.png", tmp_path / "device.png", *[tmp_path] * (read is not read_scores)):
        if read is image_size:
            assert read(path) is None
            continue
        with pytest.raises((OSError, InputError), match="Not a regular file"):
            read(path)
