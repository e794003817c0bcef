"""Captum's Grad-CAM at the size of the image, with a layer found by itself or named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import Tensor, nn


def grad_cam(layer: str | None = None) -> Callable[..., Tensor]:
    """Give Grad-CAM (``captum.attr.LayerGradCam``, positive part, bilinear upsampling) of one layer.

    Args:
        layer: Name of a module as in ``model.get_submodule``, e.g. "layer4.1". None takes ``last_feature_map``.
    """

    def explain(model: nn.Module, inputs: Tensor, target: Tensor, n_samples: int, seed: int | None) -> Tensor:
        module = last_feature_map(model, inputs[:1]) if layer is None else _named(model, layer)
        attributions = LayerGradCam(model, module).attribute(inputs, target=target, relu_attributions=True)
        upsampled: Tensor = LayerAttribution.interpolate(attributions, tuple(inputs.shape[-2:]), "bilinear")
        return upsampled

    return explain


def _named(model: nn.Module, layer: str) -> nn.Module:
    try:
        return model.get_submodule(layer)
    except AttributeError:
        names = ", ".join(name for name, _ in model.named_children())
        raise ValueError(f"The model has no layer {layer!r}; its outermost ones are {names}.") from None


@torch.no_grad()
def last_feature_map(model: nn.Module, image: Tensor) -> nn.Module:
    """Find the last module, in the order of a forward pass, whose output is a map (1, channels, H > 1, W > 1).

    For torchvision's convolutional classifiers this is what the papers use: ``layer4`` of a ResNet, ``features`` of a
    DenseNet, EfficientNet or VGG. A module that runs more than once in a pass has no single output and is not taken.

    Raises:
        ValueError: If there is none, or the model attends (a transformer): name a layer then.
    """
    finished: list[nn.Module] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[-2:]) > 1:
            finished.append(module)

    handles = [module.register_forward_hook(note) for module in model.modules() if module is not model]
    try:
        model(image)
    finally:
        for handle in handles:
            handle.remove()
    times = Counter(map(id, finished))
    once = [module for module in finished if times[id(module)] == 1]
    if not once or any(isinstance(module, nn.MultiheadAttention) for module in model.modules()):
        raise ValueError("Grad-CAM finds no convolutional feature map in this model; name a layer: 'Grad-CAM:LAYER'.")
    return once[-1]
