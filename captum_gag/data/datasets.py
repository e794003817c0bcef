"""What a data set is: examples by index and by name, none of them read before it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image
from typing_extensions import Self

from captum_gag.data.images import shown
from captum_gag.errors import InputError
from captum_gag.options import Specified, declared, option


@dataclass(frozen=True)
class Example:
    """One photograph of a data set.

    Attributes:
        name: Its own within the data set.
        photo: Reads it: a PIL image of mode RGB. Raises ``InputError`` if it cannot.
        target: Its class; None explains the predicted one.
        mask: Reads the segmentation of the class: a PIL image of mode L, 255 on the object.
        distractor: The same of something that says nothing of the class, where such a thing is known.
        group: Examples that depend on each other, such as those of one patient, have the same; "" for no others.
    """

    name: str
    photo: Callable[[], Image.Image]
    target: int | None = None
    mask: Callable[[], Image.Image] | None = None
    distractor: Callable[[], Image.Image] | None = None
    group: str = ""


class ImageData(Specified):
    """Examples by index. It is what its options say: pickled, it is these, and not the images.

    A data set of one's own is a ``declared`` subclass with ``list_names`` and ``__getitem__``.
    """

    type: ClassVar[str]
    """Its name in a spec; that of a class of one's own is ``package.module:Class``."""

    in_memory: ClassVar[bool] = False
    """Whether examples are no files: a run then knows them by their pixels."""

    def __init_subclass__(cls) -> None:
        """Name a class that has no name of its own."""
        if "type" not in cls.__dict__:
            cls.type = f"{cls.__module__}:{cls.__qualname__}"

    def list_names(self) -> Sequence[str]:
        """List the names of all examples, in their order, without reading an image."""
        raise NotImplementedError

    def __getitem__(self, index: int) -> Example:
        """Return an example, reading what must be read for that, and no other.

        Raises:
            IndexError: There is no such example.
        """
        raise NotImplementedError

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all examples, in their order.

        Raises:
            InputError: There are none, a name comes twice, or the data are not laid out as expected.
        """
        names = tuple(self.list_names())
        if not names:
            raise InputError(f"{self}: holds no examples")
        name, times = Counter(names).most_common(1)[0]
        if times > 1:
            raise InputError(f"{self}: {name} comes {times} times; scores are kept by name, so leave one of them")
        return names

    @cached_property
    def index(self) -> dict[str, int]:
        """The index of each name."""
        return {name: index for index, name in enumerate(self.names)}

    def __len__(self) -> int:
        """Count the examples."""
        return len(self.names)

    def __iter__(self) -> Iterator[Example]:
        """Read the examples one after the other."""
        return (self[index] for index in range(len(self)))

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the files that the content of an example is in; none if it is in memory only."""
        return ()

    def listed_target(self, index: int) -> int | None:
        """Return the class of an example, if it is known without reading the example."""
        return None

    def listings(self) -> tuple[Path, ...]:
        """Return the files that say which examples there are, or which class is which."""
        return ()

    def left_out(self) -> list[tuple[str, str]]:
        """List what lies among the examples and is none, with the reason."""
        return []

    @property
    def numbered_by_order(self) -> int | None:
        """How many classes were numbered by the order of their names; None if a file says which number each is.

        Such numbers are a model's only if it has just as many classes: who knows the model refuses others.
        """
        return None

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The name of each class, where a model that names its classes must call them so; None if it need not."""
        return None

    @property
    def class_names(self) -> Mapping[int, str]:
        """Names of the classes by number, as far as the data set has any; a model's own names come before them."""
        return dict(enumerate(self.labels or ()))

    def train(self) -> ImageData:
        """Return the training images that belong to this data set.

        Raises:
            InputError: There are none.
        """
        raise InputError(f"{self}: has no training images")

    def absolute(self) -> Self:
        """Return the same data set by absolute paths, so that it is found from any directory."""
        return self

    def __str__(self) -> str:
        """Return what a user calls it."""
        return self.type

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the options."""
        return _built, (type(self), self.options())


@declared
class StoredData(ImageData):
    """Photographs in a directory."""

    root: str | Path = option(help="Its directory.")

    paths: ClassVar[tuple[str, ...]] = ("root",)
    """The options that are paths."""

    @property
    def directory(self) -> Path:
        """The root, as a path."""
        return Path(self.root)

    def absolute(self) -> Self:
        """Return the same data set by absolute paths; what lies beside a link is still beside it."""
        given = self.options()
        found = {name: Path(given[name]).absolute() for name in self.paths if given[name] is not None}
        return type(self)(**given | found)

    def wrong_layout(self, *expected: str) -> InputError:
        """Return the error that shows the tree that was expected below the root."""
        root = shown(self.root)
        return InputError(
            f"{root}: is not laid out as expected:\n" + "\n".join(f"  {root}/{each}" for each in expected)
        )

    def __str__(self) -> str:
        """Return what a user calls it: the type and its directory."""
        return f"{self.type}:{shown(self.root)}"


def _built(cls: type[ImageData], options: dict[str, Any]) -> ImageData:
    return cls(**options)
