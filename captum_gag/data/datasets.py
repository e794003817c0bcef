"""Data sets on disk, each read as a list of examples: a photograph, perhaps its class, perhaps a segmentation."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torchvision.transforms.functional import to_pil_image

from captum_gag.data.cifar10 import read_cifar10, split_files
from captum_gag.data.images import demo_images, read_image
from captum_gag.errors import InputError
from captum_gag.specs import imported

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


@dataclass(frozen=True)
class Example:
    """One photograph of a data set.

    Attributes:
        name (str): Its own within the data set.
        photo (Callable): Reads it: a PIL image of mode RGB. Raises `InputError` if it cannot.
        target (int, optional): Its class; None explains the predicted one.
        mask (Callable, optional): Reads the segmentation of the class: a PIL image of mode L, 255 on the object.
    """

    name: str
    photo: Callable[[], Image.Image]
    target: int | None = None
    mask: Callable[[], Image.Image] | None = None


def load_dataset(spec: str) -> Sequence[Example]:
    """Finds the examples of a data set; photographs are read later, one by one.

    Args:
        spec (str): ``demo`` (five photographs), a folder of images or of a folder per class (with masks of the same
            names in a folder beside it called NAME-masks), ``imagenet-s:DIR``, ``isic:DIR``, ``places365:DIR``,
            ``cifar10:DIR``, or ``package.module:callable``, which returns a ``torch.utils.data.Dataset`` of pairs
            (PIL image or tensor in [0, 1], class) or triples with a mask.

    Raises:
        InputError: There is no such data set, or it is not laid out as expected (the message shows the tree).
    """
    kind, _, where = spec.partition(":")
    if spec == "demo":
        return [Example(name, partial(_same, photo)) for name, photo in demo_images().items()]
    if kind in READERS and where:
        found = READERS[kind](Path(where))
    elif Path(spec).is_dir():
        found = image_folder(Path(spec))
    elif where:
        found = _from_callable(spec)
    else:
        raise InputError(f"{spec}: no such folder; expected demo, a folder, {', '.join(f'{k}:DIR' for k in READERS)}")
    if not found:
        raise InputError(f"{spec}: holds no examples")
    name, times = Counter(example.name for example in found).most_common(1)[0]
    if times > 1:
        raise InputError(f"{spec}: {name} comes {times} times; scores are kept by name, so leave one of them")
    return found


def absolute(spec: str) -> str:
    """Gives the same data set by its absolute path, if it has a path: a run goes on from any directory."""
    kind, colon, where = spec.partition(":")
    if kind in READERS and where:
        return f"{kind}{colon}{Path(where).resolve()}"
    return str(Path(spec).resolve()) if Path(spec).is_dir() else spec


def image_folder(root: Path) -> list[Example]:
    """Reads a folder of images, or of a folder per class; see `class_indices` for which class a folder is."""
    masks = root.with_name(root.name + "-masks")
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    targets = class_indices(root, [folder.name for folder in folders])
    files: list[tuple[Path, int | None]] = [
        (file, targets[folder.name]) for folder in folders for file in _images(folder)
    ]
    found = files or [(file, None) for file in _images(root)]
    if not found:
        raise _wrong_layout(root, "class-a/*.jpg", "class-b/*.jpg", "or *.jpg without classes")
    return [
        Example(
            file.relative_to(root).as_posix(),
            partial(read_image, file),
            target,
            _mask_beside(masks, file.relative_to(root)),
        )
        for file, target in found
    ]


def class_indices(root: Path, folders: Sequence[str]) -> dict[str, int]:
    """Tells which class each folder holds.

    By a file in the folder or in the one above: ``classes.csv`` (columns class_index and wnid or name),
    ``imagenet_class_index.json`` (index to [wnid, name]) or ``LOC_synset_mapping.txt`` (a wnid per line); without one,
    by the order of the folders' names, as torchvision has it.

    Raises:
        InputError: The file does not list a folder.
    """
    for place in (root, root.parent):
        for name, read in CLASS_FILES.items():
            if (place / name).is_file():
                listed = read(place / name)
                missing = [folder for folder in folders if folder not in listed]
                if missing:
                    raise InputError(f"{place / name}: does not list the folder {missing[0]!r} of {root}")
                return {folder: listed[folder] for folder in folders}
    return {folder: index for index, folder in enumerate(sorted(folders))}


def imagenet_s(root: Path) -> list[Example]:
    """Reads the validation images of ImageNet-S (50, 300 or 919 classes) with their segmentations.

    A segmentation holds the class in 16 bits, red + 256 green: 1 to the number of classes in the order of the folders,
    0 for other, 1000 for ignored.
    """
    images, masks = root / "validation", root / "validation-segmentation"
    folders = sorted(path for path in images.iterdir() if path.is_dir()) if images.is_dir() else []
    if not folders or not masks.is_dir():
        raise _wrong_layout(root, "validation/n01440764/*.JPEG", "validation-segmentation/n01440764/*.png")
    targets = class_indices(root, [folder.name for folder in folders])
    return [
        Example(
            f"{folder.name}/{file.name}",
            partial(read_image, file),
            targets[folder.name],
            partial(_imagenet_s_mask, masks / folder.name / f"{file.stem}.png", number),
        )
        for number, folder in enumerate(folders, start=1)
        for file in _images(folder)
    ]


def isic(root: Path) -> list[Example]:
    """Reads ISIC's images by its CSV: a column of numbers (target) or of names (diagnosis), or a column per class."""
    tables = sorted(root.glob("*.csv"))
    folder = next((each for each in (root / "images", root / "train", root) if each.is_dir() and _images(each)), None)
    if not tables or folder is None:
        raise _wrong_layout(
            root, "train.csv", "images/ISIC_0000000.jpg", "masks/ISIC_0000000_segmentation.png (Task 1)"
        )
    with tables[0].open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0]) if rows else []
    key = next((each for each in ("image_name", "isic_id", "image", "image_id") if each in columns), None)
    if key is None:
        raise InputError(f"{tables[0]}: has no column image_name, isic_id, image or image_id; found {columns}")
    targets = _isic_targets(tables[0], rows, key)
    files = {file.stem: file for file in _images(folder)}
    return [
        Example(
            row[key],
            partial(read_image, files.get(Path(row[key]).stem, folder / f"{row[key]}.jpg")),
            target,
            _mask_beside(root / "masks", Path(f"{Path(row[key]).stem}_segmentation.png")),
        )
        for row, target in zip(rows, targets, strict=True)
    ]


def places365(root: Path) -> list[Example]:
    """Reads the validation images of Places365 as torchvision lays them out."""
    listing = root / "places365_val.txt"
    folder = next((each for each in (root / "val_256", root / "val_large") if each.is_dir()), None)
    if folder is None or not listing.is_file():
        raise _wrong_layout(root, "places365_val.txt", "val_256/Places365_val_00000001.jpg")
    pairs = [line.rsplit(maxsplit=1) for line in listing.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [Example(name, partial(read_image, folder / name), int(target)) for name, target in pairs]


def cifar10(root: Path) -> list[Example]:
    """Reads the test images of CIFAR-10, in torchvision's layout or a folder per class, zipped or not."""
    if (root / "cifar-10-batches-py").is_dir():
        images, targets = read_cifar10(root, "test")
        return [
            Example(f"{number:05d}", partial(to_pil_image, images[number]), target)
            for number, target in enumerate(targets.tolist())
        ]
    # An example of every class in turn, so that a limit takes some of each.
    order = sorted(split_files(root, "test"), key=lambda each: (each[0].name.partition("/")[2], each[1]))
    return [Example(file.name, file.open, target) for file, target in order]


READERS: dict[str, Callable[[Path], list[Example]]] = {
    "imagenet-s": imagenet_s,
    "isic": isic,
    "places365": places365,
    "cifar10": cifar10,
}


def _classes_csv(path: Path) -> dict[str, int]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return {(row.get("wnid") or row["name"]): int(row["class_index"]) for row in csv.DictReader(file)}


def _class_index_json(path: Path) -> dict[str, int]:
    return {names[0]: int(index) for index, names in json.loads(path.read_text(encoding="utf-8")).items()}


def _synset_mapping(path: Path) -> dict[str, int]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line.split()[0]: index for index, line in enumerate(lines) if line.strip()}


CLASS_FILES: dict[str, Callable[[Path], dict[str, int]]] = {
    "classes.csv": _classes_csv,
    "imagenet_class_index.json": _class_index_json,
    "LOC_synset_mapping.txt": _synset_mapping,
}


def _isic_targets(table: Path, rows: list[dict[str, str]], key: str) -> list[int]:
    if "target" in rows[0]:
        return [int(row["target"]) for row in rows]
    if "diagnosis" in rows[0]:
        names = sorted({row["diagnosis"] for row in rows})
        return [names.index(row["diagnosis"]) for row in rows]
    classes = [column for column in rows[0] if column != key]
    try:
        values = [[float(row[column]) for column in classes] for row in rows]
    except ValueError as error:
        raise InputError(f"{table}: expected a column target or diagnosis, or one per class; {error}") from error
    return [int(np.argmax(each)) for each in values]


def _from_callable(name: str) -> list[Example]:
    build = imported(name, "data set")
    try:
        dataset = build()
        length = len(dataset)
    except TypeError as error:
        raise InputError(f"{name} cannot be read as a data set: {error}") from error
    has_masks = length > 0 and len(dataset[0]) > 2
    return [
        Example(
            f"{index:06d}",
            partial(_item_image, dataset, index, 0),
            int(dataset[index][1]),
            partial(_item_image, dataset, index, 2) if has_masks else None,
        )
        for index in range(length)
    ]


def _item_image(dataset: Any, index: int, place: int) -> Image.Image:
    item = dataset[index][place]
    image = item if isinstance(item, Image.Image) else to_pil_image(item.float())
    converted: Image.Image = image.convert("RGB" if place == 0 else "L")
    return converted


def _imagenet_s_mask(path: Path, number: int) -> Image.Image:
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a segmentation: {error}") from error
    return Image.fromarray(np.where(pixels[..., 0] + 256 * pixels[..., 1] == number, 255, 0).astype(np.uint8))


def _mask_beside(masks: Path, file: Path) -> Callable[[], Image.Image] | None:
    place = next((path for path in (masks / file, (masks / file).with_suffix(".png")) if path.is_file()), None)
    return partial(_binary_mask, place) if place else None


def _binary_mask(path: Path) -> Image.Image:
    return read_image(path).convert("L").point(lambda value: 255 * (value > 127))


def _same(photo: Image.Image) -> Image.Image:
    return photo


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _wrong_layout(root: Path, *expected: str) -> InputError:
    return InputError(f"{root}: is not laid out as expected:\n" + "\n".join(f"  {root}/{each}" for each in expected))
