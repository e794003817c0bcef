"""ISIC and Places365 are read from small copies of their tables."""

import numpy as np
import pytest
from PIL import Image
from tiny import write_image

from captum_gag.data import dataset
from captum_gag.errors import InputError


def listed(data):
    return [(example.name, example.target) for example in data]


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


def write(root, files, images=("ISIC_1", "ISIC_2"), folder="images"):
    """Write tables, and a photograph for each name; return the spec."""
    for name in images:
        write_image(root / folder / f"{name}.jpg")
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8", newline="")
    return {"type": "isic", "root": str(root)}


@pytest.mark.parametrize(
    ("table", "text", "targets", "by_order"),
    [
        ("ISBI2016_ISIC_Part3_Training_GroundTruth.csv", "ISIC_1,malignant\nISIC_2,benign\n", [1, 0], 2),
        ("ISBI2016_ISIC_Part3_Test_GroundTruth.csv", "ISIC_1,1.0\nISIC_2,0.0\n", [1, 0], None),
        ("ISIC2018_Task3.csv", "image,MEL,NV,BCC\nISIC_1,0.0,0.0,1.0\nISIC_2,1.0,0.0,0.0\n", [2, 0], 3),
        (
            "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv",
            "image,MEL,NV\nISIC_1,0.0,1.0\nISIC_2,1.0,0.0\n",
            [1, 0],
            2,
        ),
        ("train.csv", "image_name,target\nISIC_1,2\nISIC_2,0\n", [2, 0], None),
        ("train.csv", "isic_id,diagnosis\nISIC_1,nevus\nISIC_2,melanoma\n", [1, 0], 2),
        ("ISIC_2019.csv", "image,MEL,NV,UNK\nISIC_1,0,1,0\nISIC_2,1,0,0\n", [1, 0], 3),
        (
            "train.csv",
            "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target\n"
            "ISIC_1,IP_1,male,45.0,torso,unknown,benign,0\nISIC_2,IP_2,female,1.0,,melanoma,malignant,1\n",
            [0, 1],
            None,
        ),
        (
            "HAM10000_metadata.csv",
            "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
            "HAM_1,ISIC_1,nv,histo,80.0,male,scalp\nHAM_2,ISIC_2,bkl,histo,,female,ear\n",
            [1, 0],
            2,
        ),
        (
            "metadata.csv",
            "isic_id,attribution,age_approx,diagnosis_1,diagnosis_2,sex\n"
            "ISIC_1,x,45,Malignant,Melanoma,male\nISIC_2,x,50,Benign,Nevus,male\n",
            [1, 0],
            2,
        ),
        ("metadata.csv", "isic_id,age_approx,benign_malignant\nISIC_1,1,malignant\nISIC_2,0,benign\n", [1, 0], 2),
        ("a.csv", "\ufeffimage;MEL;NV\r\nISIC_1;1;0\r\nISIC_2;0;1\r\n", [0, 1], 2),
        ("a.csv", "image,age_approx,sex,MEL,NV\nISIC_1,1,0,0,1\nISIC_2,0,1,1,0\n", [1, 0], 2),
        ("a.csv", ",image,MEL,NV\n0,ISIC_1,0,1\n1,ISIC_2,1,0\n", [1, 0], 2),
        ("a.csv", "image_name,target\nISIC_1.jpg,1.0\nISIC_2.jpg,0.0\n", [1, 0], None),
    ],
)
def test_tables_of_every_year(tmp_path, table, text, targets, by_order):
    data = dataset(write(tmp_path, {table: text}))
    assert [example.target for example in data] == targets
    assert all(example.photo().size == (14, 14) for example in data)
    assert data.numbered_by_order == by_order
    assert data.listings() == (tmp_path / table,)


def test_2017_says_melanoma_or_not_if_that_is_asked(tmp_path):
    text = "image_id,melanoma,seborrheic_keratosis\nISIC_1,0.0,0.0\nISIC_2,1.0,0.0\n"
    spec = write(tmp_path, {"ISIC-2017_Training_Part3_GroundTruth.csv": text})
    with pytest.raises(InputError, match=r"has 0 classes for ISIC_1; .* or choose one column by the option column"):
        dataset(spec)
    assert [example.target for example in dataset(spec | {"column": "melanoma"})] == [0, 1]


def test_the_order_of_classes_can_be_given(tmp_path):
    spec = write(tmp_path, {"a.csv": "image_id,dx\nISIC_1,nv\nISIC_2,mel\n"})
    data = dataset(spec | {"classes": ["akiec", "nv", "mel"]})
    assert [example.target for example in data] == [1, 2]
    assert data.numbered_by_order is None
    with pytest.raises(InputError, match="has 'mel' in dx, which the option classes leaves out"):
        dataset(spec | {"classes": ["nv"]})
    with pytest.raises(InputError, match="the option classes is nv, nv; expected each class once"):
        dataset(spec | {"classes": ["nv", "nv"]})
    hot = write(tmp_path / "hot", {"a.csv": "image,A,B,C\nISIC_1,0,1,0\nISIC_2,1,0,0\n"})
    assert [example.target for example in dataset(hot | {"classes": ["B", "A"]})] == [0, 1]
    with pytest.raises(InputError, match="has rows of the class A, which the option classes leaves out"):
        dataset(hot | {"classes": ["B", "C"]})


TRAIN = "image_name,target\nISIC_1,1\nISIC_2,0\n"


@pytest.mark.parametrize(
    "others",
    [
        {"sample_submission.csv": "image_name,target\nISIC_1,0\nISIC_2,0\n"},
        {"test.csv": "image_name,patient_id,sex\nISIC_8,IP,male\n"},
        {"a_test.csv": "image_name,target\nISIC_8,0\n"},
        {"a_metadata.csv": "image,age_approx,sex\nISIC_1,40,male\nISIC_2,50,male\n"},
        {"colours.csv": "name,hex\nred,ff0000\n", "empty.csv": "", "._train.csv": TRAIN},
    ],
)
def test_of_several_tables_the_one_with_classes_of_the_images_counts(tmp_path, others):
    data = dataset(write(tmp_path, others | {"train.csv": TRAIN}))
    assert [example.target for example in data] == [1, 0]
    assert data.listings() == (tmp_path / "train.csv",)


def test_of_two_tables_that_fit_one_is_chosen(tmp_path):
    spec = write(tmp_path, {"train.csv": TRAIN, "other.csv": "image_name,target\nISIC_1,5\n"})
    with pytest.raises(InputError, match=r"other\.csv, train\.csv all have classes .* choose one by the option table"):
        dataset(spec)
    assert [example.target for example in dataset(spec | {"table": "other.csv"})] == [5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,target\nISIC_1,0\n", "has no column image_name, isic_id, image or image_id; found"),
        ("image,sex\nISIC_1,male\n", "target, diagnosis, dx, diagnosis_1, benign_malignant, or one per class"),
        ("image,target\nISIC_1,one\n", "has 'one' in target; expected a whole number, 0 or more"),
        ("image,A,B\nISIC_1,1.0\n", "the row 'ISIC_1' has 2 cells, the header 3; expected as many"),
        ("image,target\n", "holds no examples"),
        ("image,target\nISIC_1,0\nISIC_1,1\n", "ISIC_1 comes 2 times"),
        ("image,MEL,NV\nISIC_1,1,1\n", "has 2 classes for ISIC_1; expected 1 in one of MEL, NV"),
        ("image,MEL,NV\nISIC_1,0.0,0.0\n", "has 0 classes for ISIC_1"),
        ("image,MEL,NV\nISIC_1,0.7,0.3\n", "has '0.7' in MEL; expected a column target"),
        ("image,MEL,NV,notes\nISIC_1,1,0,seen\n", "has 'seen' in notes"),
        ("image,age_approx,sex\nISIC_1,1,0\n", "expected a column target, diagnosis, dx"),
        ("image,melanoma\nISIC_1,1\n", r"found image, melanoma \(name another by the option column\)"),
        ("image,dx,diagnosis_1\nISIC_1,nv,Benign\n", "says a class in each of dx, diagnosis_1; choose one"),
        ("image,dx\nISIC_1,nv\nISIC_2,\n", "has 1 rows without dx"),
        ("image,target\nISIC_1,0\n,1\n", "has 1 rows without image; remove them"),
        # Python before 3.11 reads no such line.
        ("\x00\x00m,target\nISIC_1,0\n", "has no column image_name|line contains NUL"),
        ("image,target\nISIC_1,-1\n", "has '-1' in target"),
        ("image,target\nISIC_1,0.5\n", "has '0.5' in target"),
        (
            "image,target\nISIC_9,0\n",
            "lists none of the images that are here; its first is 'ISIC_9', a file ISIC_1.jpg",
        ),
        ("image,target,target\nISIC_1,0,1\n", "has two columns 'target'"),
        ('image,target\n"ISIC_1,0\n', "cannot be read as a table"),
    ],
)
def test_tables_that_say_no_class_or_two_are_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        dataset(write(tmp_path, {"train.csv": text}))


@pytest.mark.parametrize(
    ("images", "masks", "suffix"),
    [
        ("images", "masks", "_segmentation.png"),
        ("images", "masks", ".png"),
        ("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth", "_segmentation.png"),
        ("ISBI2016_ISIC_Part1_Training_Data", "ISBI2016_ISIC_Part1_Training_GroundTruth", "_Segmentation.png"),
        ("HAM10000_images_part_1", "HAM10000_segmentations_lesion_tschandl", "_segmentation.png"),
    ],
)
def test_segmentations_lie_where_the_challenges_put_them(tmp_path, images, masks, suffix):
    spec = write(tmp_path, {"train.csv": TRAIN}, folder=images)
    (tmp_path / masks).mkdir()
    Image.new("L", (14, 14), 255).save(tmp_path / masks / f"ISIC_2{suffix}")
    write_image(tmp_path / images / "ISIC_1_superpixels.png")
    data = dataset(spec)
    assert [example.mask is not None for example in data] == [False, True]
    assert np.asarray(data[1].mask()).mean() == 255


def test_two_folders_of_photographs_are_one(tmp_path):
    write(tmp_path, {}, ["ISIC_1"], "HAM10000_images_part_1")
    data = dataset(write(tmp_path, {"HAM10000_metadata.csv": TRAIN}, ["ISIC_2"], "HAM10000_images_part_2"))
    assert [example.photo().size for example in data] == [(14, 14), (14, 14)]
    write(tmp_path, {}, ["ISIC_1"], "HAM10000_images_part_2")
    with pytest.raises(InputError, match=r"ISIC_1\.jpg are two images of one name; leave one of them"):
        dataset(f"isic:{tmp_path}")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("/Places365_val_00000001.jpg 165", ("Places365_val_00000001.jpg", 165)),
        ("\ufeffPlaces365_val_00000001.jpg\t165", ("Places365_val_00000001.jpg", 165)),
        ("/a/airfield/00000001.jpg 0", ("a/airfield/00000001.jpg", 0)),
        ("Places365_val_00000001.jpg 165", ("Places365_val_00000001.jpg", 165)),
    ],
)
def test_lines_of_places365(tmp_path, line, found):
    write_image(tmp_path / "val_large" / found[0])
    (tmp_path / "places365_val.txt").write_text(f"{line}\n\n", encoding="utf-8")
    [example] = dataset(f"places365:{tmp_path}")
    assert (example.name, example.target) == found
    assert example.photo().size == (14, 14)


@pytest.mark.parametrize("line", ["a.jpg", "a.jpg one", "a.jpg,165", "a.jpg -1", "a.jpg 1.5"])
def test_lists_of_places365_without_classes_are_refused(tmp_path, line):
    write_image(tmp_path / "val_256" / "a.jpg")
    (tmp_path / "places365_val.txt").write_text(f"{line}\n")
    expected = "expected a file and its class in each line; found '.*' .the list of the test"
    with pytest.raises(InputError, match=rf"places365_val\.txt: {expected}"):
        dataset(f"places365:{tmp_path}")
