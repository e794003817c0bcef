"""Data sets that are no files of their own: the demo's photographs, and any torch ``Dataset``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar

from captum_gag.data.datasets import Example, ImageData
from captum_gag.data.images import DEMO, demo_image
from captum_gag.data.items import example_of
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


@declared
class TorchData(ImageData):
    """What a callable of the user's returns: a torch ``Dataset``.

    Its items are (image, class), (image, class, mask) or dicts of them; see ``photo_of``, ``class_of`` and ``mask_of``
    for what each may be. Only its length is asked for until an item is wanted, and an item is read once for all that
    is in it.
    """

    callable: str = option(help="package.module:callable.")
    arguments: dict[str, Any] = option(help="Keyword arguments of the callable.")

    type: ClassVar[str] = "package.module:callable"
    in_memory: ClassVar[bool] = True

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

    def spec(self) -> dict[str, Any]:
        """Return the callable as the type, with its arguments."""
        return {"type": self.callable} | self.arguments

    def __str__(self) -> str:
        """Return the callable's name."""
        return self.callable
