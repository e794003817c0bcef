"""Names on a command line stand for image files; classes have the names that a file gives them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from captum_gag.data.class_names import class_names
from captum_gag.data.gathering import gathered
from captum_gag.data.images import image_size, read_image
from captum_gag.errors import InputError
from captum_gag.report.table_files import save_image


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.jpg", "d/c.png", "d/e/f.JPG", "d/notes.txt", "d/.hidden.png", "[x].png", "nothing/t.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["b.png", "a.jpg"], ["b.png", "a.jpg"]),
        (["d"], ["d/c.png", "d/e/f.JPG"]),
        (["*.png"], ["[x].png", "b.png"]),
        (["**/*.png", "a.jpg"], ["[x].png", "b.png", "d/c.png", "a.jpg"]),
        (["d/**"], ["d/c.png", "d/e/f.JPG", "d/notes.txt"]),
        (["d/.h*.png"], ["d/.hidden.png"]),
        (["[x].png"], ["[x].png"]),
        (["missing.png"], ["missing.png"]),
        (["a.jpg", "-"], ["a.jpg", "b.png", "d/c.png", "d/e/f.JPG", "two words.png"]),
    ],
)
def test_files_folders_patterns_and_standard_input(place: Path, names: list[str], expected: list[str]) -> None:
    assert [path.as_posix() for path in gathered(names, ["b.png\n", "\n", "d\r\n", "-\n", "two words.png"])] == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [(["nothing"], "nothing: holds no image"), (["z*.png"], "no file is called so"), (["-"], "standard input")],
)
def test_what_stands_for_nothing_is_refused(place: Path, names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        gathered(names, [])


@pytest.mark.parametrize("name", [".", "**/*.png", f"{{absolute}}{os.sep}**{os.sep}*.png"])
def test_each_image_once_however_folders_are_linked_and_none_that_was_drawn(place: Path, name: str) -> None:
    for link in ("d/again", "d/e/above"):
        Path(link).symlink_to("." if link == "d/again" else "../..")
    asked = name.format(absolute=place)
    before = gathered([asked], [])
    assert len(before) == {".": 5}.get(name, 3)
    save_image(Image.new("RGB", (3, 3)), place / "d" / "drawn.png")
    with pytest.warns(UserWarning, match=f"1 of {len(before) + 1} images were drawn by captum-gag, and are left out"):
        assert gathered([asked], []) == before
    assert gathered(["d/drawn.png"], []) == [Path("d/drawn.png")]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_of_a_file_is_that_of_the_upright_image(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (30, 20)).save(tmp_path / "it.jpg", exif=exif)
    assert image_size(tmp_path / "it.jpg") == read_image(tmp_path / "it.jpg").size
    assert image_size(tmp_path / "none.jpg") is None


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("names.txt", "cat\n\nblack dog\n", ["cat", "black dog"]),
        (
            "LOC_synset_mapping.txt",
            "n01440764 tench, Tinca tinca\nn01443537 goldfish",
            ["tench, Tinca tinca", "goldfish"],
        ),
        ("classes.csv", "name;class_index\ndog;2\ncat;0\n", ["cat", "class 1", "dog"]),
        ("classes.csv", "wnid,class_index\nn1,0\n", ["n1"]),
        ("list.json", json.dumps(["cat", "dog"]), ["cat", "dog"]),
        ("imagenet_class_index.json", json.dumps({"1": ["n2", "dog"], "0": ["n1", "cat"]}), ["cat", "dog"]),
        ("by_number.json", json.dumps({"0": "cat"}), ["cat"]),
    ],
)
def test_names_of_classes(tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
    (tmp_path / name).write_text(text)
    assert class_names(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("names.txt", ""), ("names.csv", "a,b\n1,2"), ("names.csv", "class_index,name\n0,a\n0,b")),
        *(
            ("names.csv", "class_index,name\n-1,a"),
            ("names.json", "3"),
            ("names.json", "{"),
            ("names.json", '{"a": "b"}'),
        ),
        ("names.csv", "class_index,name\n999999999999,a"),
    ],
)
def test_what_names_no_classes_is_one_line(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=name):
        class_names(tmp_path / name)
