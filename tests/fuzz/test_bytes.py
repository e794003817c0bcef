"""Files of any bytes: a result or one line that names the file, whatever reads them, in bounded time and memory."""

from __future__ import annotations

import io
import json
import resource
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import tomli_w
import torch
from fuzz.strategies import FUZZ, answered
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from captum_gag.data.class_files import class_indices
from captum_gag.data.class_names import class_names
from captum_gag.data.csv_files import by_column, read_rows, whole
from captum_gag.data.images import image_size, read_image
from captum_gag.data.masks import read_mask
from captum_gag.models.cifar10 import read_statistics
from captum_gag.models.planted import read_reliance
from captum_gag.models.weights import read_metadata, read_state
from captum_gag.reliability import read_scores
from captum_gag.runs.arrays import read_arrays
from captum_gag.runs.description import Description
from captum_gag.runs.spec import make_suite, read_suite
from captum_gag.runs.store import Run

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("ignore")]

SECONDS = 10


def _picture(form: str, mode: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 4), dtype=np.uint8)
    image = Image.fromarray(pixels).convert("RGB").convert(mode) if mode != "I;16" else Image.new("I;16", (9, 6), 700)
    content = io.BytesIO()
    image.save(content, form)
    return content.getvalue()


def _mask() -> bytes:
    content = io.BytesIO()
    Image.fromarray((np.indices((6, 9)).sum(0) % 2 * 255).astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


SCORES = pd.DataFrame(
    {"image": list("aabb"), "method": ["x", "y"] * 2, "metric": "RCAP", "score": [0.1, 0.2, 0.3, np.nan]}
)
PICTURES = [("PNG", "RGB"), ("PNG", "P"), ("PNG", "I;16"), ("JPEG", "RGB"), ("GIF", "P"), ("TIFF", "RGB")]
PICTURES += [("TIFF", "I;16"), ("BMP", "RGB"), ("WEBP", "RGB"), ("PNG", "LA"), ("PPM", "RGB"), ("TGA", "RGB")]
WEIGHTS = {"a.weight": torch.rand(2, 3), "a.bias": torch.rand(2)}
SUITE = {"title": "t", "methods": {"GAG-85": {}, "IG": {"n_samples": 3}}, "metrics": {"RCAP": {"lower_bound": 50}}}
RUN = {"schema": 1, "config": {"suite": SUITE, "model": {"type": "planted"}, "data": {"type": "planted"}}}
RUN["identity"] = {"torch": "2"}


def _pickled() -> bytes:
    content = io.BytesIO()
    torch.save({"state_dict": WEIGHTS}, content)
    return content.getvalue()


def _suite(path: Path) -> Any:
    return make_suite(read_suite(str(path)))


def _table(path: Path) -> Any:
    return [whole(cell) for column in by_column(read_rows(path), path).values() for cell in column]


def _run(path: Path) -> Any:
    path.rename(path.with_name("run.json"))
    run = Run.load(path.parent)
    return run.config, run.identity, run.scores()


Reader = Callable[[Path], Any]
READERS: dict[str, tuple[Reader, str, list[bytes]]] = {
    "image": (read_image, "x.png", [_picture(*each) for each in PICTURES]),
    "size": (image_size, "x.png", [_picture(*each) for each in PICTURES]),
    "mask": (read_mask, "x.png", [_mask(), _picture("PNG", "P"), _picture("JPEG", "RGB")]),
    "scores.csv": (read_scores, "x.csv", [SCORES.to_csv(index=False).encode()]),
    "scores.parquet": (read_scores, "x.parquet", [SCORES.to_parquet()]),
    "table": (_table, "x.csv", [b"class_index,name\n0,cat\n1,dog\n", b"image;MEL\na;1.0\n"]),
    "classes.json": (class_names, "x.json", [b'["cat", "dog"]', b'{"0": ["n1", "cat"]}']),
    "classes.csv": (class_names, "x.csv", [b"class_index,name\n0,cat\n1,dog\n"]),
    "classes.txt": (class_names, "x.txt", [b"n01440764 tench\nn01443537 goldfish\n"]),
    "folders": (lambda path: class_indices(path.parent, ["a"]), "classes.csv", [b"class_index,name\n0,a\n"]),
    "index": (lambda path: class_indices(path.parent, ["a"]), "imagenet_class_index.json", [b'{"0": ["a", "b"]}']),
    "suite": (_suite, "x.toml", [tomli_w.dumps(SUITE).encode()]),
    "weights": (read_state, "x.safetensors", [safetensors.torch.save(WEIGHTS, {"mean": "[0.5]", "std": "[1.0]"})]),
    "pickle": (read_state, "x.pt", [_pickled()]),
    "metadata": (read_metadata, "x.safetensors", [safetensors.torch.save(WEIGHTS, {"mean": "[0.5]"})]),
    "statistics": (read_statistics, "x.safetensors", [safetensors.torch.save(WEIGHTS, {"mean": "[1]", "std": "[1]"})]),
    "reliance": (read_reliance, "x.safetensors", [safetensors.torch.save(WEIGHTS, {"reliance": "{}"})]),
    "arrays": (read_arrays, "x.safetensors", [safetensors.torch.save(WEIGHTS)]),
    "run.json": (lambda path: Description.read(path), "x.json", [json.dumps(RUN).encode()]),
    "run": (_run, "x.json", [json.dumps(RUN).encode()]),
}
SPECIAL = [
    b"\0",
    b"\xff" * 8,
    b'"',
    b"'",
    b"[",
    b"{",
    b"=",
    b",",
    b";",
    b"\n",
    b"\r",
    b"1e999",
    b"-1",
    b"nan",
    b"9" * 40,
]
SPECIAL += [
    b"9" * 5000,
    b"[" * 3000,
    b'{"a":' * 3000,
    b"null",
    b"true",
    b"\x1b[31m",
    "\u202e".encode(),
    b"\xed\xa0\x80",
]


@st.composite
def damaged(draw: Any, whole: list[bytes]) -> bytes:
    """Return a file with bytes changed, cut off, put in or repeated; or anything at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.one_of(st.binary(max_size=60), st.sampled_from(SPECIAL)))
    content = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        how = draw(st.sampled_from(["change", "cut", "insert", "repeat", "remove"]))
        if how == "change" and content:
            content[place] = draw(st.integers(0, 255))
        elif how == "cut":
            content = content[:place]
        elif how == "insert":
            content[place:place] = draw(st.sampled_from(SPECIAL))
        elif how == "repeat":
            content += content[place : place + 20]
        else:
            del content[place : place + draw(st.integers(1, 20))]
    return bytes(content)


@pytest.mark.parametrize("name", READERS)
@FUZZ
@given(data=st.data())
def test_any_bytes(name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    read, file, known = READERS[name]
    path = tmp_path_factory.mktemp("bytes", numbered=True) / file
    path.write_bytes(data.draw(damaged(known)))
    started = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    answered(read, path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - started < SECONDS


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


@cache
def bomb(side: int, depth: int, colour: int) -> bytes:
    """Return a PNG of zeros: a thousandth of what it decodes to."""
    bytes_of_pixel = {0: 1, 2: 3, 6: 4}[colour] * depth // 8
    header = side.to_bytes(4, "big") * 2 + bytes([depth, colour, 0, 0, 0])
    deflate = zlib.compressobj(9)
    rows = b"".join(deflate.compress(bytes(1 + side * bytes_of_pixel)) for _ in range(side)) + deflate.flush()
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


@pytest.mark.parametrize(("depth", "colour"), [(8, 6), (16, 0)])
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path, read: Reader, depth: int, colour: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(9000, depth, colour))
    assert path.stat().st_size < 1_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert answered(read, path) is None
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown / (1024 if sys.platform == "linux" else 1024**2) < 64
