"""ISIC and Places365 are read from small copies of their tables."""

import pytest
from tiny import write_image

from captum_gag.data.catalogue import dataset
from captum_gag.errors import InputError


def listed(data):
    return [(example.name, example.target) for example in data]


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
        write_image(tmp_path / "images" / f"ISIC_{number}.jpg")
    write_image(tmp_path / "masks" / "ISIC_2_segmentation.png")
    (tmp_path / "train.csv").write_text(text)
    examples = dataset(f"isic:{tmp_path}")
    assert listed(examples) == [("ISIC_1", targets[0]), ("ISIC_2", targets[1])]
    assert [example.mask is not None for example in examples] == [False, True]
    assert examples[0].photo().size == (14, 14)


def test_a_name_that_comes_twice_is_refused_before_its_scores_mix(tmp_path):
    write_image(tmp_path / "images" / "ISIC_1.jpg")
    (tmp_path / "train.csv").write_text("image_name,target\nISIC_1,0\nISIC_1,1\n")
    with pytest.raises(InputError, match="ISIC_1 comes 2 times"):
        dataset(f"isic:{tmp_path}")


def test_places365(tmp_path):
    write_image(tmp_path / "val_256" / "Places365_val_00000001.jpg")
    (tmp_path / "places365_val.txt").write_text("Places365_val_00000001.jpg 165\n")
    [example] = dataset(f"places365:{tmp_path}")
    assert (example.name, example.target, example.photo().size) == ("Places365_val_00000001.jpg", 165, (14, 14))


def test_the_table_is_listed_and_training_images_are_named(tmp_path):
    write_image(tmp_path / "images" / "ISIC_1.jpg")
    write_image(tmp_path / "training" / "ISIC_7.jpg")
    (tmp_path / "train.csv").write_text("image_name,target\nISIC_1,0\n")
    data = dataset({"type": "isic", "root": str(tmp_path), "training": str(tmp_path / "training")})
    assert data.listings() == (tmp_path / "train.csv",)
    assert data.files(0) == (tmp_path / "images" / "ISIC_1.jpg",)
    assert data.train().names == ("ISIC_7.jpg",)


def test_a_photograph_that_is_not_there_costs_itself(tmp_path):
    write_image(tmp_path / "images" / "ISIC_1.jpg")
    (tmp_path / "train.csv").write_text("image_name,target\nISIC_1,0\nISIC_2,1\n")
    data = dataset(f"isic:{tmp_path}")
    assert data.names == ("ISIC_1", "ISIC_2")
    with pytest.raises(InputError, match=r"ISIC_2\.jpg: No such file"):
        data[1].photo()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,target\nISIC_1,0\n", "has no column image_name, isic_id, image or image_id; found"),
        ("image,sex\nISIC_1,male\n", "expected a column target or diagnosis, or one per class; could not convert"),
        ("image,target\nISIC_1,one\n", "expected a column target or diagnosis, or one per class; invalid literal"),
        ("image,A,B\nISIC_1,1.0\n", "expected a column target or diagnosis, or one per class"),
        ("image,target\n", "holds no examples"),
    ],
)
def test_a_table_of_another_form_is_one_line(tmp_path, text, message):
    write_image(tmp_path / "ISIC_1.jpg")
    (tmp_path / "train.csv").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        dataset(f"isic:{tmp_path}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["a.jpg\n", "a.jpg one\n"])
def test_a_listing_of_another_form_is_one_line(tmp_path, text):
    write_image(tmp_path / "val_256" / "a.jpg")
    (tmp_path / "places365_val.txt").write_text(text)
    with pytest.raises(InputError, match=r"places365_val\.txt: expected a file and its class in each line; "):
        dataset(f"places365:{tmp_path}")
