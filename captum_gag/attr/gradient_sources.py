"""Where gradients come from other than from plain backpropagation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from captum.attr import GuidedBackprop
from torch import Tensor, nn


def guided_backpropagation(
    forward_func: nn.Module, inputs: tuple[Tensor, ...], target: Any = None, additional_forward_args: Any = None
) -> tuple[Tensor, ...]:
    """Return gradients by guided backpropagation (Springenberg et al., 2015): only positive ones pass a ReLU.

    This is Captum's ``GuidedBackprop``, which knows ``nn.ReLU`` modules, extended to ``nn.ReLU6``. Activations that
    are not modules (``torch.relu`` in a forward) cannot be seen by either and keep their plain gradient; so do all
    other activations. A network with neither ReLU nor ReLU6 modules gets its plain gradient, and a warning says so.

    Args:
        forward_func: A module; a plain function has no modules to guide.
        inputs: Tensors (N, ...) that require gradients.
        target: As for Captum.
        additional_forward_args: As for Captum.

    Returns:
        Gradients, shaped like the inputs.

    Raises:
        TypeError: If ``forward_func`` is not a module.
    """
    if not isinstance(forward_func, nn.Module):
        raise TypeError(
            f"Guided backpropagation got a {type(forward_func).__name__}, expected a torch.nn.Module: it changes the "
            "backward pass of the model's ReLU modules."
        )
    _warn_without_relu(forward_func)
    with warnings.catch_warnings(), _guided_relu6(forward_func):
        warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU activations")
        gradients: tuple[Tensor, ...] = GuidedBackprop(forward_func).attribute(
            inputs, target=target, additional_forward_args=additional_forward_args
        )
    return gradients


@contextmanager
def _guided_relu6(model: nn.Module) -> Iterator[None]:
    """Let only positive gradients pass the ReLU6 modules of a model, for a while."""
    modules = [module for module in model.modules() if isinstance(module, nn.ReLU6)]
    in_place = [module.inplace for module in modules]
    # The output's gradient is made positive before the ReLU6's own derivative, which is 0 or 1: order does not matter.
    handles = [module.register_forward_hook(_guide_output) for module in modules]
    for module in modules:
        module.inplace = False
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, was in zip(modules, in_place, strict=True):
            module.inplace = was


def _guide_output(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    output.register_hook(lambda gradient: gradient.clamp(min=0))


def _warn_without_relu(model: nn.Module) -> None:
    modules = list(model.modules())
    if any(isinstance(module, nn.ReLU | nn.ReLU6) for module in modules):
        return
    names = {name for name in torch.nn.modules.activation.__all__ if name != "MultiheadAttention"}
    found = sorted({type(module).__name__ for module in modules} & names)
    warnings.warn(
        "Guided backpropagation finds no ReLU or ReLU6 module in this network, so it equals the plain gradient; "
        f"activation modules found: {', '.join(found) or 'none (functional ones cannot be seen)'}.",
        stacklevel=3,
    )
