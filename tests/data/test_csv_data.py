"""One reader of CSVs serves tables as published: names, numbers, several labels, a column per label, masks."""

import numpy as np
import pytest
from PIL import Image
from tiny import write_image

from captum_gag.data import dataset
from captum_gag.errors import InputError


def write(root, text, *images, **options):
    for name in images:
        write_image(root / name)
    (root / "list.csv").write_text(text)
    return dataset({"type": "csv", "root": str(root / "list.csv"), **options})


def listed(data):
    return [(example.name, example.target) for example in data]


def test_a_metadata_csv_needs_no_options(tmp_path):
    write_image(tmp_path / "a" / "1.jpg")
    write_image(tmp_path / "2.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\na/1.jpg,dog\n2.png,cat\n")
    data = dataset(f"csv:{tmp_path / 'metadata.csv'}")
    assert listed(data) == [("a/1.jpg", 1), ("2.png", 0)]
    assert [example.photo().size for example in data] == [(14, 14), (14, 14)]
    assert (data.class_names, data.numbered_by_order) == ({0: "cat", 1: "dog"}, 2)
    assert data.absolute().names == data.names
    assert data.listings() == (tmp_path / "metadata.csv",)


def test_fitzpatrick_s_names_have_no_suffix(tmp_path):
    text = "md5hash,label,fitzpatrick_scale\n5e82,psoriasis,3\n97f4,acne,1\n"
    options = {"image_column": "md5hash", "images": str(tmp_path / "data"), "classes": ["psoriasis", "acne"]}
    data = write(tmp_path, text, "data/5e82.jpg", "data/97f4.png", **options)
    assert [data.files(index)[0].name for index in range(2)] == ["5e82.jpg", "97f4.png"]
    assert ([target for _, target in listed(data)], data.numbered_by_order) == ([0, 1], None)


def test_pad_ufes_has_several_images_of_a_patient(tmp_path):
    text = "patient_id,diagnostic,img_id\nPAT_1,NEV,1.png\nPAT_1,BCC,2.png\nPAT_2,NEV,3.png\n"
    options = {"image_column": "img_id", "label_column": "diagnostic", "group_column": "patient_id"}
    data = write(tmp_path, text, "imgs_part_1/1.png", "imgs_part_2/2.png", "imgs_part_2/3.png", **options)
    assert [(each.group, each.target) for each in data] == [("PAT_1", 1), ("PAT_1", 0), ("PAT_2", 1)]
    assert data.files(1) == (tmp_path / "imgs_part_2" / "2.png",)


def test_nih_s_several_labels_are_an_example_each_that_belong_together(tmp_path):
    text = "Image Index,Finding Labels\n1.png,Effusion|Cardiomegaly\n2.png,No Finding\n3.png,Effusion\n"
    options = {"image_column": "Image Index", "label_column": "Finding Labels", "separator": "|"}
    files = ("images_001/images/1.png", "images_002/images/2.png", "images_002/images/3.png")
    data = write(tmp_path, text, *files, **options, classes=["Cardiomegaly", "Effusion"])
    assert listed(data) == [("1.png:Effusion", 1), ("1.png:Cardiomegaly", 0), ("3.png:Effusion", 1)]
    assert [example.group for example in data] == ["1.png", "1.png", "3.png"]
    assert data.left_out() == [("2.png", "has none of the classes")]


def test_chexpert_s_columns_are_1_where_it_is_sure(tmp_path):
    text = "Path,Sex,Edema,Fracture\nv/p1/a.jpg,F,1.0,1.0\nv/p2/a.jpg,M,-1.0,0.0\nv/p3/a.jpg,M,,1.0\n"
    options = {"image_column": "Path", "label_column": ["Edema", "Fracture"]}
    data = write(tmp_path, text, "v/p1/a.jpg", "v/p2/a.jpg", "v/p3/a.jpg", **options)
    assert listed(data) == [("v/p1/a.jpg:Edema", 0), ("v/p1/a.jpg:Fracture", 1), ("v/p3/a.jpg:Fracture", 1)]
    assert data.left_out() == [("v/p2/a.jpg", "has none of the classes")]
    with pytest.raises(InputError, match="has 'F' in Sex; expected 1, 0, -1"):
        dataset(data.spec() | {"label_column": ["Edema", "Sex"]})


def test_masks_say_which_value_is_the_object(tmp_path):
    trimap = np.full((14, 14), 2, np.uint8)
    trimap[:4], trimap[4:8] = 1, 3
    (tmp_path / "m").mkdir()
    Image.fromarray(trimap).save(tmp_path / "m" / "1.png")
    text = "file_name,trimap\n1.jpg,m/1.png\n2.jpg,\n"
    options = {"label_column": None, "mask_column": "trimap"}
    data = write(tmp_path, text, "1.jpg", "2.jpg", **options, mask_value=1)
    mask = np.asarray(data[0].mask())
    assert (mask[:4] == 255).all()
    assert not mask[4:].any()
    assert (data[0].target, data[1].mask) == (None, None)
    with pytest.raises(InputError, match="option mask_value"):
        write(tmp_path, text, **options)[0].mask()


def test_a_row_without_its_file_costs_itself(tmp_path):
    data = write(tmp_path, "file_name,label\n1.jpg,0\n2.jpg,1\n", "1.jpg")
    with pytest.raises(InputError, match=r"2\.jpg: No such file"):
        data[1].photo()


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("image,label\n1.jpg,0\n", {}, "has no column file_name; found image, label: .* option"),
        ("file_name,label\n1.jpg,0\n,1\n", {}, "has 1 rows without file_name"),
        ("file_name,label\n1.jpg,\n", {}, "has 1 rows without label"),
        ("file_name,label\n9.jpg,0\n", {}, r"a/9\.jpg and .*b/9\.jpg both may be 9\.jpg"),
        ("file_name,label\n1.jpg,cat\n", {"classes": ["dog"]}, "'cat' in label, which the option classes leaves out"),
        ("file_name,label\n1.jpg,0\n", {"label_column": ["label"], "separator": "|"}, "leave out the options classes"),
        ("file_name,label\n1.jpg,x\n", {"separator": "|", "classes": ["y"]}, "holds no examples"),
    ],
)
def test_what_cannot_be_read_for_sure_is_refused(tmp_path, text, options, message):
    with pytest.raises(InputError, match=message):
        write(tmp_path, text, "1.jpg", "a/9.jpg", "b/9.jpg", **options)
