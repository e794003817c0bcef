"""ImageNet-S: what a segmentation calls a class is said by the published list, whichever folders are here."""

import numpy as np
import pytest
from PIL import Image
from tiny import write_image

from captum_gag.data import dataset
from captum_gag.errors import InputError

# Third, 26th and last of ImageNet-S-50's published classes: hand-counted in the authors' list.
KNOWN = {"n01531178": 3, "n03095699": 26, "n12998815": 50}


def write(root, wnid, values, name="ILSVRC2012_val_00000001"):
    """Write a photograph of 4 x 3, and a segmentation whose first pixels have the values."""
    write_image(root / "validation" / wnid / f"{name}.JPEG", size=(4, 3))
    place = root / "validation-segmentation" / wnid
    place.mkdir(parents=True, exist_ok=True)
    numbers = np.zeros(12, int)
    numbers[: len(values)] = values
    pixels = np.stack([numbers % 256, numbers // 256, 0 * numbers], -1).reshape(3, 4, 3).astype(np.uint8)
    Image.fromarray(pixels).save(place / f"{name}.png")
    return root


@pytest.fixture(params=["the directory's name", "an option", "the authors' list", "all folders"])
def fifty(request, tmp_path):
    """Return the spec of an ImageNet-S-50 with three of its folders, and each way to know that it is one."""
    root = tmp_path / ("ImageNetS50" if request.param == "the directory's name" else "data")
    for wnid, number in KNOWN.items():
        write(root, wnid, [number, number, 1, 1000])
    lines = (dataset({"type": "imagenet-s", "root": str(root), "classes": 50})).numbers
    if request.param == "the authors' list":
        # Theirs was once not sorted; a number is the place in the sorted list.
        (root / "ImageNetS_categories_im50.txt").write_text("\n".join(reversed(lines)))
    if request.param == "all folders":
        for wnid in lines:
            (root / "validation" / wnid).mkdir(exist_ok=True)
    return {"type": "imagenet-s", "root": str(root)} | ({"classes": 50} if request.param == "an option" else {})


def test_with_some_of_the_folders_the_numbers_are_the_published_ones(fifty):
    data = dataset(fifty)
    assert [example.target for example in data] == [number - 1 for number in KNOWN.values()]
    assert [np.asarray(example.mask()).reshape(-1)[:4].tolist() for example in data] == 3 * [[255, 255, 0, 0]]
    assert data.numbered_by_order == 50


def test_a_class_file_says_the_model_s_class_and_the_list_the_mask_s(tmp_path):
    write(tmp_path, "n01531178", [3, 1])
    (tmp_path / "classes.csv").write_text("class_index,wnid\n11,n01531178\n")
    data = dataset({"type": "imagenet-s", "root": str(tmp_path), "classes": 50})
    assert (data[0].target, data.numbered_by_order) == (11, None)
    assert (np.asarray(data[0].mask()) > 0).sum() == 1
    assert data.listings() == (tmp_path / "classes.csv",)


@pytest.mark.parametrize(("size", "last"), [(50, "n12998815"), (300, "n13054560"), (919, "n15075141")])
def test_published_lists(tmp_path, size, last):
    write(tmp_path, last, [size, 1])
    data = dataset({"type": "imagenet-s", "root": str(tmp_path), "classes": size})
    assert list(data.numbers) == sorted(data.numbers)
    assert (len(data.numbers), data.numbers[last], list(data.numbers.values())[-1]) == (size, size, size)
    assert (np.asarray(data[0].mask()) > 0).sum() == 1


def test_a_class_that_only_the_largest_has_says_that_it_is_that(tmp_path):
    root = write(write(tmp_path, "n15075141", [919, 1]), "n01531178", [1])
    data = dataset(f"imagenet-s:{root}")
    assert len(data.numbers) == 919
    assert (np.asarray(data[1].mask()) > 0).sum() == 1


def test_classes_above_255_take_the_second_byte(tmp_path):
    data = dataset({"type": "imagenet-s", "root": str(write(tmp_path, "n01440764", [1, 257, 300])), "classes": 300})
    assert np.asarray(data[0].mask()).reshape(-1)[:3].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("options", "wnid", "message"),
    [
        ({}, "n01531178", "which ImageNet-S has these 1 classes, and which numbers have they"),
        ({"classes": 50}, "n01440764", "the folder n01440764 is no class of ImageNet-S-50"),
        ({}, "n99999999", "which ImageNet-S has these 1 classes"),
        ({"classes": 60}, "n01531178", "classes is 60, expected 50, 300 or 919"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path, options, wnid, message):
    write(tmp_path, wnid, [3])
    with pytest.raises(InputError, match=message):
        dataset({"type": "imagenet-s", "root": str(tmp_path), **options})


def test_a_segmentation_of_another_kind_is_refused(tmp_path):
    write(tmp_path, "n01531178", [3, 700])
    data = dataset({"type": "imagenet-s", "root": str(tmp_path), "classes": 50})
    with pytest.raises(InputError, match="holds the class 700; expected 1 to 50, 0 or 1000"):
        data[0].mask()
    Image.new("L", (4, 3), 3).save(data.files(0)[1])
    with pytest.raises(InputError, match="has pixels of mode L; a segmentation of ImageNet-S is RGB"):
        data[0].mask()
    Image.new("RGB", (3, 4), (3, 0, 0)).save(data.files(0)[1])
    with pytest.raises(InputError, match="the segmentation is 3 x 4, its photograph 4 x 3"):
        data[0].mask()


def test_training_images_are_those_named_or_beside(tmp_path):
    root = write(tmp_path / "ImageNetS50", "n01531178", [3])
    data = dataset(f"imagenet-s:{root}")
    with pytest.raises(InputError, match="has no training images; name a folder of them with the option training"):
        data.train()
    write_image(root / "train" / "n01531178" / "b.png")
    write_image(tmp_path / "other" / "c.png")
    assert data.train().names == ("n01531178/b.png",)
    named = dataset({"type": "imagenet-s", "root": str(root), "training": str(tmp_path / "other")})
    assert named.train().names == ("c.png",)
    assert named.absolute().spec() == named.spec()


def test_a_missing_segmentation_costs_its_image_alone(tmp_path):
    root = write(tmp_path / "ImageNetS50", "n01531178", [3])
    (root / "validation-segmentation" / "n01531178" / "ILSVRC2012_val_00000001.png").unlink()
    data = dataset(f"imagenet-s:{root}")
    assert len(data.files(0)) == 1
    assert data[0].photo().size == (4, 3)
    with pytest.raises(InputError, match=r"00000001\.png: cannot be read as a segmentation"):
        data[0].mask()
