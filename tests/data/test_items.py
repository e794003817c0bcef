"""Items of a torch Dataset in every form: read right, or refused with what came, what fits and what to do."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from captum_gag.data.items import class_of, example_of, photo_of
from captum_gag.errors import InputError

COLOURS = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3) * 8
GREY = COLOURS[..., 0]


def first(pixels):
    return np.moveaxis(np.asarray(pixels), -1, 0).copy()


@pytest.mark.parametrize(
    "image",
    [
        *(Image.fromarray(COLOURS), Image.fromarray(COLOURS).convert("RGBA")),
        *(COLOURS, first(COLOURS), COLOURS.astype(np.int64), COLOURS.astype(np.float32)),
        *(COLOURS / 255, (COLOURS / 255).astype(np.float16), (COLOURS / 255).clip(-5e-4, 1) + 5e-4),
        *(COLOURS.astype(np.uint16) * 257, torch.tensor(first(COLOURS)), torch.tensor(COLOURS)),
        *(torch.tensor(first(COLOURS)) / 255, (torch.tensor(first(COLOURS)) / 255).half()),
        *((COLOURS.astype(np.uint16) * 257).astype(">u2"), np.ascontiguousarray(COLOURS[::-1])[::-1]),
        (torch.tensor(first(COLOURS)) / 255).double().requires_grad_(),
    ],
    ids=lambda image: f"{type(image).__name__} {getattr(image, 'dtype', '')} {getattr(image, 'shape', '')}",
)
def test_photographs(image):
    found = photo_of(image, "0")
    assert found.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(found), COLOURS)


@pytest.mark.parametrize(
    "image",
    [GREY, GREY[None], GREY[..., None], torch.tensor(GREY), torch.tensor(GREY)[None] / 255, Image.fromarray(GREY)],
    ids=lambda image: f"{type(image).__name__} {getattr(image, 'shape', '')}",
)
def test_one_channel(image):
    np.testing.assert_array_equal(np.asarray(photo_of(image, "0")), np.repeat(GREY[..., None], 3, -1))


def test_where_both_ends_could_be_channels_tensors_have_them_first_and_arrays_last():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(photo_of(pixels, "0")), pixels)
    np.testing.assert_array_equal(np.asarray(photo_of(torch.tensor(pixels), "0")), pixels.transpose(1, 2, 0))


def test_black_and_white_and_16_bits():
    assert np.asarray(photo_of(np.array([[True, False]]), "0"))[0, :, 0].tolist() == [255, 0]
    assert np.asarray(photo_of(np.array([[65535, 257 * 9, 0]], np.uint16), "0"))[0, :, 0].tolist() == [255, 9, 0]
    assert not np.asarray(photo_of(torch.zeros(3, 4, 4, dtype=torch.uint8), "0")).any()
    assert not np.asarray(photo_of(np.zeros((4, 4), np.uint16), "0")).any()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.randn(3, 8, 8), "float32 values from -.* of which white is not known; .* without Normalize"),
        (torch.full((3, 4, 4), 1.5), "float32 values from 1.5 to 1.5"),
        (np.full((4, 4), 254.5), "float64 values from 254.5 to 254.5"),
        (np.full((4, 4), 300), "int64 values from 300 to 300"),
        (np.full((4, 4), -1), "int64 values from -1 to -1"),
        (np.full((4, 4), 4095, np.uint16), "uint16 values from 4095 to 4095"),
        (np.full((4, 4), 200, ">u2"), "uint16 values from 200 to 200"),
        (np.eye(4, dtype=np.uint8), "uint8 values from 0 to 1"),
        (torch.full((3, 4, 4), float("nan")), "values that are no finite numbers"),
        (torch.full((3, 4, 4), float("inf")), "values that are no finite numbers"),
        (torch.zeros(4, 8, 8), r"shape \(4, 8, 8\); expected .* with one or three channels"),
        (torch.zeros(2, 8, 8), r"shape \(2, 8, 8\)"),
        (torch.zeros(1, 3, 8, 8), r"shape \(1, 3, 8, 8\)"),
        (torch.zeros(3), r"shape \(3,\)"),
        (torch.zeros(3, 0, 4), r"shape \(3, 0, 4\)"),
        ("photo.jpg", "its image is a str; expected a PIL image, tensor or array"),
        ([[0, 1]], "its image is a list"),
        (Image.new("F", (4, 4)), "floating-point pixels have no known white"),
    ],
)
def test_photographs_of_which_white_is_not_known_are_refused(image, message):
    with pytest.raises(InputError, match=f"item 7: .*{message}"):
        photo_of(image, "7")


@given(st.lists(st.integers(0, 255), min_size=1, max_size=40), st.sampled_from([torch.float32, torch.float64]))
def test_8_bits_survive_any_division_by_255(levels, dtype):
    pixels = torch.tensor(levels, dtype=torch.uint8).expand(3, 2, -1)
    found = photo_of(pixels.to(dtype) / 255, "0")
    np.testing.assert_array_equal(np.asarray(found)[0, :, 0], levels)


THREE = (3, 3.0, np.int64(3), np.uint8(3), np.array(3), np.array([3], np.uint8), torch.tensor(3), torch.tensor([3.0]))


@pytest.mark.parametrize(
    ("target", "expected"),
    [*((each, 3) for each in THREE), (None, None), (True, 1), (np.bool_(False), 0), (torch.tensor(200), 200)],
    ids=repr,
)
def test_classes(target, expected):
    found = class_of(target, "0")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.tensor([0, 1, 0]), r"its class is of shape \(3,\); expected the number of one class"),
        (np.eye(3)[1], r"its class is of shape \(3,\)"),
        ([0, 1], "its class is list"),
        ({"label": 3}, "its class is dict"),
        ("cat", "its class is str"),
        (np.str_("cat"), "its class is cat; expected a whole number"),
        (Image.new("L", (4, 4)), "its class is Image"),
        (-1, "its class is -1; expected a whole number, 0 or more, or None for no class"),
        (torch.tensor(-1), "its class is -1"),
        (0.7, "its class is 0.7"),
        (float("nan"), "its class is nan"),
        (float("inf"), "its class is inf"),
        (1j, "its class is complex"),
    ],
)
def test_what_is_no_class_is_refused(target, message):
    with pytest.raises(InputError, match=f"item 7: {message}"):
        example_of((COLOURS, target), "7")


HALF = np.zeros((2, 5), np.uint8)
HALF[0] = 1


@pytest.mark.parametrize(
    "mask",
    [
        *(HALF, HALF * 255, HALF * 3, HALF > 0, HALF.astype(np.float32), HALF.astype(np.int64), HALF[None]),
        *(HALF[..., None] * 255, torch.tensor(HALF), torch.tensor(HALF * 255)[None], torch.tensor(HALF)[None].bool()),
        *(torch.tensor(HALF).to(torch.bfloat16), Image.fromarray(HALF)),
        *(Image.fromarray(HALF * 255).convert("1"), Image.fromarray(HALF * 255).convert("RGB")),
    ],
    ids=lambda mask: f"{type(mask).__name__} {getattr(mask, 'dtype', '')} {getattr(mask, 'shape', '')}",
)
@pytest.mark.parametrize("form", ["tuple", "dict"])
def test_masks(mask, form):
    item = (COLOURS, 1, mask) if form == "tuple" else {"img": COLOURS, "labels": 1, "mask": mask}
    found = example_of(item, "0").mask()
    assert (found.mode, found.size) == ("L", (5, 2))
    np.testing.assert_array_equal(np.asarray(found), HALF * 255)


@pytest.mark.parametrize("third", ["a.jpg", 17, None, {"id": 3}, torch.tensor(5), torch.zeros(4), np.int64(2), ["x"]])
def test_a_third_item_that_is_no_mask_is_left_alone(third):
    example = example_of((COLOURS, 1, third), "0")
    assert (example.target, example.mask) == (1, None)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((4, 5)), "the segmentation is 5 x 4, its photograph 5 x 2; expected one pixel for each"),
        (np.arange(10).reshape(2, 5), r"the segmentation has the values 0, 1, 2, 3, 4, \.\.\.; expected two"),
        (np.zeros((3, 2, 5)), r"the segmentation has shape \(3, 2, 5\)"),
        (np.full((2, 5), np.nan), "the segmentation has values that are no numbers"),
        (HALF + 1, "the segmentation has the values 1, 2; expected two, 0 and one other"),
        (HALF * 1.0 - 1, "the segmentation has the values -1, 0"),
        (HALF + 255 * HALF[::-1] + 3, "the segmentation has the values"),
    ],
)
def test_what_is_no_mask_is_refused_when_it_is_wanted(mask, message):
    example = example_of((COLOURS, 1, mask), "7")
    assert example.photo().size == (5, 2)
    with pytest.raises(InputError, match=f"item 7: {message}"):
        example.mask()


@pytest.mark.parametrize("image", ["image", "img", "pixel_values"])
@pytest.mark.parametrize("target", ["label", "labels", "target"])
def test_dicts(image, target):
    example = example_of({image: torch.tensor(first(COLOURS)) / 255, target: torch.tensor(2), "id": "x"}, "0")
    assert (example.target, example.mask) == (2, None)
    np.testing.assert_array_equal(np.asarray(example.photo()), COLOURS)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (COLOURS, "item 7 is a ndarray; expected"),
        ((COLOURS,), "item 7 is a tuple; expected"),
        (None, "item 7 is a NoneType"),
        ({"photo": COLOURS, "label": 1}, r"item 7 has the keys photo, label; expected \(image, class\), .* or a dict"),
        ({"image": COLOURS}, "item 7 has the keys image"),
        ({"image": COLOURS, "label": 1, "target": 2}, "item 7 has the keys image, label, target"),
    ],
)
def test_items_of_another_form_are_refused(item, message):
    with pytest.raises(InputError, match=message):
        example_of(item, "7")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "image",
    [torch.eye(4).to_sparse(), torch.zeros(3, 4, 4, device="meta"), np.ma.masked_equal([[0, 255]], 0)],
    ids=["sparse", "meta", "masked"],
)
def test_what_has_no_plain_numbers_is_refused(image):
    with pytest.raises(InputError, match=r"a tensor cannot be read as numbers|an array has masked values"):
        photo_of(image, "7")
