"""Files of every odd kind give the photograph that a viewer shows, or one clear line."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captum_gag.data import images
from captum_gag.data.images import image_size, named_apart, read_image
from captum_gag.data.masks import check_fit, read_mask
from captum_gag.errors import InputError

# What a camera does to the upright picture before it writes each EXIF orientation.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def photo(width: int = 12, height: int = 8) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("orientation", STORED)
def test_exif_rotation_is_undone(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(photo().transpose(STORED[orientation]), tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(read_image(path)), np.asarray(photo()))


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("L", 90, (90, 90, 90)),
        ("1", 1, (255, 255, 255)),
        ("LA", (90, 255), (90, 90, 90)),
        ("LA", (90, 0), (255, 255, 255)),
        ("RGBA", (200, 10, 30, 255), (200, 10, 30)),
        ("RGBA", (200, 10, 30, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 51), (255, 204, 204)),
        ("CMYK", (255, 0, 0, 0), (0, 255, 255)),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
        ("I;16", 0, (0, 0, 0)),
        ("I;16", 257 * 100, (100, 100, 100)),
        ("I;16", 65535, (255, 255, 255)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str, color: object, expected: tuple[int, ...]) -> None:
    path = saved(Image.new(mode, (5, 4), color), tmp_path / "odd.tif")
    image = read_image(path)
    assert (image.mode, image.size) == ("RGB", (5, 4))
    assert np.unique(np.asarray(image).reshape(-1, 3), axis=0).tolist() == [list(expected)]


def test_sixteen_bit_png_keeps_its_ramp(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    path = saved(Image.fromarray(ramp), tmp_path / "ramp.png")
    np.testing.assert_array_equal(np.asarray(read_image(path))[..., 1].ravel(), np.arange(256))


def test_what_may_be_of_twelve_bits_is_not_read_as_black(tmp_path: Path) -> None:
    ramp = np.linspace(0, 4095, 256).astype(np.uint16).reshape(16, 16)
    for name in ("ct.png", "ct.tif"):
        with pytest.raises(InputError, match=r"up to 4095 may be of 12 bits.*scale them to 65535"):
            read_image(saved(Image.fromarray(ramp), tmp_path / name))
    # Values from 0 to 32767 of signed or 32-bit pixels may mean anything.
    for name, options in (("signed.tif", {"tiffinfo": {339: 2}}), ("wide.tif", {})):
        values = (16 * ramp // 2).astype(np.uint16 if options else np.int32)
        with pytest.raises(InputError, match="32-bit or signed"):
            read_image(saved(Image.fromarray(values), tmp_path / name, **options))


def test_a_tiff_whose_zero_is_white_is_turned_over(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    path = saved(Image.fromarray(ramp), tmp_path / "film.tif", tiffinfo={262: 0})
    assert np.frombuffer(path.read_bytes(), np.uint16).tobytes().find(ramp.tobytes()) > 0, "stored as they are"
    np.testing.assert_array_equal(np.asarray(read_image(path))[..., 0].ravel(), np.arange(255, -1, -1))


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png", ".webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_before_decoding_is_that_of_the_upright_image(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    path = saved(photo(60, 40), tmp_path / f"turned{suffix}", exif=exif)
    assert image_size(path) == read_image(path).size == ((40, 60) if orientation > 4 else (60, 40))
    mask = Image.new("L", (40, 60) if orientation > 4 else (60, 40))
    if orientation in (1, 6, 8):
        check_fit(mask, path, "mask")
    with pytest.raises(InputError, match="one pixel for each"):
        check_fit(mask.rotate(90, expand=True), path, "mask")


def test_palette_gives_its_colors_and_white_where_transparent(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    opaque = read_image(saved(image, tmp_path / "opaque.png"))
    holed = read_image(saved(image, tmp_path / "holed.gif", transparency=1))
    assert [opaque.getpixel((i, 0)) for i in (0, 1)] == [(10, 20, 30), (200, 100, 50)]
    assert [holed.getpixel((i, 0)) for i in (0, 1)] == [(10, 20, 30), (255, 255, 255)]


def test_large_jpeg_is_read_smaller_but_whole(tmp_path: Path) -> None:
    image = Image.new("RGB", (8200, 4200), "red")
    image.paste("blue", (4100, 0, 8200, 4200))
    assert read_image(saved(Image.new("L", (5000, 4000)), tmp_path / "photo.jpg")).size == (5000, 4000)
    small = read_image(saved(image, tmp_path / "large.jpg"))
    assert small.size == (4100, 2100)
    left, right = np.array(small.getpixel((1000, 1000))), np.array(small.getpixel((3000, 1000)))
    np.testing.assert_allclose([left, right], [[255, 0, 0], [0, 0, 255]], atol=3)


def test_bomb_is_refused_and_a_large_photograph_passes_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(saved(photo(12, 12), tmp_path / "large.png")).size == (12, 12)
    with pytest.raises(InputError, match=r"bomb\.png: .*400 pixels.*decompression bomb"):
        read_image(saved(photo(20, 20), tmp_path / "bomb.png"))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
def test_truncated_file_names_itself_in_one_line(tmp_path: Path, suffix: str) -> None:
    path = saved(photo(64, 64), tmp_path / f"cut{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_what_is_no_image_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("a letter")
    Image.new("F", (3, 3)).save(tmp_path / "float.tif")
    Image.new("I", (3, 3), 70000).save(tmp_path / "deep.tif")
    reasons = {
        "empty.png": "empty",
        "text.jpg": "not an image",
        "float.tif": "floating-point",
        "deep.tif": "32-bit",
        "none.png": "No such file",
        ".": "Not a regular file",
    }
    for name, reason in reasons.items():
        with pytest.raises(InputError, match=reason) as caught:
            read_image(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_no_two_files_share_a_name() -> None:
    paths = [Path(p) for p in ("a/cat.jpg", "b/cat.png", "c/cat-2.jpg", "d/CAT.jpg", "dog.jpg", "a/cat.jpg")]
    named = named_apart(paths)
    assert list(named.values()) == paths
    assert list(named) == ["cat", "cat-2", "cat-2-2", "CAT-3", "dog", "cat-4"]


def test_names_of_results_steer_no_terminal_and_leave_room_for_their_ends() -> None:
    paths = [
        Path(f"{name}.png") for name in ("\x1b[31mred", "two\nlines", "\u202edrow", "\udcff", "写" * 80, "写" * 79)
    ]
    named = list(named_apart(paths))
    assert named == ["_[31mred", "two_lines", "_drow", "_", "写" * 53, f"{'写' * 53}-2"]


@pytest.mark.parametrize("read", [read_image, read_mask])
def test_what_is_small_in_its_file_and_large_in_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: object
) -> None:
    monkeypatch.setattr(images, "BOMB_PIXELS", 10_000)
    flat = saved(Image.new("L", (300, 300)), tmp_path / "flat.png")
    with pytest.raises(InputError, match=r"flat\.png: .*300 x 300 pixels in \d+ bytes are a decompression bomb"):
        read(flat)  # type: ignore[operator]
    assert read_image(saved(photo(300, 300), tmp_path / "photo.png")).size == (300, 300)
    assert read_image(saved(Image.new("L", (90, 90)), tmp_path / "small.png")).size == (90, 90)


def test_a_bomb_has_more_than_a_hundred_pixels_in_a_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    assert images.BOMB_PIXELS == 50_000_000
    monkeypatch.setattr(images, "BOMB_PIXELS", 9_999)
    flat = Image.new("L", (100, 100))
    images.refuse_bomb(flat, 100)
    with pytest.raises(InputError, match="100 x 100 pixels in 99 bytes are a decompression bomb"):
        images.refuse_bomb(flat, 99)
    images.refuse_bomb(Image.new("L", (99, 101)), 1)
