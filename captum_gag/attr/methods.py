"""Methods of a suite: attributions with their options set, called alike for a batch of any images."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, ClassVar

import torch
from pydantic import SkipValidation
from torch import Tensor, nn

from captum_gag.attr.captum_calls import captum_target, seeded
from captum_gag.attr.contract import Seed, checked_inputs, explained, finite_only, rounded_like
from captum_gag.attr.sampled_gradients import ModelGradients, Parts
from captum_gag.errors import InputError, shown, warn
from captum_gag.model_probe import behaviour_of
from captum_gag.modules import hookable, single_by_default, state_kept
from captum_gag.options import checked, options_of
from captum_gag.outputs import Output, OutputReader
from captum_gag.tensors import (
    Target,
    at_least_single,
    channels_back,
    channels_first,
    check_channel_axis,
    class_targets,
    copied,
    finite_rows,
)
from captum_gag.threads import one_at_a_time

Images = Callable[[str, int], Tensor]
"""("train" or a folder, n) -> n preprocessed images (n, C, H, W), as a run has them."""


class Method:
    """One way to explain an image classifier, with its options set; made by ``method``.

    A ``declared`` subclass with ``explain`` is a method too.

    Attributes:
        of: The method whose maps this one transforms, if it does.
        transform: How it does: "reverse", "sharpen", "binarise", "one_pixel" or "displaced"; of a truth map, its fault;
            "" for a method that explains by itself.
        strength: How much of a fault, in (0, 1], where there are degrees.
        control: What a control is: "random", "edges", "constant", "truth" or "displaced"; "" for an explanation.
        batch_dependent: Whether the map of an example may depend on the batch that it comes in.
    """

    of: Method | None = None
    transform: str = ""
    strength: float = 0.0
    control: ClassVar[str] = ""
    batch_dependent: ClassVar[bool] = True

    @checked
    def attribute(
        self,
        model: SkipValidation[nn.Module],
        inputs: SkipValidation[Tensor],
        target: SkipValidation[Target],
        seed: Seed | None = 0,
        output: SkipValidation[Output] = "auto",
        channel_axis: int = 1,
        class_axis: int | None = None,
    ) -> Tensor:
        """Explain a batch of images, or of anything else; the model is afterwards as it was.

        Args:
            model: Classifier, inputs to scores (N, classes), or (N, classes, ...).
            inputs: Images (N, C, H, W), or any (N, C, *positions); tables (N, F); token embeddings (N, T, E).
            target: Class of all examples, or of each; a tuple (class, ...), or a list of such, where outputs have axes
                after the classes.
            seed: Fixes noise and random maps, and leaves the global random state alone. None draws from that.
            output: What the model returns; see ``captum_gag.outputs``.
            channel_axis: The axis of the values that share one position: 1, or -1 for (N, H, W, C) and token embeddings
                (N, T, E).
            class_axis: The axis of the classes in that, where there are further axes: 1 or -1. It is asked for only
                where there may be a single column, such as (N, 1, classes).

        Returns:
            Attributions like the inputs, or with one channel from methods that give one value per position, in at
            least single precision, without graph. NaN for an example with a NaN or an infinity.

        Raises:
            InputError: The model, the inputs, the target or the options do not fit together.
        """

        def explain(model: Any, inputs: Tensor, targets: Tensor) -> list[Tensor]:
            return [self.explain(model, inputs, targets, seed)]

        [attributions] = explain_checked(explain, model, inputs, target, output, channel_axis, class_axis)
        return attributions

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return attributions, perhaps with a graph, of a model that returns scores, for finite inputs without graph.

        Targets are class indices (N,), or (N, k) where outputs have axes after the classes; see ``captum_target``.
        """
        raise NotImplementedError

    def prepare(self, images: Images) -> None:
        """Fetch the images of the data set that the method needs, once, before it explains."""

    def options(self) -> dict[str, Any]:
        """Return the options by name."""
        return {option.name: getattr(self, option.name) for option in options_of(type(self))}

    @property
    def parts(self) -> Parts | None:
        """Parts of a gradient method that states them, with the seed among its options; None for another."""
        return self.seeded_parts(None)

    def seeded_parts(self, seed: int | None) -> Parts | None:
        """Return the parts, with a seed where the options have none."""
        return None

    @property
    def shared(self) -> Hashable | None:
        """Modification and source of the gradients, equal for methods that can share them; None for none."""
        parts = self.parts
        key = parts and (parts.modification, parts.gradient_source)
        try:
            hash(key)
        # A user's modification need not be hashable.
        except TypeError:
            return None
        return key


@one_at_a_time
def explain_checked(
    explain: Callable[[Any, Tensor, Tensor], Sequence[Tensor]],
    model: Any,
    inputs: Any,
    target: Target,
    output: Output,
    channel_axis: int = 1,
    class_axis: int | None = None,
) -> list[Tensor]:
    """Check the arguments of ``Method.attribute``, explain a model that returns scores, and finish the attributions.

    ``explain`` takes (model, inputs, targets), all with channels on axis 1, and returns attributions (N, C, ...).
    """
    if not callable(model):
        raise InputError(f"model is {shown(model)}, expected a torch.nn.Module.")
    if not isinstance(inputs, Tensor) or inputs.ndim < 2:
        raise InputError(f"inputs are {shown(inputs)}, expected a tensor (N, C, H, W), (N, C, ...) or (N, F).")
    if output is model:
        raise InputError("output is the model itself, expected a name or a function of what the model returns.")
    reader = OutputReader.of(output, class_axis)
    model = hookable(model)

    def back(value: Any) -> Any:
        return tuple(map(back, value)) if isinstance(value, tuple) else channels_back(value, channel_axis)

    def turn(module: nn.Module, values: tuple[Any, ...]) -> tuple[Any, ...]:
        # Captum's DeepLIFT calls a model with a tuple of inputs and one of baselines.
        first, *others = values
        return (back(first), *(back(value) if isinstance(value, tuple) else value for value in others))

    # The gradient mode of the caller does not matter to an attribution, and its graph is not needed.
    with torch.inference_mode(False), torch.enable_grad(), ExitStack() as stack:
        model = stack.enter_context(single_by_default(model))
        [values], finite = checked_inputs(inputs)
        check_channel_axis(channel_axis, values)
        targets = class_targets(target, values)
        behaviour_of(model, (values,), read=reader.outputs).require_independent(
            'explain them by GuidedAbsoluteGrad, SampledGradients, GuidedIG or BlurIG with rows="together"'
        )
        stack.enter_context(state_kept(model))
        stack.enter_context(explained(model, (values,)))
        images = channels_first(values, channel_axis)
        if isinstance(model, nn.Module):
            stack.enter_context(model.register_forward_pre_hook(lambda module, args: copied(args), prepend=True))
            if channel_axis != 1:
                stack.enter_context(model.register_forward_pre_hook(turn))
            stack.enter_context(reader.reading(model))
            results = explain(model, images, targets)
        else:
            results = explain(lambda *values: reader.scores(model(*turn(model, copied(values)))), images, targets)
        attributions = [
            finite_only(channels_back(result.detach().to(at_least_single(result.dtype)), channel_axis), finite)
            for result in results
        ]
    broken = [int((finite & ~finite_rows(attribution).cpu()).sum()) for attribution in attributions]
    if any(broken):
        warn(
            f"The attributions of {max(broken)} of {len(inputs)} examples have a NaN or an infinity, which their "
            "inputs do not have: the model or the method made it; try another precision or method."
        )
    return attributions


def seeded_elsewhere(method: Method, inputs: Tensor, seed: int | None) -> AbstractContextManager[None]:
    """Fix torch's global random state for a class of the user's that takes no seed."""
    fixed = method.batch_dependent and "seed" not in method.options()
    return seeded(inputs.device, seed if fixed else None)


@checked
def shared_gradients(
    methods: Sequence[Method],
    model: SkipValidation[nn.Module],
    inputs: SkipValidation[Tensor],
    target: SkipValidation[Target],
    seed: Seed | None = 0,
    output: SkipValidation[Output] = "auto",
    class_axis: int | None = None,
) -> list[Tensor]:
    """Explain a batch with several methods that take the same gradients; other arguments as in ``Method.attribute``.

    Args:
        methods: Of equal ``shared``, such as GAG-85, SG and VarGrad with the same noise.
        seed: Fixes noise. With it the attributions are those that each method gives by itself, bit for bit.

    Returns:
        Attributions like the inputs, one for each method.

    Raises:
        InputError: The methods do not take the same gradients, or the arguments do not fit together.
    """
    parts = [part for part in (method.seeded_parts(seed) for method in methods) if part]
    keys = {method.shared for method in methods}
    if len(parts) != len(methods) or len(keys) != 1 or None in keys:
        kinds = ", ".join(type(method).__name__ for method in methods)
        raise InputError(f"{kinds or 'no methods'}: not the same gradients; expected such as GAG-85, SG and VarGrad")
    interpretations = list(dict.fromkeys(part.interpretation for part in parts))

    def interpret_all(gradients: Tensor) -> Tensor:
        return torch.stack([interpret(gradients) for interpret in interpretations], 1)

    def explain(model: Any, inputs: Tensor, targets: Tensor) -> list[Tensor]:
        first = parts[0]._replace(interpretation=interpret_all)
        with seeded_elsewhere(methods[0], inputs, seed):
            [moments] = ModelGradients(model).moments(first, inputs, captum_target(targets))
        own = [moments.of_interpretation(interpretations.index(part.interpretation)) for part in parts]
        return [rounded_like(inputs, part.aggregation(moment)) for part, moment in zip(parts, own, strict=True)]

    return explain_checked(explain, model, inputs, target, output, class_axis=class_axis)
