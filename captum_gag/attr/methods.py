"""What a method is: declared options, and one way to explain a batch of images."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar, TypeVar

import torch
from pydantic import SkipValidation
from torch import Tensor, nn

from captum_gag.attr.contract import Seed, checked_inputs, explained, finite_only
from captum_gag.errors import InputError, shown, warn
from captum_gag.modules import buffers_kept, hookable
from captum_gag.options import checked
from captum_gag.outputs import Output, OutputReader
from captum_gag.tensors import Target, at_least_single, class_targets, finite_rows
from captum_gag.threads import one_at_a_time

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
        transform: How: "reverse", "sharpen", "binarise" or "one_pixel"; of a map of known quality, what is wrong with
            it; "" for a method that explains by itself.
        strength: How much of that, in (0, 1], where there are degrees.
        control: What a method that does not look at the model shows: "random", "edges", "constant" or "truth"; else "".
        built_from: The class of Captum that it calls, if that is all; see ``parts``.
    """

    of: Method | None = None
    transform: str = ""
    strength: float = 0.0
    control: ClassVar[str] = ""
    built_from: ClassVar[str] = "-"

    @checked
    def attribute(
        self,
        model: SkipValidation[nn.Module],
        inputs: SkipValidation[Tensor],
        target: SkipValidation[Target],
        seed: Seed | None = 0,
        output: SkipValidation[Output] = "auto",
    ) -> Tensor:
        """Explain a batch of images, or of anything else.

        The model is afterwards as it was, batch statistics in training mode included.

        Args:
            model: Classifier, inputs to scores (N, classes), or (N, classes, ...).
            inputs: Images (N, C, H, W), or any (N, C, *positions); tables (N, F); token embeddings (N, T, E).
            target: Class of all examples, or of each; a tuple (class, ...), or a list of such, where outputs have axes
                after the classes.
            seed: Fixes noise and random maps, and leaves the global random state alone. None draws from that.
            output: What the model returns; see ``captum_gag.outputs``.

        Returns:
            Attributions like the inputs, or (N, 1, *positions) from methods that give one value per position, in at
            least single precision, without graph. NaN for an example with a NaN or an infinity.

        Raises:
            InputError: The model, the inputs, the target or the options do not fit together.
        """
        return behind_the_door(
            lambda model, inputs, targets: [self.explain(model, inputs, targets, seed)], model, inputs, target, output
        )[0]

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return what ``attribute`` does, of a model that returns scores, for finite inputs.

        Args:
            model: As for ``attribute``, but what it returns are scores already.
            inputs: As for ``attribute``, without NaN and without graph.
            targets: Class indices (N,), or (N, k) where outputs have axes after the classes; see ``captum_target``.
            seed: As for ``attribute``.

        Returns:
            Attributions, perhaps with a graph.
        """
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


@one_at_a_time
def behind_the_door(
    explain: Callable[[Any, Tensor, Tensor], Sequence[Tensor]], model: Any, inputs: Any, target: Target, output: Output
) -> list[Tensor]:
    """Check what a user gave, let the model return scores, explain, and finish the attributions.

    Args:
        explain: (model, inputs, targets) -> attributions, each of shape (N, ...).
        model: See ``Method.attribute``, as for the others.
        inputs: As it was given.
        target: As it was given.
        output: As it was given.

    Raises:
        InputError: They do not fit together.
    """
    if not callable(model):
        raise InputError(f"model is {shown(model)}, expected a torch.nn.Module.")
    if not isinstance(inputs, Tensor) or inputs.ndim < 2:
        raise InputError(f"inputs are {shown(inputs)}, expected a tensor (N, C, H, W), (N, C, ...) or (N, F).")
    if output is model:
        raise InputError("output is the model itself, expected a name or a function of what the model returns.")
    reader = OutputReader(output)
    model = hookable(model)
    # Neither does it matter to an attribution in which gradient mode it is called, nor is its graph wanted.
    with torch.inference_mode(False), torch.enable_grad(), ExitStack() as stack:
        [given] = checked_inputs(inputs)
        targets = class_targets(target, given)
        stack.enter_context(buffers_kept(model))
        stack.enter_context(explained(model, (given,)))
        if isinstance(model, nn.Module):
            stack.enter_context(reader.reading(model))
            found = explain(model, given, targets)
        else:
            found = explain(lambda *arguments: reader.scores(model(*arguments)), given, targets)
        finished = [finite_only(each.detach().to(at_least_single(each.dtype)), (inputs,)) for each in found]
    sound = finite_rows(inputs.detach())
    broken = [int((sound & ~finite_rows(each)).sum()) for each in finished]
    if any(broken):
        warn(
            f"The attributions of {max(broken)} of {len(inputs)} examples have a NaN or an infinity, which their "
            "inputs do not have: the model or the method made it; try another precision or method."
        )
    return finished


def named(name: str) -> Callable[[M], M]:
    """Enter a declared method into ``METHODS``, and use that name in its errors."""

    def enter(method: M) -> M:
        method.__name__ = name
        METHODS[name] = method
        return method

    return enter
