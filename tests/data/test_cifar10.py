"""CIFAR-10 is read from each of its layouts, and of them only what is asked for."""

import pickle
import zipfile

import numpy as np
import pytest
from tiny import image, write_image

from captum_gag.data import dataset
from captum_gag.data.cifar10 import CLASSES, read_cifar10
from captum_gag.errors import InputError


def listed(data):
    return [(example.name, example.target) for example in data]


def cifar_folders(root):
    for target, label in enumerate(CLASSES):
        for number in range(2):
            write_image(root / "test" / label / f"{number:04d}.png", seed=10 * target + number, size=(32, 32))


def archive_of(root):
    return root if root.is_file() else root / "test.zip"


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
    examples = dataset(f"cifar10:{root}")
    # Every class in turn, so that a limit takes some of each.
    assert listed(examples)[:11] == [
        *((f"{label}/0000.png", k) for k, label in enumerate(CLASSES)),
        ("airplane/0001.png", 0),
    ]
    again = pickle.loads(pickle.dumps(examples))
    assert np.array_equal(again[3].photo(), image(30, (32, 32)))
    assert again.files(3) == ((root / "test" / "cat" / "0000.png",) if zipped == "no" else (archive_of(root),))
    assert examples.listings() == ()
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
    examples = dataset(f"cifar10:{tmp_path}")
    assert listed(examples) == [("00000", 3), ("00001", 1), ("00002", 9)]
    assert examples.files(1) == (folder / "test_batch",)
    assert len(pickle.dumps(examples)) < 1000
    assert np.array_equal(np.asarray(examples[0].photo()).transpose(2, 0, 1), pixels[0].reshape(3, 32, 32))


def test_a_cifar10_image_of_another_size_is_named(tmp_path):
    cifar_folders(tmp_path)
    write_image(tmp_path / "test" / "cat" / "0001.png", size=(30, 32))
    with pytest.raises(InputError, match=r"cat/0001\.png: is 30 x 32; a CIFAR-10 image is 32 x 32"):
        read_cifar10(tmp_path, "test")


def test_the_training_split_is_the_other_one(tmp_path):
    cifar_folders(tmp_path)
    write_image(tmp_path / "train" / "dog" / "7.png", size=(32, 32))
    train = dataset(f"cifar10:{tmp_path}").train()
    assert listed(train) == [("dog/7.png", 5)]
    assert listed(dataset({"type": "cifar10", "root": str(tmp_path), "split": "train"})) == listed(train)
    assert train.spec() == {"type": "cifar10", "root": str(tmp_path), "split": "train"}


def test_a_broken_file_costs_itself(tmp_path):
    cifar_folders(tmp_path)
    (tmp_path / "test" / "cat" / "0000.png").write_bytes(b"no image")
    data = dataset(f"cifar10:{tmp_path}")
    assert len(data) == 20
    assert data[3].target == 3
    with pytest.raises(InputError, match=r"cat/0000\.png cannot be read as an image"):
        data[3].photo()


@pytest.mark.parametrize("inside", [False, True])
def test_the_binary_version(tmp_path, inside):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3072), dtype=np.uint8)
    (folder / "test_batch.bin").write_bytes(
        b"".join(bytes([k]) + row.tobytes() for k, row in zip([3, 1, 9], pixels, strict=True))
    )
    examples = dataset(f"cifar10:{folder if inside else tmp_path}")
    assert listed(examples) == [("00000", 3), ("00001", 1), ("00002", 9)]
    assert np.array_equal(np.asarray(examples[2].photo()).transpose(2, 0, 1), pixels[2].reshape(3, 32, 32))
    assert examples.files(1) == (folder / "test_batch.bin",)
    (folder / "test_batch.bin").write_bytes(b"1234")
    with pytest.raises(InputError, match=r"expected test_batch\.bin, records of 3073 bytes that begin with a class"):
        dataset(f"cifar10:{tmp_path}")


def test_other_pickles_are_refused(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "test_batch").write_bytes(b"no pickle")
    with pytest.raises(InputError, match="cifar-10-batches-py: cannot be read as CIFAR-10's batches: "):
        dataset(f"cifar10:{tmp_path}")


def test_what_programs_leave_is_no_image_and_another_class_is_refused(tmp_path):
    cifar_folders(tmp_path)
    for name in ("._0000.png", ".ipynb_checkpoints/0000.png", "Thumbs.db", "notes.txt"):
        (tmp_path / "test" / "cat" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "test" / "cat" / name).write_bytes(b"")
    (tmp_path / "test" / "__MACOSX").mkdir()
    assert len(dataset(f"cifar10:{tmp_path}")) == 20
    write_image(tmp_path / "test" / "car" / "1.png", size=(32, 32))
    with pytest.raises(InputError, match="test/car is no class of CIFAR-10; expected airplane, automobile"):
        dataset(f"cifar10:{tmp_path}")
