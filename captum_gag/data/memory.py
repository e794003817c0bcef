"""Data sets that are no image files: the demo's photographs, any torch ``Dataset``, and Hugging Face's on disk."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar

from captum_gag.data.datasets import Example, ImageData, StoredData
from captum_gag.data.images import DEMO, demo_image
from captum_gag.data.items import KEYS, class_of, example_of
from captum_gag.errors import InputError, in_one_line
from captum_gag.names import imported
from captum_gag.options import declared, option


@declared
class Demo(ImageData):
    """Five photographs that come with the dependencies."""

    type: ClassVar[str] = "demo"

    def list_names(self) -> Sequence[str]:
        """List the photographs' names."""
        return DEMO

    def __getitem__(self, index: int) -> Example:
        """Return a photograph without a class."""
        return Example(DEMO[index], partial(demo_image, DEMO[index]))


class ItemsData(ImageData):
    """Items by number, of a torch ``Dataset`` or what is used like one.

    Its items are (image, class), (image, class, mask) or dicts of them; see ``photo_of``, ``class_of`` and ``mask_of``
    for what each may be. Only its length is asked for until an item is wanted, and an item is read once for all that
    is in it.
    """

    in_memory: ClassVar[bool] = True

    @property
    def source(self) -> Any:
        """The object that has the items."""
        raise NotImplementedError

    def list_names(self) -> Sequence[str]:
        """Return the numbers of the items, in six digits."""
        source = self.source
        if isinstance(source, Mapping):
            raise InputError(
                f"{self} returns a dict of {', '.join(map(str, source))}; expected one data set: choose one of them"
            )
        try:
            length = len(source)
            if not hasattr(source, "__getitem__"):
                raise TypeError(f"{type(source).__name__} has no items by number; return its Dataset")
        except Exception as error:
            raise InputError(f"{self} cannot be read as a data set: {in_one_line(error)}") from error
        return [f"{index:06d}" for index in range(length)]

    @property
    def class_names(self) -> Mapping[int, str]:
        """Names of the classes, where the data set lists them as torchvision's do, in "classes"."""
        names = getattr(self.source, "classes", None)
        return dict(enumerate(map(str, names))) if isinstance(names, list | tuple) else {}

    def __getitem__(self, index: int) -> Example:
        """Read an item; whatever that raises comes out."""
        name = self.names[index]
        item = self.source[int(name)]
        try:
            return example_of(item, name)
        except InputError as error:
            raise InputError(f"{self}: {error}") from error


@declared
class TorchData(ItemsData):
    """What a callable of the user's returns: a torch ``Dataset``."""

    callable: str = option(help="package.module:callable.")
    arguments: dict[str, Any] = option(help="Keyword arguments of the callable.")

    type: ClassVar[str] = "package.module:callable"

    @cached_property
    def source(self) -> Any:
        """What the callable returns.

        Raises:
            InputError: It cannot be imported, or the call fails.
        """
        build = imported(self.callable, "data set")
        try:
            return build(**self.arguments)
        # Code of the user's can fail in any way.
        except Exception as error:
            raise InputError(f"{self} cannot be read as a data set: {in_one_line(error)}") from error

    def spec(self) -> dict[str, Any]:
        """Return the callable as the type, with its arguments."""
        return {"type": self.callable} | self.arguments

    def __str__(self) -> str:
        """Return the callable's name."""
        return self.callable


@declared
class HuggingFaceData(StoredData, ItemsData):
    """What ``datasets.Dataset.save_to_disk`` wrote, with columns of images, classes and perhaps masks."""

    split: str | None = option(default=None, help="Which of its splits, where it has several, such as test.")

    type: ClassVar[str] = "hf"

    @cached_property
    def source(self) -> Any:
        """The data set; images are decoded when an item is asked for.

        Raises:
            InputError: ``datasets`` is not installed, or the directory cannot be read, or a split has to be chosen.
        """
        try:
            datasets: Any = importlib.import_module("datasets")
        except ImportError as error:
            raise InputError(f"{self}: datasets is not installed; install it with: pip install datasets") from error
        try:
            loaded = datasets.load_from_disk(str(self.root))
        # Its own errors, and those of Arrow.
        except Exception as error:
            raise InputError(f"{self} cannot be read as a data set: {in_one_line(error)}") from error
        if not isinstance(loaded, Mapping):
            return loaded
        if self.split not in loaded:
            raise InputError(f"{self}: has the splits {', '.join(loaded)}; choose one by the option split")
        return loaded[self.split]

    @cached_property
    def _label(self) -> str | None:
        """The column of classes; None if none or several may be it, which reading an item says."""
        columns = [name for name in KEYS["class"] if name in self.source.column_names]
        return columns[0] if len(columns) == 1 else None

    @cached_property
    def _targets(self) -> list[Any]:
        return [] if self._label is None else list(self.source[self._label])

    def listed_target(self, index: int) -> int | None:
        """Return the class of an item, read without its image."""
        return class_of(self._targets[index], self.names[index]) if self._targets else None

    @property
    def class_names(self) -> Mapping[int, str]:
        """Names of the classes, where the column of classes has them."""
        feature = self.source.features.get(self._label)
        return dict(enumerate(map(str, getattr(feature, "names", None) or ())))

    @property
    def numbered_by_order(self) -> int | None:
        """How many classes the column names."""
        return len(self.class_names) or None
