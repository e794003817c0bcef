"""A mask says the same whoever wrote it, or is refused: half of the picture is half, empty is empty."""

import numpy as np
import pytest
from PIL import Image
from tiny import write_image

from captum_gag.data import dataset
from captum_gag.data.masks import read_mask
from captum_gag.errors import InputError

HALF = np.zeros((16, 24), np.uint8)
HALF[:8] = 1
RED = np.stack([HALF * 255, 0 * HALF, 0 * HALF], -1)


def palette(*colours):
    found = Image.fromarray(HALF).convert("L")
    found = Image.frombytes("P", found.size, found.tobytes())
    found.putpalette([level for colour in colours for level in colour])
    return found


def transparent(level):
    return Image.fromarray(np.stack([*3 * [HALF * level], HALF * 255], -1))


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("0 and 1", Image.fromarray(HALF)),
        ("0 and 255", Image.fromarray(HALF * 255)),
        *((f"mask.{suffix}", Image.fromarray(HALF * 255)) for suffix in ("tif", "bmp", "gif")),
        ("0 and 128", Image.fromarray(HALF * 128)),
        ("0 and 7", Image.fromarray(HALF * 7)),
        ("1 bit", Image.fromarray(HALF * 255).convert("1")),
        ("16 bits", Image.fromarray(HALF.astype(np.uint16) * 65535)),
        ("16 bits, 0 and 1", Image.fromarray(HALF.astype(np.uint16))),
        ("palette, red", palette((0, 0, 0), (128, 0, 0))),
        ("palette, nearly black", palette((0, 0, 0), (1, 1, 1))),
        ("palette, white", palette((0, 0, 0), (255, 255, 255))),
        ("palette, all alike", palette((0, 0, 0), (0, 0, 0))),
        ("RGB", Image.fromarray(HALF * 255).convert("RGB")),
        ("RGB, red", Image.fromarray(RED)),
        ("RGBA", Image.fromarray(HALF * 255).convert("RGBA")),
        ("white on transparent", transparent(255)),
        ("grey and alpha", Image.fromarray(HALF * 255).convert("LA")),
    ],
)
def test_half_is_half(tmp_path, name, image):
    file = tmp_path / (name if "." in name else "mask.png")
    image.save(file)
    found = read_mask(file)
    assert found.mode == "L"
    np.testing.assert_array_equal(np.asarray(found), HALF * 255)


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_s_two_bands_are_two_values(tmp_path, quality, mode):
    row, column = np.mgrid[:96, :120]
    disc = (row - 40) ** 2 + (column - 60) ** 2 < 900
    Image.fromarray(np.where(disc, 255, 0).astype(np.uint8)).convert(mode).save(tmp_path / "m.jpg", quality=quality)
    stored = np.asarray(Image.open(tmp_path / "m.jpg"))
    assert len(np.unique(stored)) > 2
    np.testing.assert_array_equal(np.asarray(read_mask(tmp_path / "m.jpg")) > 0, disc)


@pytest.mark.parametrize(("level", "share"), [(0, 0), (1, 255), (255, 255)])
def test_no_object_and_nothing_else(tmp_path, level, share):
    Image.new("L", (5, 4), level).save(tmp_path / "mask.png")
    assert np.unique(read_mask(tmp_path / "mask.png")).tolist() == [share]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.array([[0, 128, 255]], np.uint8), "values 0, 128, 255; expected two"),
        (np.array([[0, 1, 255]], np.uint8), "values 0, 1, 255; expected two"),
        (np.arange(256, dtype=np.uint8)[None], r"values 0, 1, 2, 3, 4, \.\.\."),
        (np.array([[1, 2]], np.uint8), "values 1, 2; expected two, 0 and one other"),
        (np.array([[128, 128]], np.uint8), "values 128;"),
        (np.uint8([[[0, 0, 0], [255, 0, 0], [0, 255, 0]]]), "values 000000, 00ff00, ff0000;"),
        (np.uint8([[[255, 255, 255, 255], [255, 255, 255, 99]]]), "half transparent in places"),
        (np.uint8([[[0, 0, 0, 255], [0, 0, 0, 0]]]), "black or transparent"),
    ],
)
def test_more_than_two_values_are_refused(tmp_path, pixels, message):
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match=f"mask.png: the segmentation (has the|is) {message}"):
        read_mask(tmp_path / "mask.png")


def test_a_jpeg_with_a_third_band_is_refused(tmp_path):
    Image.fromarray(np.repeat(np.uint8([[0, 128, 255]]), 16, 1).repeat(16, 0)).save(tmp_path / "mask.jpg")
    with pytest.raises(InputError, match=r"mask\.jpg: the segmentation has the values"):
        read_mask(tmp_path / "mask.jpg")


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_what_is_no_image_is_one_line(tmp_path, content):
    (tmp_path / "mask.png").write_bytes(content)
    with pytest.raises(InputError, match=r"mask\.png: cannot be read as a segmentation"):
        read_mask(tmp_path / "mask.png")


def masked(root, size, orientation, mask_size):
    """Return a folder with a photograph as its camera stored it, and a mask."""
    place = root / "data" / "cat" / "1.jpg"
    write_image(place, size=size)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(place).copy().save(place, exif=exif)
    (root / "data-masks" / "cat").mkdir(parents=True)
    Image.new("L", mask_size, 255).save(root / "data-masks" / "cat" / "1.png")
    return dataset(str(root / "data"))[0]


@pytest.mark.parametrize(
    ("size", "orientation", "mask_size", "message"),
    [
        *(((14, 10), 1, (14, 10), None), ((14, 10), 6, (10, 14), None), ((14, 10), 8, (10, 14), None)),
        ((14, 10), 1, (10, 14), "the segmentation is 10 x 14, its photograph 14 x 10"),
        ((14, 10), 1, (28, 20), "the segmentation is 28 x 20, its photograph 14 x 10"),
        ((14, 10), 6, (14, 10), "the segmentation is 14 x 10, its photograph 10 x 14"),
        ((14, 10), 3, (14, 10), r"the EXIF entry of 1\.jpg turns it, and whether its segmentation is turned too"),
        ((14, 14), 6, (14, 14), r"the EXIF entry of 1\.jpg turns it"),
    ],
)
def test_a_mask_lies_on_the_upright_photograph_or_is_refused(tmp_path, size, orientation, mask_size, message):
    example = masked(tmp_path, size, orientation, mask_size)
    if message is None:
        assert example.mask().size == example.photo().size == mask_size
        return
    with pytest.raises(InputError, match=f"cat/1.jpg: {message}"):
        example.mask()


def test_the_value_of_the_object_may_be_named(tmp_path):
    classes = palette((0, 0, 0), (128, 0, 0), (0, 128, 0))
    classes.putpixel((0, 0), 2)
    for folder in ("photos", "photos-masks"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (24, 16)).save(tmp_path / "photos" / "1.jpg")
    classes.save(tmp_path / "photos-masks" / "1.png")
    data = dataset({"type": "folder", "root": str(tmp_path / "photos"), "mask_value": 1})
    expected = HALF.astype(bool)
    expected[0, 0] = False
    assert np.array_equal(np.asarray(data[0].mask()) > 0, expected)


@pytest.mark.parametrize(("name", "message"), [("a.jpg", "a file format that changes values"), ("a.png", "colours")])
def test_a_named_value_needs_a_file_that_keeps_values(tmp_path, name, message):
    Image.fromarray(RED).save(tmp_path / name)
    with pytest.raises(InputError, match=message):
        read_mask(tmp_path / name, 1)
