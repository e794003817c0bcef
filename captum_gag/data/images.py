"""Photographs: read any image file as upright 8-bit RGB, and the five that come with the dependencies."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from captum_gag.errors import InputError, printable
from captum_gag.files import require_file

BOMB_PIXELS, BOMB_RATIO = 50_000_000, 100
"""A file that decodes to more pixels than the first, and to more for each of its bytes than the second, is refused.

A photograph has a few pixels in a byte; a flat segmentation of one may have 1000, but is smaller than that.
"""

SOFTWARE = "captum-gag"
"""The Software of the PNGs that this package writes, by which it knows them."""

LONGEST_NAME = 160
"""Bytes of a file's name by which its results are called."""

TWELVE_BITS = 4095
"""Up to here pixels of 16 bits may as well be of 12 bits or fewer, so that white is not known."""

PHOTOMETRIC, WIDTH = 262, 256
"""The TIFF entries that say that 0 is white, and how wide an image is as it is stored."""

DEMO = ("chelsea", "coffee", "rocket", "china", "flower")


def read_image(path: str | Path) -> Image.Image:
    """Read an image file as upright 8-bit RGB.

    Grayscale, palette, CMYK and 16-bit files are converted, EXIF rotation is applied, transparency is
    composited on white (as image viewers show it), and of an animation, or of pages, the first is taken. A JPEG
    of at least 4096 x 4096 pixels is decoded at a half, a quarter or an eighth of its size, to no less than
    2048 x 2048: that keeps memory small, and is still far more than a classifier sees.

    Args:
        path: The file, in any format that Pillow reads.

    Returns:
        Mode RGB, of at least 1 x 1 pixel.

    Raises:
        InputError: The file is missing, empty, truncated, not an image, a decompression bomb (larger than twice
            ``PIL.Image.MAX_IMAGE_PIXELS``, or see ``BOMB_PIXELS``), or of floating-point pixels. The message is one
            line and names the file.
    """
    path = Path(path)
    try:
        require_file(path)
        if path.stat().st_size == 0:
            raise InputError("the file is empty")
        with warnings.catch_warnings():
            # Below Pillow's error limit a large photograph is legitimate.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.draft(None, (2048, 2048))
                refuse_bomb(image, path.stat().st_size)
                image.load()
                # Pillow turns 8 bits of such a TIFF over, and leaves more as they are.
                zero_is_white = _tags(image).get(PHOTOMETRIC) == 0 and image.mode.startswith("I")
                ImageOps.exif_transpose(image, in_place=True)
                rgb = to_rgb(image)
                return ImageOps.invert(rgb) if zero_is_white else rgb
    except UnidentifiedImageError:
        reason = "not an image that Pillow can read"
    except Image.DecompressionBombError as error:
        reason = str(error)
    # Pillow's decoders meet broken bytes with almost any exception: SyntaxError, struct.error, KeyError.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    raise InputError(f"{shown(path)}: {' '.join(reason.split())}")


def refuse_bomb(image: Image.Image, size: int) -> None:
    """Refuse an image that takes little space in its file and much in memory, before it is decoded.

    Args:
        image: As Pillow opened it.
        size: Of its file, in bytes.

    Raises:
        InputError: It is such.
    """
    pixels = image.width * image.height
    if pixels > BOMB_PIXELS and pixels > BOMB_RATIO * size:
        raise InputError(
            f"{image.width} x {image.height} pixels in {size} bytes are a decompression bomb; save it smaller"
        )


def image_size(path: str | Path) -> tuple[int, int] | None:
    """Return width and height of an image file in pixels, upright, without decoding it; None if it cannot be read."""
    try:
        require_file(Path(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return upright_size(image)
    except Exception:
        return None


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height of an image that was opened, and not decoded, once it is upright.

    Of a TIFF Pillow has turned the size already, and its entry is still there.
    """
    width, height = image.size
    # From 5 on, EXIF turns it by a quarter.
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    already = turned and _tags(image).get(WIDTH, width) != width
    return (height, width) if turned and not already else (width, height)


def page_count(path: Path) -> int:
    """Count the pages of a TIFF, without decoding one; 1 if it cannot be read, which reading the first says."""
    try:
        require_file(path)
        with Image.open(path, formats=["TIFF"]) as image:
            return int(getattr(image, "n_frames", 1))
    except Exception:
        return 1


def _tags(image: Image.Image) -> Any:
    return getattr(image, "tag_v2", {})


def is_drawn(path: Path) -> bool:
    """Return whether an image file is a PNG that this package wrote."""
    try:
        require_file(path)
        with Image.open(path, formats=["PNG"]) as image:
            return bool(image.info.get("Software") == SOFTWARE)
    # Whatever else it is, it is said when it is read.
    except Exception:
        return False


def shown(path: str | Path) -> str:
    """Return a path as text that can be printed and stored: bytes that are no text are escaped in hex."""
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"))


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image of any mode as 8-bit RGB: 65535 is the white of 16 bits, transparency is shown on white.

    Raises:
        InputError: It has floating-point or 32-bit pixels, or such of 16 bits as may be of 12 bits, of which it is not
            known what white is.
    """
    if image.mode == "F":
        raise InputError("floating-point pixels have no known white; save the image with 8 or 16 bits")
    if image.mode.startswith("I"):
        levels = np.asarray(image)
        is_wide = image.mode == "I" and image.format == "TIFF"
        if is_wide or levels.min() < 0 or levels.max() > 65535:
            raise InputError("32-bit or signed pixels have no known white; save the image with 8 or 16 bits")
        if 0 < levels.max() <= TWELVE_BITS:
            raise InputError(
                f"16-bit pixels up to {levels.max()} may be of 12 bits or fewer, so that white is not known; scale "
                "them to 65535, or save the image with 8 bits"
            )
        # Pillow's own conversion of 16-bit gray to 8 bits clips at 255 instead of scaling.
        image = Image.fromarray((levels // 257).astype(np.uint8))
    elif image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        image = white
    return image if image.mode == "RGB" else image.convert("RGB")


def named_apart(paths: Sequence[Path]) -> dict[str, Path]:
    """Name each file apart, to write its results under that name.

    Args:
        paths: Any files, some perhaps of the same name in different directories.

    Returns:
        Files by stem, numbered from the second of a name on (cat, cat-2); the names differ also where upper and lower
        case are the same.
    """
    named: dict[str, Path] = {}
    taken: set[str] = set()
    for path in paths:
        # What is no text, or steers a terminal, is neither printed nor written; a file's name has at most 255 bytes,
        # and that of a result ends in more.
        text = "".join(letter if letter.isprintable() else "_" for letter in path.stem)
        stem = name = text.encode()[:LONGEST_NAME].decode(errors="ignore")
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        named[name] = path
    return named


def demo_image(name: str) -> Image.Image:
    """Return a photograph of the demo, without a download.

    Args:
        name: One of ``DEMO``: chelsea (a cat), coffee and rocket from scikit-image, china (a temple) and flower from
            scikit-learn.

    Returns:
        Mode RGB, 300 to 427 pixels high.
    """
    if name in ("china", "flower"):
        from sklearn.datasets import load_sample_image

        return Image.fromarray(load_sample_image(f"{name}.jpg"))
    import skimage.data

    return Image.fromarray(getattr(skimage.data, name)())


def demo_images() -> dict[str, Image.Image]:
    """Return all photographs of the demo by name; see ``demo_image``."""
    return {name: demo_image(name) for name in DEMO}
