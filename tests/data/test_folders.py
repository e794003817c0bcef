"""A folder is listed, its classes are known by files or by order, and its masks lie beside it."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import image, write_image

from captum_gag.data.catalogue import dataset
from captum_gag.errors import InputError


def listed(data):
    return [(example.name, example.target) for example in data]


def test_a_folder_per_class_with_masks(tmp_path):
    for name in ("b/2.png", "b/1.jpg", "a/9.png"):
        write_image(tmp_path / "data" / name)
    (tmp_path / "data" / "b" / "notes.txt").write_text("no image")
    write_image(tmp_path / "data-masks" / "b" / "1.png")
    examples = dataset(str(tmp_path / "data"))
    assert listed(examples) == [("a/9.png", 0), ("b/1.jpg", 1), ("b/2.png", 1)]
    assert [example.mask is not None for example in examples] == [False, True, False]
    assert set(np.unique(examples[1].mask())) <= {0, 255}


def test_masks_lie_where_they_are_said_to(tmp_path):
    write_image(tmp_path / "data" / "b" / "1.png")
    write_image(tmp_path / "elsewhere" / "b" / "1.png", seed=1)
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


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.csv", "index,wnid\n0,n1\n"),
        ("classes.csv", "class_index,wnid\nseven,n1\n"),
        ("imagenet_class_index.json", "no JSON"),
        ("imagenet_class_index.json", "[1, 2]"),
    ],
)
def test_a_broken_list_of_classes_is_one_line(tmp_path, file, text):
    write_image(tmp_path / "n1" / "a.png")
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=f"{file}: cannot be read as a list of classes: ") as caught:
        dataset(str(tmp_path))
    assert len(str(caught.value).splitlines()) == 1


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


def test_imagenet_s_decodes_its_16_bit_classes(tmp_path):
    for number in range(1, 302):
        (tmp_path / "validation" / f"n{number:08d}").mkdir(parents=True)
    write_image(tmp_path / "validation" / "n00000300" / "ILSVRC2012_val_00000001.JPEG", size=(4, 3))
    segmentation = np.zeros((3, 4, 3), np.uint8)
    segmentation[0, 0] = (300 % 256, 300 // 256, 0)  # the image's own class
    segmentation[0, 1] = (300 % 256, 0, 0)  # class 44: the same red
    segmentation[0, 2] = (1000 % 256, 1000 // 256, 0)  # ignored
    place = tmp_path / "validation-segmentation" / "n00000300"
    place.mkdir(parents=True)
    Image.fromarray(segmentation).save(place / "ILSVRC2012_val_00000001.png")
    data = dataset(f"imagenet-s:{tmp_path}")
    [example] = data
    assert data.files(0) == (
        tmp_path / "validation" / "n00000300" / "ILSVRC2012_val_00000001.JPEG",
        place / "ILSVRC2012_val_00000001.png",
    )
    assert (example.name, example.target) == ("n00000300/ILSVRC2012_val_00000001.JPEG", 299)
    mask = np.asarray(example.mask())
    assert mask[0, 0] == 255
    assert mask.sum() == 255


def test_training_images_are_those_named_or_beside(tmp_path):
    write_image(tmp_path / "validation" / "n1" / "a.png")
    (tmp_path / "validation-segmentation").mkdir()
    data = dataset(f"imagenet-s:{tmp_path}")
    with pytest.raises(InputError, match="has no training images; name a folder of them with the option training"):
        data.train()
    write_image(tmp_path / "train" / "n1" / "b.png")
    write_image(tmp_path / "other" / "c.png")
    assert data.train().names == ("n1/b.png",)
    named = dataset({"type": "imagenet-s", "root": str(tmp_path), "training": str(tmp_path / "other")})
    assert named.train().names == ("c.png",)
    assert named.absolute().spec() == named.spec()


def test_a_missing_segmentation_costs_its_image_alone(tmp_path):
    write_image(tmp_path / "validation" / "n1" / "a.png")
    (tmp_path / "validation-segmentation").mkdir()
    data = dataset(f"imagenet-s:{tmp_path}")
    assert data.files(0) == (tmp_path / "validation" / "n1" / "a.png",)
    assert data[0].photo().size == (14, 14)
    with pytest.raises(InputError, match=r"a\.png: cannot be read as a segmentation"):
        data[0].mask()
