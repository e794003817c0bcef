"""Captum's Grad-CAM at the size of the input, at the last feature map or a named layer, of maps or of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Literal

import torch
from captum.attr import Attribution, LayerGradCam
from captum.log import log_usage
from torch import Tensor, nn

from captum_gag.attr.captum_calls import batches_of, captum_errors
from captum_gag.attr.contract import as_tuple
from captum_gag.attr.feature_grids import Activations, Layer, activation_in
from captum_gag.attr.hooks import eager
from captum_gag.attr.sampled_gradients import gradients_per_batch
from captum_gag.errors import InputError
from captum_gag.tensors import interpolated, positions


class GradCAM(Attribution):
    """Weighted feature maps of a layer: positive part, at the size of the input by linear interpolation.

    A layer of tokens (N, T, E) is read as the map of those that are positions of the image, and one with channels last
    as one with channels first.
    """

    @log_usage()
    def attribute(
        self,
        inputs: Tensor,
        target: Any = None,
        additional_forward_args: Any = None,
        *,
        layer: str | None = None,
        channel_axis: Literal[1, -1] | None = None,
    ) -> Tensor:
        """Return maps (N, 1, *positions).

        Args:
            inputs: Images (N, C, H, W), signals (N, C, T) or volumes (N, C, D, H, W).
            layer: Name of a module, as in model.get_submodule; None: the last feature map.
            channel_axis: Axis of the named layer's channels; None: as the modules around it show.

        Raises:
            InputError: The inputs have no positions, or the model no feature map, or the layer is none.
        """
        if channel_axis is not None and layer is None:
            raise InputError("Grad-CAM: channel_axis is that of a named layer; give layer too")
        if not 3 <= inputs.ndim <= 5:
            raise InputError(
                f"Grad-CAM got inputs {tuple(inputs.shape)}, expected (N, C, T), (N, C, H, W) or (N, C, D, H, W): it "
                "shows where in a feature map the evidence is."
            )
        model: Any = self.forward_func
        size, maps = gradients_per_batch(inputs, len(inputs)), []
        (image,), _, arguments = next(batches_of(model, (inputs,), target, additional_forward_args, 1))
        with ExitStack() as stack:
            stack.enter_context(captum_errors("Grad-CAM", model, image, *as_tuple(arguments)))
            module = None if layer is None else named_layer(model, layer)
            seen = Activations(model, image, as_tuple(arguments))
            grid = last_layer(seen) if module is None else read_layer(seen, module, channel_axis)
            if grid is None:
                raise InputError(
                    f"Grad-CAM needs a layer that runs once in a pass and gives (N, C, ...); {layer!r} is none; "
                    f"{_others(seen)}."
                )
            cam = LayerGradCam(model, stack.enter_context(turned(grid)))
            for (images,), labels, arguments in batches_of(model, (inputs,), target, additional_forward_args, size):
                part = cam.attribute(images, labels, arguments, relu_attributions=True)
                maps.append(part.detach())
        return interpolated(torch.cat(maps), positions(inputs))


def named_layer(model: nn.Module, layer: str) -> nn.Module:
    """Return a module of a model by its name, with or without the wrappers of the model, or raise InputError."""
    inside: nn.Module = eager(model)  # type: ignore[assignment]
    for root in (model, inside):
        with suppress(AttributeError):
            return root.get_submodule(layer)
    names = ", ".join(name for name, _ in inside.named_children())
    raise InputError(f"The model has no layer {layer!r}; its outermost ones are {names}.")


def last_layer(seen: Activations) -> Layer:
    """Return the last module, in the order of a forward pass, whose output is a feature map with effect on the scores.

    For torchvision's convolutional classifiers this is what the papers use: ``layer4`` of a ResNet, ``features`` of a
    DenseNet, EfficientNet or VGG. For a transformer with a class token it is the first normalisation of the last
    block, as nothing that comes later looks at the other tokens; for one that averages tokens, the last normalisation.
    """
    layers = seen.layers()
    if not layers:
        raise InputError(
            "Grad-CAM finds no feature map in this model, nor tokens that form a grid; name a layer: 'Grad-CAM:LAYER'."
        )
    return layers[-1]


def read_layer(seen: Activations, module: nn.Module, channel_axis: int | None = None) -> Layer | None:
    """Return a module of a model as a feature map; None for one without activation (N, C, ...), or with several.

    Raises:
        InputError: The activation is no feature map, or nothing shows which axis is the channels'.
    """
    activation = seen.of_layer(module)
    if activation is None:
        return None
    name = seen.names[module]
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
    return f"layers that fit: {', '.join(names)}" if names else "this model has no layer that fits"


@contextmanager
def turned(layer: Layer) -> Iterator[nn.Module]:
    """Yield a module whose output is the feature map (N, C, *sizes) that is in the output of a layer."""
    identity = nn.Identity()

    def pass_through(module: nn.Module, inputs: Any, output: Any) -> Any:
        activation: Any = activation_in(output)
        put_back = layer.grid.put_back(identity(layer.grid.of(activation)), activation)
        return put_back if isinstance(output, Tensor) else type(output)((put_back, *output[1:]))

    handle = layer.module.register_forward_hook(pass_through)
    try:
        yield identity
    finally:
        handle.remove()
