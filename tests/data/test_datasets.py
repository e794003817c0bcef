"""Every layout is read from a small copy of the real one; a wrong one is answered with the tree that was expected."""

import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image
from tiny import image

from captum_gag.data.cifar10 import CLASSES, read_cifar10
from captum_gag.data.datasets import absolute, load_dataset
from captum_gag.errors import InputError


def write(path, seed=0, size=(14, 14)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image(seed, size).save(path)
    return path


def names(examples):
    return [(example.name, example.target) for example in examples]


def test_demo_photographs():
    examples = load_dataset("demo")
    assert len(examples) == 5
    assert all(example.photo().mode == "RGB" and example.target is None for example in examples)


def test_a_folder_per_class_with_masks(tmp_path):
    for name in ("b/2.png", "b/1.jpg", "a/9.png"):
        write(tmp_path / "data" / name)
    (tmp_path / "data" / "b" / "notes.txt").write_text("no image")
    write(tmp_path / "data-masks" / "b" / "1.png")
    examples = load_dataset(str(tmp_path / "data"))
    assert names(examples) == [("a/9.png", 0), ("b/1.jpg", 1), ("b/2.png", 1)]
    assert [example.mask is not None for example in examples] == [False, True, False]
    assert set(np.unique(examples[1].mask())) <= {0, 255}


def test_images_without_classes(tmp_path):
    write(tmp_path / "x.png")
    assert names(load_dataset(str(tmp_path))) == [("x.png", None)]


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
    write(tmp_path / "data" / "n1" / "a.png")
    (tmp_path / ("" if above else "data") / file).write_text(text)
    assert names(load_dataset(str(tmp_path / "data"))) == [("n1/a.png", 7)]
    write(tmp_path / "data" / "n5" / "a.png")
    with pytest.raises(InputError, match="does not list the folder 'n5'"):
        load_dataset(str(tmp_path / "data"))


def test_imagenet_s_decodes_its_16_bit_classes(tmp_path):
    for number in range(1, 302):
        (tmp_path / "validation" / f"n{number:08d}").mkdir(parents=True)
    write(tmp_path / "validation" / "n00000300" / "ILSVRC2012_val_00000001.JPEG", size=(4, 3))
    segmentation = np.zeros((3, 4, 3), np.uint8)
    segmentation[0, 0] = (300 % 256, 300 // 256, 0)  # the image's own class
    segmentation[0, 1] = (300 % 256, 0, 0)  # class 44: the same red
    segmentation[0, 2] = (1000 % 256, 1000 // 256, 0)  # ignored
    place = tmp_path / "validation-segmentation" / "n00000300"
    place.mkdir(parents=True)
    Image.fromarray(segmentation).save(place / "ILSVRC2012_val_00000001.png")
    [example] = load_dataset(f"imagenet-s:{tmp_path}")
    assert (example.name, example.target) == ("n00000300/ILSVRC2012_val_00000001.JPEG", 299)
    mask = np.asarray(example.mask())
    assert mask[0, 0] == 255
    assert mask.sum() == 255


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("image_name,target\nISIC_1,2\nISIC_2,0\n", [2, 0]),
        ("isic_id,diagnosis\nISIC_1,nevus\nISIC_2,melanoma\n", [1, 0]),
        ("image,MEL,NV,BCC\nISIC_1,0.0,1.0,0.0\nISIC_2,0.0,0.0,1.0\n", [1, 2]),
    ],
)
def test_isic_by_each_form_of_its_table(tmp_path, text, targets):
    for number in (1, 2):
        write(tmp_path / "images" / f"ISIC_{number}.jpg")
    write(tmp_path / "masks" / "ISIC_2_segmentation.png")
    (tmp_path / "train.csv").write_text(text)
    examples = load_dataset(f"isic:{tmp_path}")
    assert names(examples) == [("ISIC_1", targets[0]), ("ISIC_2", targets[1])]
    assert [example.mask is not None for example in examples] == [False, True]
    assert examples[0].photo().size == (14, 14)


def test_a_name_that_comes_twice_is_refused_before_its_scores_mix(tmp_path):
    write(tmp_path / "images" / "ISIC_1.jpg")
    (tmp_path / "train.csv").write_text("image_name,target\nISIC_1,0\nISIC_1,1\n")
    with pytest.raises(InputError, match="ISIC_1 comes 2 times"):
        load_dataset(f"isic:{tmp_path}")


def test_places365(tmp_path):
    write(tmp_path / "val_256" / "Places365_val_00000001.jpg")
    (tmp_path / "places365_val.txt").write_text("Places365_val_00000001.jpg 165\n")
    [example] = load_dataset(f"places365:{tmp_path}")
    assert (example.name, example.target, example.photo().size) == ("Places365_val_00000001.jpg", 165, (14, 14))


def cifar_folders(root):
    for target, label in enumerate(CLASSES):
        for number in range(2):
            write(root / "test" / label / f"{number:04d}.png", seed=10 * target + number, size=(32, 32))


@pytest.mark.parametrize("zipped", ["no", "split", "whole"])
def test_cifar10_in_folders_or_zipped(tmp_path, zipped):
    cifar_folders(tmp_path)
    root = tmp_path
    if zipped != "no":
        root = tmp_path / "zips"
        root.mkdir()
        with zipfile.ZipFile(root / "test.zip", "w") as archive:
            for file in sorted((tmp_path / "test").rglob("*.png")):
                archive.write(file, file.relative_to(tmp_path).as_posix())
        root = root / "test.zip" if zipped == "whole" else root
    examples = load_dataset(f"cifar10:{root}")
    # Every class in turn, so that a limit takes some of each.
    assert names(examples)[:11] == [
        *((f"{label}/0000.png", k) for k, label in enumerate(CLASSES)),
        ("airplane/0001.png", 0),
    ]
    assert np.array_equal(pickle.loads(pickle.dumps(examples[3])).photo(), image(30, (32, 32)))
    images, targets = read_cifar10(root, "test")
    assert targets.tolist() == sorted([*range(10)] * 2)
    assert np.array_equal(images[1].permute(1, 2, 0), image(1, (32, 32)))


def test_cifar10_as_torchvision_keeps_it(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3072), dtype=np.uint8)
    (folder / "test_batch").write_bytes(pickle.dumps({"data": pixels, "labels": [3, 1, 9]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CLASSES)}))
    # Only the check sums know that this is not the real data.
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    examples = load_dataset(f"cifar10:{tmp_path}")
    assert [example.target for example in examples] == [3, 1, 9]
    assert np.array_equal(np.asarray(examples[0].photo()).transpose(2, 0, 1), pixels[0].reshape(3, 32, 32))


def test_a_torch_dataset():
    examples = load_dataset("tiny:photos")
    assert [example.target for example in examples] == [0, 1, 2] * 2
    assert examples[1].photo().size == (14, 14)
    assert np.asarray(examples[0].mask()).mean() == 127.5


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere", "nowhere: no such folder; expected demo, a folder, imagenet-s:DIR"),
        ("tiny:nothing", "data set 'tiny:nothing' cannot be imported"),
        ("imagenet-s:{0}", r"validation-segmentation/n01440764/\*\.png"),
        ("isic:{0}", "images/ISIC_0000000.jpg"),
        ("places365:{0}", "places365_val.txt"),
        ("cifar10:{0}", "cifar-10-batches-py/"),
        ("{0}", r"class-a/\*\.jpg"),
    ],
)
def test_a_wrong_layout_is_answered_with_the_tree(tmp_path, spec, message):
    with pytest.raises(InputError, match=message):
        load_dataset(spec.format(tmp_path))


def test_a_data_set_is_found_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data" / "a" / "1.png")
    assert absolute("data") == str(tmp_path / "data")
    assert absolute("isic:data") == f"isic:{tmp_path / 'data'}"
    assert [absolute(spec) for spec in ("demo", "tiny:photos", "nowhere")] == ["demo", "tiny:photos", "nowhere"]


def test_a_cifar10_image_of_another_size_is_named(tmp_path):
    cifar_folders(tmp_path)
    write(tmp_path / "test" / "cat" / "0001.png", size=(30, 32))
    with pytest.raises(InputError, match=r"cat/0001\.png: is 30 x 32; a CIFAR-10 image is 32 x 32"):
        read_cifar10(tmp_path, "test")
