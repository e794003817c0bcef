"""Where gradients come from other than from plain backpropagation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from captum.attr import GradientAttribution, GuidedBackprop
from torch import Tensor, nn

from captum_gag.attr.captum_calls import refusing_captums_errors
from captum_gag.errors import InputError, warn
from captum_gag.modules import require_module
from captum_gag.outputs import sum_to_one


def guided_backpropagation(
    forward_func: nn.Module, inputs: tuple[Tensor, ...], target: Any = None, additional_forward_args: Any = None
) -> tuple[Tensor, ...]:
    """Return gradients by guided backpropagation (Springenberg et al., 2015): only positive ones pass a ReLU.

    This is Captum's ``GuidedBackprop``, which knows ``nn.ReLU`` modules, extended to ``nn.ReLU6``. All other
    activations keep their plain gradient, and so does what no hook sees: ``torch.relu`` in a forward, what is inside a
    scripted module. Where not a single ReLU or ReLU6 module was guided in the pass, whatever the reason, the result is
    the plain gradient, and a warning says so. A network in which some ReLUs are modules and others functions is guided
    at the modules alone, which cannot be told from outside.

    Args:
        forward_func: A module; a plain function has no modules to guide.
        inputs: Tensors (N, ...) that require gradients.
        target: As for Captum.
        additional_forward_args: As for Captum.

    Returns:
        Gradients, shaped like the inputs.

    Raises:
        InputError: If ``forward_func`` is not a module.
    """
    require_module("Guided backpropagation", forward_func, "changes the backward pass of the model's ReLU modules")
    arguments = () if additional_forward_args is None else additional_forward_args
    arguments = arguments if isinstance(arguments, tuple) else (arguments,)
    with (
        refusing_captums_errors("Guided backpropagation", forward_func, *inputs, *arguments),
        warnings.catch_warnings(),
        _guided(forward_func) as guided,
    ):
        warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU activations")
        gradients: tuple[Tensor, ...] = GuidedBackprop(forward_func).attribute(
            inputs, target=target, additional_forward_args=additional_forward_args
        )
    if not guided:
        _warn_of_the_plain_gradient(forward_func)
    return gradients


def log_probability_gradients(
    forward_func: Callable[..., Tensor],
    inputs: tuple[Tensor, ...],
    target: Any = None,
    additional_forward_args: Any = None,
) -> tuple[Tensor, ...]:
    """Return gradients of the logarithm of the softmax probability, in place of those of the score.

    Args:
        forward_func: From inputs to logits (N, classes, ...).
        inputs: Tensors (N, ...) that require gradients.
        target: As for Captum.
        additional_forward_args: As for Captum.

    Returns:
        Gradients, shaped like the inputs.

    Raises:
        InputError: If what comes out are no logits of several classes.
    """

    def log_probabilities(*given: Any) -> Tensor:
        scores = forward_func(*given)
        # One logit z is read as the scores -z and z, whose softmax is not its probability.
        one_logit = scores.ndim > 1 and scores.shape[1] == 2 and bool((scores[:, 0] == -scores[:, 1]).all())
        if scores.ndim < 2 or scores.shape[1] < 2 or one_logit or sum_to_one(scores.detach()):
            raise InputError(
                f"Gradients of a log-probability got scores {tuple(scores.shape)}, expected logits of several classes, "
                'of which the softmax is taken; explain the "score".'
            )
        return scores.log_softmax(1)

    plain = GradientAttribution(log_probabilities)
    gradients: tuple[Tensor, ...] = plain.gradient_func(log_probabilities, inputs, target, additional_forward_args)
    return gradients


@contextmanager
def _guided(model: nn.Module) -> Iterator[list[str]]:
    """Let only positive gradients pass the ReLU6 modules of a model, and note all ReLU modules that gradients pass."""
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


def _warn_of_the_plain_gradient(model: nn.Module) -> None:
    names = {name for name in torch.nn.modules.activation.__all__ if name != "MultiheadAttention"}
    found = sorted({type(module).__name__ for module in model.modules()} & names)
    warn(
        "Guided backpropagation met no ReLU or ReLU6 module on its way, so it equals the plain gradient; functional, "
        f"compiled and scripted ones cannot be seen; activation modules found: {', '.join(found) or 'none'}."
    )
