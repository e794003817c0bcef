"""What a method is: declared options, and one way to explain a batch of images."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

from captum_gag.tensors import Target, class_targets

Images = Callable[[str, int], Tensor]
"""("train" or a folder, n) -> n preprocessed images (n, C, H, W), as a run has them."""

METHODS: dict[str, type[Method]] = {}
"""The declared types of methods by name; every class of Captum is one too, see ``captum_methods``."""

M = TypeVar("M", bound="type[Method]")


class Method:
    """One way to explain an image classifier, with its options set.

    A method of one's own is a ``declared`` subclass with ``explain``.

    Attributes:
        of: The method whose maps this one transforms, if it does.
        transform: How: "reverse", "sharpen", "binarise" or "one_pixel"; "" for a method that explains by itself.
        control: What a method that does not look at the model shows: "random", "edges" or "constant"; else "".
        built_from: The class of Captum that it calls, if that is all; see ``parts``.
    """

    of: Method | None = None
    transform: ClassVar[str] = ""
    control: ClassVar[str] = ""
    built_from: ClassVar[str] = "-"

    def attribute(self, model: nn.Module, inputs: Tensor, target: Target, seed: int | None = 0) -> Tensor:
        """Explain a batch of images.

        Args:
            model: Classifier, images (N, C, H, W) to scores (N, classes).
            inputs: Images (N, C, H, W).
            target: Class of all images, or of each.
            seed: Fixes noise and random maps, and leaves the global random state alone. None draws from that.

        Returns:
            Attributions (N, C, H, W), or (N, 1, H, W) from methods that give one value per pixel, without graph.

        Raises:
            InputError: The model, the target or the options do not fit together.
        """
        return self.explain(model, inputs, class_targets(target, inputs), seed).detach()

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return what ``attribute`` does, for targets of shape (N,), perhaps with a graph."""
        raise NotImplementedError

    def prepare(self, images: Images) -> None:
        """Take what the method needs of the data set, once, before it explains.

        Args:
            images: Called with "train" or a folder and a number n, it returns n preprocessed images (n, C, H, W).
        """

    @classmethod
    def without_effect(cls, given: Mapping[str, Any]) -> dict[str, str]:
        """Return the options that the given ones make void, each with the reason."""
        return {}

    @property
    def parts(self) -> str:
        """What the method is made of: its parts, or the class of Captum; "-" for a control."""
        return self.built_from

    @property
    def shared(self) -> Hashable | None:
        """What methods with the same gradients have in common; None for a method that shares none."""
        return None


def named(name: str) -> Callable[[M], M]:
    """Enter a declared method into ``METHODS``, and use that name in its errors."""

    def enter(method: M) -> M:
        method.__name__ = name
        METHODS[name] = method
        return method

    return enter
