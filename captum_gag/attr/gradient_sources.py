"""Guided backpropagation, as a source of gradients and as a method."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from captum.attr import GuidedBackprop
from captum.log import log_usage
from torch import Tensor, nn

from captum_gag.attr.captum_calls import captum_errors
from captum_gag.attr.contract import as_tuple
from captum_gag.attr.modifications import GaussianNoise
from captum_gag.attr.sampled_gradients import ModelGradients, Parts
from captum_gag.errors import warn
from captum_gag.modules import require_module


def guided_backpropagation(
    forward_func: nn.Module, inputs: tuple[Tensor, ...], target: Any = None, additional_forward_args: Any = None
) -> tuple[Tensor, ...]:
    """Return gradients by guided backpropagation (Springenberg et al., 2015): only positive ones pass a ReLU.

    This is Captum's ``GuidedBackprop``, which guides ``nn.ReLU`` modules, extended to ``nn.ReLU6``. All other
    activations keep their plain gradient, and so do functions that no hook sees, such as ``torch.relu`` in a forward,
    and the inside of scripted modules. Where not a single ReLU or ReLU6 module was guided in the pass, the result is
    the plain gradient, and a warning says so. A network in which some ReLUs are modules and others functions is guided
    at the modules alone, without a warning.

    Args:
        forward_func: A module; a plain function has no modules to guide.
        inputs: Tensors (N, ...) that require gradients; the gradients are shaped like them.

    Raises:
        InputError: If ``forward_func`` is not a module.
    """
    require_module("Guided backpropagation", forward_func, "changes the backward pass of the model's ReLU modules")
    with (
        captum_errors("Guided backpropagation", forward_func, *inputs, *as_tuple(additional_forward_args)),
        warnings.catch_warnings(),
        _guided(forward_func) as guided,
    ):
        warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU activations")
        gradients: tuple[Tensor, ...] = GuidedBackprop(forward_func).attribute(
            inputs, target=target, additional_forward_args=additional_forward_args
        )
    if not guided:
        names = {name for name in torch.nn.modules.activation.__all__ if name != "MultiheadAttention"}
        activations = sorted({type(module).__name__ for module in forward_func.modules()} & names)
        warn(
            "Guided backpropagation met no ReLU or ReLU6 module on its way, so it equals the plain gradient; "
            "functional, compiled and scripted ones cannot be seen; activation modules found: "
            f"{', '.join(activations) or 'none'}."
        )
    return gradients


@contextmanager
def _guided(model: nn.Module) -> Iterator[list[str]]:
    """Pass only positive gradients through the ReLU6 modules of a model; yield the ReLU modules that gradients pass."""
    passed: list[str] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        name, clipped = type(module).__name__, isinstance(module, nn.ReLU6)

        def pass_on(gradient: Tensor) -> Tensor:
            passed.append(name)
            # Before the ReLU6's own derivative, which is 0 or 1: order does not matter.
            return gradient.clamp(min=0) if clipped else gradient

        if output.requires_grad:
            output.register_hook(pass_on)

    with ExitStack() as restore:
        for module in model.modules():
            if isinstance(module, nn.ReLU | nn.ReLU6) and not isinstance(module, torch.jit.ScriptModule):
                restore.callback(module.register_forward_hook(note).remove)
            if isinstance(module, nn.ReLU6):
                restore.callback(setattr, module, "inplace", module.inplace)
                module.inplace = False
        yield passed


class GuidedBackpropagation(ModelGradients):
    """Guided backpropagation of the image itself (its noisy variants are SG with backpropagation = "guided")."""

    @log_usage()
    def attribute(self, inputs: Any, target: Any = None, additional_forward_args: Any = None) -> Any:
        """Return one gradient of the image."""
        once = Parts(GaussianNoise(1, stdevs=0.0, seed=0), gradient_source=guided_backpropagation)
        return self._attributions(once, self._examples(inputs, target, additional_forward_args))
