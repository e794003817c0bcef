"""Captum's Grad-CAM at the size of the input, with a layer found by itself or named, of maps or of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Literal

import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from captum_gag.attr.captum_calls import captum_target, refusing_captums_errors, resized
from captum_gag.attr.feature_grids import Activations, Layer, activation_in
from captum_gag.attr.layers import eager
from captum_gag.attr.methods import Method, named
from captum_gag.attr.sampled_gradients import gradients_per_batch
from captum_gag.errors import InputError
from captum_gag.options import declared, option


@named("Grad-CAM")
@declared
class GradCam(Method):
    """Weighted feature maps of a layer: positive part, at the size of the input by linear interpolation.

    A layer of tokens (N, T, E) is read as the map of those that are places of the image, and one with channels last
    as one with channels first.
    """

    built_from = "captum.attr.LayerGradCam"

    layer: str | None = option(
        default=None, help="Name of a module, as in model.get_submodule; None: the last feature map."
    )
    channel_axis: Literal[1, -1] | None = option(
        default=None, help="Axis of the named layer's channels; None: by what the modules around it show."
    )

    def __post_init__(self) -> None:
        """Refuse an axis of no layer in particular."""
        if self.channel_axis is not None and self.layer is None:
            raise InputError("Grad-CAM: channel_axis tells how a named layer is read; give its layer too")

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return maps (N, 1, *positions).

        Raises:
            InputError: The inputs have no positions, or the model no feature map, or the layer is none.
        """
        if not 3 <= inputs.ndim <= 5:
            raise InputError(
                f"Grad-CAM got inputs {tuple(inputs.shape)}, expected (N, C, T), (N, C, H, W) or (N, C, D, H, W): it "
                "shows where in a feature map the evidence is."
            )
        image = inputs[:1]
        size = gradients_per_batch(inputs, len(inputs))
        with ExitStack() as stack:
            stack.enter_context(refusing_captums_errors("Grad-CAM", model, image))
            named = self.layer is not None
            found = read_layer(model, str(self.layer), image, self.channel_axis) if named else last_layer(model, image)
            if found is None:
                raise InputError(
                    f"Grad-CAM needs a layer that runs once in a pass and gives (N, C, ...); {self.layer!r} is none; "
                    f"{_others(Activations(model, image))}."
                )
            layer = stack.enter_context(turned(found))
            cam = LayerGradCam(model, layer)
            maps = [
                cam.attribute(images, target=captum_target(labels), relu_attributions=True).detach()
                for images, labels in zip(inputs.split(size), targets.split(size), strict=True)
            ]
        return resized(torch.cat(maps), inputs)


def named_layer(model: nn.Module, layer: str) -> nn.Module:
    """Return a module of a model by its name, with or without what wraps the model.

    Raises:
        InputError: There is none of that name.
    """
    inside: nn.Module = eager(model)  # type: ignore[assignment]
    for whole in (model, inside):
        with suppress(AttributeError):
            return whole.get_submodule(layer)
    names = ", ".join(name for name, _ in inside.named_children())
    raise InputError(f"The model has no layer {layer!r}; its outermost ones are {names}.")


def last_feature_map(model: nn.Module, image: Tensor) -> nn.Module:
    """Return the module of ``last_layer``."""
    return last_layer(model, image).module


def last_layer(model: nn.Module, image: Tensor) -> Layer:
    """Find the last module, in the order of a forward pass, whose output is a feature map with effect on the scores.

    For torchvision's convolutional classifiers this is what the papers use: ``layer4`` of a ResNet, ``features`` of a
    DenseNet, EfficientNet or VGG. For a transformer with a class token it is the first normalisation of the last
    block, as nothing that comes later looks at the other tokens; for one that averages tokens, the last normalisation.
    A module that runs more than once in a pass has no single output and is not taken.

    Args:
        model: In evaluation mode.
        image: Shape (1, C, *positions).

    Raises:
        InputError: There is none.
    """
    layers = Activations(model, image).layers()
    if not layers:
        raise InputError(
            "Grad-CAM finds no feature map in this model, nor tokens that form a grid; name a layer: 'Grad-CAM:LAYER'."
        )
    return layers[-1]


def read_layer(model: nn.Module, name: str, image: Tensor, channel_axis: int | None = None) -> Layer | None:
    """Return a named layer, and how its activation is read as a feature map.

    Args:
        model: In evaluation mode.
        name: Of the layer.
        image: Shape (1, C, *positions).
        channel_axis: Which axis of the layer's output is the channels', if that is known.

    Returns:
        None for a layer without activation (N, C, ...), or with none that is its only one.

    Raises:
        InputError: The activation is no feature map, or nothing tells which axis is the channels'.
    """
    module = named_layer(model, name)
    seen = Activations(model, image)
    activation = seen.of_layer(module)
    if activation is None:
        return None
    shape = f"(N, {', '.join(map(str, activation.shape[1:]))})"
    axis = channel_axis or seen.channel_axis(module, activation)
    if axis is None:
        raise InputError(
            f"Layer {name!r} gives {shape}, and nothing shows which axis is the channels'; tell Grad-CAM by "
            f"channel_axis, 1 or -1; {_others(seen)}."
        )
    grid = seen.grid(activation, axis)
    if grid is None:
        raise InputError(
            f"Layer {name!r} gives {shape}, which is no map of the input {seen.positions} with its channels on axis "
            f"{axis}; {_others(seen)}."
        )
    return Layer(name, module, grid)


def _others(seen: Activations) -> str:
    names = list(dict.fromkeys(layer.name for layer in reversed(seen.layers())))[:5]
    return f"layers that would do: {', '.join(names)}" if names else "this model has no layer that would do"


@contextmanager
def turned(found: Layer) -> Iterator[nn.Module]:
    """Yield a module whose output is the feature map (N, C, *sizes) that is in the output of a layer."""
    layer = nn.Identity()

    def pass_through(module: nn.Module, inputs: Any, output: Any) -> Any:
        activation = activation_in(output)
        # What a grid was found in has one.
        assert activation is not None
        put_back = found.grid.put_back(layer(found.grid.of(activation)), activation)
        return put_back if isinstance(output, Tensor) else type(output)((put_back, *output[1:]))

    handle = found.module.register_forward_hook(pass_through)
    try:
        yield layer
    finally:
        handle.remove()
