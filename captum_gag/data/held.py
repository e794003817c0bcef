"""Data sets that are Python objects: tensors, a ``DataLoader``, or a torch ``Dataset``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    default_collate,
)

from captum_gag.data.datasets import Example, ImageData
from captum_gag.data.items import class_of, example_of, parts_of
from captum_gag.data.masks import mask_of, require_size
from captum_gag.errors import InputError, in_one_line
from captum_gag.tensors import as_tensor

FORMS = "(images, labels), a DataLoader, a Dataset of (image, label), or a folder of images"

TOLERANCE = 0.1
"""How far pixels may lie beside [0, 1], as those of images resized by bicubic interpolation do."""


class HeldData(ImageData):
    """Items of a Python object by number: photographs, or tensors that go to the model as they are."""

    type = "python"
    in_memory = True

    def __init__(self, data: Any, as_they_are: bool = False, in_pixels: bool = False) -> None:
        """Take a data set.

        Args:
            data: (images, labels) or (images, labels, masks), N of each, where labels may be None; images alone; a
                ``DataLoader`` over items by number; or anything with a length and items (image, label), (image, label,
                mask) or dicts of them.
            as_they_are: Images are tensors (C, H, W) that the model takes without preprocessing.
            in_pixels: Refuse such tensors with values outside [0, 1]: nothing says which colour is black then.

        Raises:
            InputError: It is none of these, or images, labels and masks are not as many.
        """
        self.as_they_are, self.in_pixels = as_they_are, in_pixels
        held: Any = data.dataset if isinstance(data, DataLoader) else _Columns(data) if _has_columns(data) else data
        is_indexed = hasattr(held, "__len__") and hasattr(held, "__getitem__")
        if not is_indexed or isinstance(held, str | Mapping | IterableDataset):
            raise InputError(
                f"data is of type {type(data).__name__} and has no items by number; must be {FORMS}. One batch of a "
                "stream does: next(iter(loader))"
            )
        self.numbers = _drawn(data) if isinstance(data, DataLoader) else None
        is_collated = isinstance(data, DataLoader) and data.batch_size and data.collate_fn is not default_collate
        self.items: Any = _Collated(data) if is_collated else held
        self.source = data if isinstance(held, _Columns) else held
        while isinstance(self.source, Subset):
            self.source = self.source.dataset
        self.count = len(self.items if self.numbers is None else self.numbers)

    def list_names(self) -> Sequence[str]:
        """List the numbers of the items, in six digits."""
        return [f"{number:06d}" for number in self.numbers or range(self.count)]

    def listed_target(self, index: int) -> int | None:
        """Return the label of an item where the data set lists them in ``targets``, as torchvision's do."""
        targets = getattr(self.items, "targets", None)
        if isinstance(targets, Tensor | np.ndarray | list) and len(targets) == len(self.items):
            return class_of(targets[int(self.names[index])], self.names[index])
        return None

    @property
    def class_names(self) -> Mapping[int, str]:
        """Names of the classes, where the data set lists them in ``classes``, as torchvision's do."""
        names = getattr(self.source, "classes", None)
        if not isinstance(names, list | tuple):
            return {}
        # ImageNet has several names for each.
        return {index: str(name[0] if isinstance(name, tuple) and name else name) for index, name in enumerate(names)}

    @property
    def numbered_by_order(self) -> int | None:
        """How many classes the data set lists."""
        return len(self.class_names) or None

    def __str__(self) -> str:
        """Return what a user calls it."""
        return f"data ({type(self.source).__name__})"

    def __getitem__(self, index: int) -> Example:
        """Read an item; whatever that raises comes out."""
        name = self.names[index]
        item = self.items[int(name)]
        if not self.as_they_are:
            return example_of(item, name)
        image, target, mask = parts_of(item, name)
        values = self.image(image, name)

        def segmentation() -> Any:
            found = mask_of(mask if not isinstance(mask, Tensor) else mask.cpu().numpy(), f"item {name}")
            require_size(found, (values.shape[2], values.shape[1]), f"item {name}")
            return found

        has_mask = getattr(mask, "ndim", 0) >= 2
        photo: Any = partial(lambda tensor: tensor, values)
        return Example(name, photo, class_of(target, name), segmentation if has_mask else None)

    def spec(self) -> dict[str, Any]:
        """Return the type and the kind of object; a run knows the images by their pixels."""
        return {"type": self.type, "name": type(self.source).__name__, "count": self.count}

    def image(self, image: Any, name: str) -> Tensor:
        """Return an image that the model takes as it is.

        Raises:
            InputError: It is no floating-point tensor or array (C, H, W), or has other values than pixels where these
                are expected.
        """
        if not isinstance(image, Tensor | np.ndarray):
            raise InputError(
                f"item {name}: its image is of type {type(image).__name__}, which only a model with its "
                "preprocessing takes; give captum_gag.models.Classifier(name, model, mean, std, resize, crop) as the "
                "model, or tensors"
            )
        values = as_tensor(f"item {name}", image).detach()
        if values.ndim != 3 or not values.is_floating_point():
            raise InputError(
                f"item {name}: its image is {tuple(values.shape)} of {values.dtype}, must be a floating-point tensor "
                "(C, H, W) as the model takes it"
            )
        low, high = float(values.min()), float(values.max())
        if self.in_pixels and (low < -TOLERANCE or high > 1 + TOLERANCE):
            end = f"down to {low:.3g}" if low < -TOLERANCE else f"up to {high:.3g}"
            raise InputError(
                f"item {name}: its image reaches {end}, and pixels are in [0, 1]; give normalization=(mean, std), by "
                "which metrics know black, such as (0, 1 / 255) where white is 255"
            )
        return values

    def first_image(self) -> Tensor:
        """Return the first image that can be read.

        Raises:
            InputError: None can be; with the error of the first.
        """
        errors: list[Exception] = []
        for index in range(len(self)):
            try:
                image: Any = self[index].photo()
                found: Tensor = image
                return found
            # The user's data can fail in any way.
            except Exception as error:
                errors.append(error)
        raise InputError(f"no image can be read: {in_one_line(errors[0])}") from errors[0]


class _Columns:
    """Items of (images, labels, masks)."""

    def __init__(self, data: Any) -> None:
        images, labels, masks = (*data, None, None)[:3] if isinstance(data, tuple | list) else (data, None, None)
        if images.ndim != 4 or not len(images):
            raise InputError(f"images are of shape {tuple(images.shape)}, must be (N, C, H, W), also a single one")
        for what, column in (("labels", labels), ("masks", masks)):
            if column is not None and (not hasattr(column, "__len__") or len(column) != len(images)):
                count = len(column) if hasattr(column, "__len__") else "no"
                raise InputError(f"there are {len(images)} images and {count} {what}; must be one for each image")
        self.images, self.masks = images, masks
        self.targets = [None] * len(images) if labels is None else list(labels)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.images[index], self.targets[index], None if self.masks is None else self.masks[index]


class _Collated:
    """Items of a ``DataLoader`` whose own function puts batches together: those of batches of one."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.dataset: Any = loader.dataset
        self.collate = loader.collate_fn

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        try:
            batch = self.collate([self.dataset[index]])
            if isinstance(batch, Mapping):
                return {name: values[0] for name, values in batch.items()}
            return tuple(values[0] for values in batch)
        # The user's own function can fail in any way.
        except Exception as error:
            raise InputError(f"collate_fn gives no batch of item {index}: {in_one_line(error)}") from error


def _has_columns(data: Any) -> bool:
    first = data[0] if isinstance(data, tuple | list) and 0 < len(data) <= 3 else data
    return isinstance(first, Tensor | np.ndarray)


def _drawn(loader: DataLoader[Any]) -> list[int] | None:
    """Return the numbers of the items that a loader with a sampler of its own draws; None for all."""
    # With a batch sampler, the loader's own is none of its.
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
    is_usual = isinstance(sampler, SequentialSampler | RandomSampler)
    if is_usual and type(loader.batch_sampler) in (BatchSampler, type(None)):
        return None
    with torch.random.fork_rng(devices=[]):
        batches: Any = [loader.sampler] if loader.batch_sampler is None else loader.batch_sampler
        return sorted({int(number) for batch in batches for number in batch})
