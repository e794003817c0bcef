"""A text is taken apart once; what it stands for is found, or answered with what was expected."""

import pickle

import pytest
from PIL import Image
from tiny import write_image

from captum_gag.data import dataset
from captum_gag.errors import InputError
from captum_gag.names import DATASETS, parse_data


def test_what_texts_stand_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    assert [parse_data(text) for text in ("demo", "photos", "isic:a/b", "cifar10:c:d", "tiny:photos")] == [
        {"type": "demo"},
        {"type": "folder", "root": "photos"},
        {"type": "isic", "root": "a/b"},
        {"type": "cifar10", "root": "c:d"},
        {"type": "tiny:photos"},
    ]


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
        dataset(spec.format(tmp_path))


def test_a_data_set_is_found_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "data" / "a" / "1.png")
    data = dataset({"type": "folder", "root": "data", "training": "more"}).absolute()
    monkeypatch.chdir("/")
    assert data.spec() == {"type": "folder", "root": str(tmp_path / "data"), "training": str(tmp_path / "more")}
    assert data[0].photo().size == (14, 14)
    assert [dataset(text).absolute().spec() for text in ("demo", "tiny:photos")] == [
        {"type": "demo"},
        {"type": "tiny:photos"},
    ]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "foldr", "root": "."}, "unknown data set 'foldr'; did you mean folder"),
        ({"root": "."}, "unknown data set ''; expected demo, folder"),
        ({"type": "folder"}, "ImageFolder needs root"),
        ({"type": "folder", "root": ".", "mask": "."}, "unknown option 'mask'; did you mean masks"),
        ({"type": "folder", "root": 3}, "ImageFolder: root is 3"),
        ({"type": "folder", "root": "nowhere"}, "^nowhere: no such folder$"),
        ({"type": "cifar10", "root": ".", "split": "val"}, "split is 'val', expected 'test' or 'train'"),
    ],
)
def test_a_spec_without_meaning_is_one_line(spec, message):
    with pytest.raises(InputError, match=message):
        dataset(spec)


def test_every_type_says_what_it_is_and_what_its_options_are():
    assert list(DATASETS) == [
        "demo",
        "folder",
        "imagenet-s",
        "isic",
        "places365",
        "csv",
        "hf",
        "cifar10",
        "mosaic",
        "planted",
    ]
    for kind in (each.load() for each in DATASETS.values()):
        assert kind.__doc__
        assert kind.__doc__.splitlines()[0].endswith(".")


def test_a_folder_pickles_as_its_spec(tmp_path):
    for number in range(200):
        write_image(tmp_path / "a" / f"{number}.png", size=(2, 2))
    data = dataset(str(tmp_path))
    assert len(data) == 200
    assert len(pickle.dumps(data)) < 300
    assert pickle.loads(pickle.dumps(data)).names == data.names


def test_no_image_is_opened_to_list_a_folder(tmp_path, monkeypatch):
    write_image(tmp_path / "a" / "1.png")
    write_image(tmp_path / "b" / "2.png")
    opened = []
    plain = Image.open
    monkeypatch.setattr(Image, "open", lambda path, *rest: (opened.append(path.name), plain(path, *rest))[1])
    data = dataset(str(tmp_path))
    assert (len(data), data.index, [data.files(index) for index in range(2)]) == (
        2,
        {"a/1.png": 0, "b/2.png": 1},
        [(tmp_path / "a" / "1.png",), (tmp_path / "b" / "2.png",)],
    )
    example = data[1]
    assert opened == []
    example.photo()
    assert opened == ["2.png"]
