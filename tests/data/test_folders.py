"""A folder is listed, its classes are known by files or by order, and its masks lie beside it."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import image, write_image

from captum_gag.data import dataset
from captum_gag.data.class_names import class_names
from captum_gag.errors import InputError


def write_mask(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.repeat(np.uint8([[0, 255]]), 7, 1).repeat(14, 0)).save(path)


def listed(data):
    return [(example.name, example.target) for example in data]


def test_a_folder_per_class_with_masks(tmp_path):
    for name in ("b/2.png", "b/1.jpg", "a/9.png"):
        write_image(tmp_path / "data" / name)
    (tmp_path / "data" / "b" / "notes.txt").write_text("no image")
    write_mask(tmp_path / "data-masks" / "b" / "1.png")
    examples = dataset(str(tmp_path / "data"))
    assert listed(examples) == [("a/9.png", 0), ("b/1.jpg", 1), ("b/2.png", 1)]
    assert [example.mask is not None for example in examples] == [False, True, False]
    assert set(np.unique(examples[1].mask())) <= {0, 255}


def test_masks_lie_where_they_are_said_to(tmp_path):
    write_image(tmp_path / "data" / "b" / "1.png")
    write_mask(tmp_path / "elsewhere" / "b" / "1.png")
    data = dataset({"type": "folder", "root": tmp_path / "data", "masks": tmp_path / "elsewhere"})
    assert data[0].mask().mode == "L"
    assert data.files(0) == (tmp_path / "data" / "b" / "1.png", tmp_path / "elsewhere" / "b" / "1.png")


def test_images_without_classes(tmp_path):
    write_image(tmp_path / "x.png")
    assert listed(dataset(str(tmp_path))) == [("x.png", None)]


def test_the_working_directory_is_a_folder_too(tmp_path, monkeypatch):
    write_image(tmp_path / "data" / "n1" / "a.png")
    write_image(tmp_path / "data-masks" / "n1" / "a.png")
    (tmp_path / "classes.csv").write_text("class_index,wnid\n7,n1\n")
    monkeypatch.chdir(tmp_path / "data")
    [example] = dataset(".")
    assert (example.name, example.target) == ("n1/a.png", 7)
    assert example.mask is not None


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.csv", "class_index,wnid,name\n0,n9,zero\n7,n1,seven\n"),
        ("imagenet_class_index.json", '{"0": ["n9", "zero"], "7": ["n1", "seven"]}'),
        ("LOC_synset_mapping.txt", "n9 zero\n" + "".join(f"x{k} other\n" for k in range(6)) + "n1 seven\n"),
    ],
)
@pytest.mark.parametrize("above", [False, True])
def test_a_list_of_classes_says_which_a_folder_is(tmp_path, file, text, above):
    write_image(tmp_path / "data" / "n1" / "a.png")
    (tmp_path / ("" if above else "data") / file).write_text(text)
    assert listed(dataset(str(tmp_path / "data"))) == [("n1/a.png", 7)]
    write_image(tmp_path / "data" / "n5" / "a.png")
    with pytest.raises(InputError, match="does not list the folder 'n5'"):
        dataset(str(tmp_path / "data"))


def test_the_file_that_decides_classes_is_listed(tmp_path):
    write_image(tmp_path / "data" / "n1" / "a.png")
    assert dataset(str(tmp_path / "data")).listings() == ()
    (tmp_path / "classes.csv").write_text("class_index,wnid\n7,n1\n")
    assert dataset(str(tmp_path / "data")).listings() == (tmp_path / "classes.csv",)
    (tmp_path / "data" / "LOC_synset_mapping.txt").write_text("n1 seven\n")
    data = dataset(str(tmp_path / "data"))
    assert data.listings() == (tmp_path / "data" / "LOC_synset_mapping.txt",)
    assert data[0].target == 0


def test_names_that_are_not_utf_8_are_shown_escaped_and_open_all_the_same(tmp_path):
    folder = os.fsencode(tmp_path) + b"/data/caf\xe9"
    os.makedirs(folder)
    for name, content in ((b"a\xff.png", image(3)), (b"b\xff.png", None)):
        if content:
            content.save(os.fsdecode(folder + b"/" + name))
        else:
            Path(os.fsdecode(folder + b"/" + name)).write_bytes(b"no image")
    (tmp_path / "data" / "classes.csv").write_bytes(b"class_index,name\n5,caf\xe9\n")
    data = dataset(str(tmp_path / "data"))
    assert data.names == (r"caf\xe9/a\xff.png", r"caf\xe9/b\xff.png")
    assert data[0].target == 5
    assert np.array_equal(data[0].photo(), image(3))
    with pytest.raises(InputError, match=r"caf\\xe9/b\\xff\.png: not an image") as caught:
        data[1].photo()
    str(caught.value).encode()  # can be printed and stored


@pytest.mark.parametrize(
    "junk",
    [
        *(".ipynb_checkpoints/a-checkpoint.png", "__MACOSX/a/._1.png", "__MACOSX/x.png", ".DS_Store", "Thumbs.db"),
        *("a/.ipynb_checkpoints/1-checkpoint.png", "a/._1.png", "a/.DS_Store", "a/Thumbs.db", "desktop.ini"),
        *("@eaDir/1.png", "._cover.png"),
    ],
)
def test_what_programs_leave_is_no_class_and_no_image(tmp_path, junk):
    for name in ("a/1.png", "b/2.png", junk):
        write_image(tmp_path / name) if name.endswith("png") else (tmp_path / name).write_bytes(b"")
    data = dataset(str(tmp_path))
    assert listed(data) == [("a/1.png", 0), ("b/2.png", 1)]
    assert data.numbered_by_order == 2


def test_a_folder_without_images_is_no_class_and_is_named(tmp_path):
    for name in ("b/1.png", "c/2.png"):
        write_image(tmp_path / name)
    (tmp_path / "a").mkdir()
    with pytest.warns(UserWarning, match=r"folders without images are no classes here \(a\); .* by a classes\.csv"):
        data = dataset(str(tmp_path))
    assert listed(data) == [("b/1.png", 0), ("c/2.png", 1)]
    assert data.numbered_by_order == 2
    (tmp_path / "classes.csv").write_text("class_index,name\n0,a\n1,b\n2,c\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = dataset(str(tmp_path))
        assert listed(data) == [("b/1.png", 1), ("c/2.png", 2)]
    assert data.numbered_by_order is None


def test_photographs_beside_folders_of_photographs_are_refused(tmp_path):
    for name in ("1.png", "masks/1.png"):
        write_image(tmp_path / name)
    with pytest.raises(InputError, match=r"holds images, such as 1\.png, and folders of images, such as masks"):
        dataset(str(tmp_path))


def test_numbers_are_ordered_as_numbers(tmp_path):
    for number in range(12):
        write_image(tmp_path / str(number) / "1.png", size=(2, 2))
    with pytest.warns(UserWarning, match=r"its folders are numbers and are counted as such, 2 before 10"):
        data = dataset(str(tmp_path))
    assert {example.name: example.target for example in data} == {f"{k}/1.png": k for k in range(12)}


@pytest.mark.parametrize("names", [["00", "01", "10"], ["0", "1", "2"], ["1", "b", "10"]])
def test_where_text_and_numbers_agree_nothing_is_said(tmp_path, names):
    for name in names:
        write_image(tmp_path / name / "1.png", size=(2, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [example.target for example in dataset(str(tmp_path))] == [0, 1, 2]


def test_who_knows_the_model_is_told_how_many_classes_were_numbered(tmp_path):
    write_image(tmp_path / "n01440764" / "1.png")
    write_image(tmp_path / "n01443537" / "1.png")
    data = dataset(str(tmp_path))
    assert (data[1].target, data.numbered_by_order) == (1, 2)
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01440764 tench\nn01443537 goldfish\n")
    assert dataset(str(tmp_path)).numbered_by_order is None
    write_image(tmp_path / "photos" / "1.png")
    assert dataset(str(tmp_path / "photos")).numbered_by_order is None


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.csv", "\ufeffclass_index,wnid\n7,n1\n"),
        ("classes.csv", "class_index;wnid;name\n7;n1;seven\n\n"),
        ("classes.csv", "wnid\tclass_index\r\nn1\t7\r\n"),
        ("classes.csv", 'class_index,name\n"7.0"," n1"\n'),
        ("imagenet_class_index.json", '\ufeff{"7": ["n1", "seven"]}'),
        ("LOC_synset_mapping.txt", "\ufeff" + "".join(f"x{k} a\n\n" for k in range(7)) + "n1 seven, 7\n"),
    ],
)
def test_lists_of_classes_as_other_programs_write_them(tmp_path, file, text):
    write_image(tmp_path / "n1" / "a.png")
    (tmp_path / file).write_text(text, encoding="utf-8", newline="")
    assert listed(dataset(str(tmp_path))) == [("n1/a.png", 7)]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("classes.csv", "index,wnid\n0,n1\n", "has the columns index, wnid; expected class_index and wnid or name"),
        ("classes.csv", "class_index,synset\n0,n1\n", "has the columns class_index, synset"),
        ("classes.csv", "", "has the columns ; expected"),
        ("classes.csv", "class_index,wnid\n0,n1\n0,n2\n", "'n1' and 'n2' both are of class 0; expected one each"),
        ("classes.csv", "class_index,wnid\n0,n1\n1,n1\n", "'n1' is of class 0 and of class 1; expected one"),
        ("classes.csv", "class_index,wnid\n-1,n1\n", "'n1' has the class '-1'; expected a name and a number"),
        ("classes.csv", "class_index,wnid\n1.5,n1\n", "'n1' has the class '1.5'"),
        ("classes.csv", "class_index,wnid\n,n1\n", "'n1' has the class ''"),
        ("classes.csv", "class_index,wnid\nseven,n1\n", "'n1' has the class 'seven'"),
        ("classes.csv", "class_index,wnid\n0,n1,fish, tench\n", "the row '0' has 4 cells, the header 2"),
        ("classes.csv", "class_index,wnid,wnid\n0,n1,n2\n", "has two columns 'wnid'"),
        ("imagenet_class_index.json", '{"0": "n1"}', r'expected \{"0": \["n01440764", "tench"\]'),
        ("imagenet_class_index.json", '{"n1": 0}', "expected"),
        ("imagenet_class_index.json", '{"0": ["n1"], "0": ["n2"]}', "'n1' and 'n2' both are of class 0"),
        ("imagenet_class_index.json", '{"0": ["n1"]', "Expecting"),
        ("imagenet_class_index.json", "", "Expecting value"),
        ("imagenet_class_index.json", "[1, 2]", "expected"),
        ("LOC_synset_mapping.txt", "n1 one\nn1 again\n", "'n1' is of class 0 and of class 1"),
    ],
)
def test_lists_of_classes_that_say_nothing_or_two_things_are_refused(tmp_path, file, text, message):
    write_image(tmp_path / "n1" / "a.png")
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=f"{file}: cannot be read as a list of classes: {message}"):
        dataset(str(tmp_path))


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_of_masks_without_any_is_refused(tmp_path, there):
    write_image(tmp_path / "data" / "b" / "1.jpg")
    if there:
        write_mask(tmp_path / "masks" / "b" / "1_mask.png")
    with pytest.raises(InputError, match=r"masks: holds no segmentation; expected files .* such as b/1\.png"):
        dataset({"type": "folder", "root": tmp_path / "data", "masks": tmp_path / "masks"})


@pytest.mark.parametrize("name", ["1_mask.png", "1_Segmentation.png"])
def test_masks_among_the_photographs_are_no_photographs(tmp_path, name):
    write_image(tmp_path / "photos" / "b" / "1.png")
    write_image(tmp_path / "photos" / "b" / "another_mask.png")
    assert len(dataset(str(tmp_path / "photos"))) == 2
    write_mask(tmp_path / "photos" / "b" / name)
    with pytest.raises(
        InputError, match=f"{name}: is named as the segmentation of .* move segmentations to photos-masks"
    ):
        dataset(str(tmp_path / "photos"))


def test_a_table_of_class_names_ends_below_a_million(tmp_path: Path) -> None:
    table = tmp_path / "names.csv"
    for last, count in ((999_999, 1_000_000), (1_000_000, None)):
        table.write_text(f"class_index,name\n0,cat\n{last},dog\n", encoding="utf-8")
        if count is None:
            with pytest.raises(InputError, match="expected numbers from 0 to 999999, or lines"):
                class_names(table)
        else:
            names = class_names(table)
            assert (len(names), names[0], names[1], names[-1]) == (count, "cat", "class 1", "dog")


def test_further_pages_of_a_tiff_are_listed_as_left_out(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (24, 16), (level, 0, 0)) for level in (10, 20))
    first.save(tmp_path / "stack.tif", save_all=True, append_images=[second])
    first.save(tmp_path / "one.TIFF")
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    (tmp_path / "list.csv").write_text("file_name\nstack.tif\none.TIFF\n")
    for data in (
        dataset(str(tmp_path)),
        dataset({"type": "csv", "root": str(tmp_path / "list.csv"), "label_column": None}),
    ):
        assert ("stack.tif", "all but the first of 2 pages") in data.left_out()
        assert not {"one.TIFF", "broken.tif"} & {name for name, _ in data.left_out()}
        assert data[data.index["stack.tif"]].photo().getpixel((0, 0)) == (10, 0, 0)
