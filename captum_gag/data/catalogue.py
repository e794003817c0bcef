"""Data sets by type, and how a spec becomes one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from captum_gag.data.cifar10 import Cifar10
from captum_gag.data.datasets import ImageData, StoredData
from captum_gag.data.folders import ImageFolder
from captum_gag.data.imagenet_s import ImageNetS
from captum_gag.data.images import shown
from captum_gag.data.memory import Demo, TorchData
from captum_gag.data.mosaics import Mosaic
from captum_gag.data.planted import Planted
from captum_gag.data.tables import ISIC, Places365
from captum_gag.errors import InputError
from captum_gag.options import build, unknown

DATASETS: dict[str, type[ImageData]] = {
    each.type: each for each in (Demo, ImageFolder, ImageNetS, ISIC, Places365, Cifar10, Mosaic, Planted)
}


def parse(text: str) -> dict[str, Any]:
    """Return the spec that a text stands for.

    Args:
        text: ``demo`` (five photographs), a folder of images or of a folder per class, ``imagenet-s:DIR``,
            ``isic:DIR``, ``places365:DIR``, ``cifar10:DIR``, ``mosaic:DIR`` (of photographs of different classes),
            ``planted:KIND`` (object, texture, colour, watermark, both or background), or ``package.module:callable``,
            which returns a ``torch.utils.data.Dataset``.

    Raises:
        InputError: It is none of these.
    """
    kind, _, where = text.partition(":")
    if text == Demo.type:
        return {"type": text}
    if where and kind in DATASETS and issubclass(DATASETS[kind], StoredData):
        return {"type": kind, "root": where}
    if where and kind == Planted.type:
        return {"type": kind, "kind": where}
    if Path(text).is_dir():
        return {"type": ImageFolder.type, "root": text}
    if where:
        return {"type": text}
    kinds = [f"{name}:DIR" for name, each in DATASETS.items() if issubclass(each, StoredData) and each != ImageFolder]
    raise InputError(f"{shown(text)}: no such folder; expected demo, a folder, {', '.join(kinds)}, {Planted.type}:KIND")


def dataset(spec: str | Mapping[str, Any]) -> ImageData:
    """Open a data set: its examples are listed, and none is read.

    Args:
        spec: A text that ``parse`` takes, or type and options; the options of ``package.module:callable`` are the
            callable's arguments.

    Raises:
        InputError: There is no such data set, it has no such options, or it is not laid out as expected (the message
            shows the tree).
    """
    options = dict(parse(spec) if isinstance(spec, str) else spec)
    type = str(options.pop("type", ""))
    if ":" in type:
        own = TorchData(type, options)
        found: ImageData = own.source if isinstance(own.source, ImageData) else own
    elif type in DATASETS:
        found = build(DATASETS, type, options, "data set")
    else:
        raise unknown("data set", type, [*DATASETS, TorchData.type])
    len(found)
    return found
