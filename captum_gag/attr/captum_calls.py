"""How Captum is called: with a seed, in batches that memory holds, and for maps of the size of the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import captum.attr
import numpy as np
import torch
from torch import Tensor, nn

from captum_gag.attr.sampled_gradients import gradients_per_batch
from captum_gag.batching import out_of_memory
from captum_gag.errors import InputError, warn
from captum_gag.modules import modules_inside, require_module
from captum_gag.tensors import INTERPOLATIONS, interpolated, positions

# Those whose every row of a batch has a gradient of its own, so that its batches can be divided.
ROW_BY_ROW = (
    captum.attr.Deconvolution,
    captum.attr.GradientShap,
    captum.attr.GuidedBackprop,
    captum.attr.InputXGradient,
    captum.attr.IntegratedGradients,
    captum.attr.Saliency,
)


@contextmanager
def seeded(device: torch.device, seed: int | None) -> Iterator[None]:
    """Fix the global random state of torch and of NumPy, which Captum draws from, and leave it as it was."""
    if seed is None:
        yield
        return
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            np.random.seed(seed % 2**32)
            yield
        finally:
            np.random.set_state(state)


def in_batches(explainer: Any) -> Any:
    """Let an object of Captum take its gradients in batches that memory holds, where each row has one of its own."""
    if not isinstance(explainer, ROW_BY_ROW):
        return explainer
    gradient_func = explainer.gradient_func

    def in_parts(
        forward_fn: Callable[..., Any], inputs: Any, target_ind: Any = None, additional_forward_args: Any = None
    ) -> Any:
        total = len(inputs[0])
        size = gradients_per_batch(inputs[0], total)
        if size >= total:
            return gradient_func(forward_fn, inputs, target_ind, additional_forward_args)
        batches = []
        for first in range(0, total, size):
            rows = slice(first, first + size)
            some = tuple(each[rows].detach().requires_grad_() for each in inputs)
            batches.append(gradient_func(forward_fn, some, rows_of(target_ind, rows, total), additional_forward_args))
        return tuple(torch.cat(parts) for parts in zip(*batches, strict=True))

    explainer.gradient_func = in_parts
    return explainer


def rows_of(value: Any, rows: slice, total: int) -> Any:
    """Take some rows of what has an entry for each of ``total``: a list of targets, or a tensor."""
    each = isinstance(value, list) or (isinstance(value, Tensor) and value.ndim > 0 and len(value) == total)
    return value[rows] if each else value


def mean_over_references(attribute: Callable[[Tensor], Tensor], references: Tensor) -> Tensor:
    """Return the mean of the attributions against each reference, taking as many at once as memory holds.

    Args:
        attribute: From some references (k, C, H, W) to the mean of the attributions against them.
        references: All of them, (n, C, H, W).
    """
    chunks = references.split(gradients_per_batch(references, len(references)))
    return torch.stack([attribute(each) * (len(each) / len(references)) for each in chunks]).sum(0)


def as_maps(attributions: Any, images: Tensor, what: str) -> Tensor:
    """Return attributions at the size of the inputs.

    Args:
        attributions: Like the inputs (N, C, *positions) or (N, F), or of a layer: (N, c, *sizes).
        images: What was explained.
        what: Which method it was, for the message.

    Returns:
        Attributions of the inputs' shape as they are; those of a layer summed over channels and interpolated
        linearly to (N, 1, *positions).

    Raises:
        InputError: They are no map.
    """
    [found] = attributions if isinstance(attributions, tuple | list) and len(attributions) == 1 else [attributions]
    if isinstance(found, Tensor) and found.shape == images.shape:
        return found
    fits = isinstance(found, Tensor) and found.ndim == images.ndim > 2 and len(found) == len(images)
    if not fits or not _in_proportion(found.shape[2:], images.shape[2:]):
        shape = tuple(found.shape) if isinstance(found, Tensor) else f"of a {type(found).__name__}"
        expected = "height, width" if images.ndim == 4 else "*positions"
        raise InputError(
            f"{what} gives attributions {shape}, expected (N, channels, {expected}), in proportion to inputs "
            f"{tuple(images.shape)}: another layer?"
        )
    return resized(found.sum(1, keepdim=True), images)


def resized(maps: Tensor, inputs: Tensor) -> Tensor:
    """Return maps (N, 1, *sizes) at the positions of inputs (N, C, *positions), interpolated linearly."""
    if inputs.ndim - 2 not in INTERPOLATIONS:
        raise InputError(
            f"A layer's map cannot be interpolated to inputs {tuple(inputs.shape)}; expected one to three axes after "
            "(N, C)."
        )
    return interpolated(maps, positions(inputs))


def _in_proportion(sizes: Sequence[int], wholes: Sequence[int]) -> bool:
    """Return whether sizes may be those of a map of the whole, which may be coarser along one axis than another."""
    scales = [size / whole for size, whole in zip(sizes, wholes, strict=True)]
    return max(scales) <= 4 * min(scales)


def square_regions(side: int, images: Tensor) -> Tensor:
    """Return a feature mask (1, C, *positions) of square regions, numbered from 0 in reading order.

    Those of images are squares, of signals stretches, of volumes cubes, over all channels; of tables (N, F), columns
    side by side.

    Raises:
        InputError: The side is no length.
    """
    if side < 1:
        raise InputError(f"feature_mask is {side!r}, expected the side of square regions in pixels, at least 1")
    numbers = torch.zeros((), dtype=torch.long, device=images.device)
    for length in positions(images):
        along = torch.arange(length, device=images.device) // side
        numbers = numbers.unsqueeze(-1) * (int(along[-1]) + 1) + along
    mask = numbers.unsqueeze(0)
    return mask if images.ndim == 2 else mask.expand(1, images.shape[1], *numbers.shape).contiguous()


def captum_target(targets: Tensor) -> Any:
    """Return targets (N,) or (N, k) as Captum takes them: further axes as a list of tuples."""
    return targets if targets.ndim == 1 else [tuple(each) for each in targets.tolist()]


@contextmanager
def refusing_captums_errors(name: str, model: nn.Module, *inputs: Any) -> Iterator[None]:
    """Turn what Captum raises for what a user gave into an InputError, and leave no hook of its behind.

    An error that the model also raises alone is the model's, and stays as it is, as does a lack of memory.

    Args:
        name: Of the method, for the message.
        model: What is explained.
        inputs: Some of what the model takes.

    Raises:
        InputError: The method does not fit the model, the inputs, or its options, or the model gives no scores.
    """
    with unhooked_afterwards(model), uncompiled():
        try:
            yield
        except InputError:
            raise
        # Captum asserts, lets hooks fail, and indexes what is not there.
        except Exception as error:
            if out_of_memory(error):
                raise
            failure = _failure(model, inputs)
            if isinstance(failure, InputError):
                raise failure from error
            if failure is not None:
                raise
            if isinstance(error, AttributeError):
                require_module(name, model, "reaches into the model's layers")
            said = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{name}: {said}") from error


def uncompiled() -> AbstractContextManager[Any]:
    """Let compiled models run their own modules inside this context, whose hooks are called then, where torch can."""
    stance: Any = getattr(torch.compiler, "set_stance", None)
    return stance("force_eager") if stance else nullcontext()


@contextmanager
def unhooked_afterwards(model: nn.Module) -> Iterator[None]:
    """Take away the hooks that were put on the modules of a model inside this context."""
    before = [(hooks, set(hooks)) for module in modules_inside(model) for hooks in _hooks(module)]
    try:
        yield
    finally:
        for hooks, kept in before:
            for key in set(hooks) - kept:
                del hooks[key]


def _hooks(module: nn.Module) -> list[dict[int, Any]]:
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [hooks for name in names if isinstance(hooks := getattr(module, name, None), dict)]


def _failure(model: nn.Module, inputs: tuple[Any, ...]) -> Exception | None:
    """Return what the model raises alone."""
    try:
        with torch.no_grad():
            model(*inputs)
    # A model can fail in any way.
    except Exception as error:
        return error
    return None


def as_input(explainer: Any, images: Tensor) -> Tensor:
    """Return images as a class of Captum likes them: leaves that require gradients, unless it only perturbs."""
    if isinstance(explainer, captum.attr.PerturbationAttribution):
        return images.detach()
    return images.detach().clone().requires_grad_()


def deep_lift(name: str, explainer: Any, images: Tensor, **arguments: Any) -> Tensor:
    """Call DeepLIFT, and warn where its attributions do not add up to f(x) - f(baseline), as its rules promise.

    Captum has rules for some activations and poolings; the others pass their plain gradient, without a word.

    Args:
        name: Of the method, for the message.
        explainer: ``DeepLift`` or ``DeepLiftShap`` of Captum.
        images: As ``as_input`` returns them.
        arguments: Of ``attribute``.
    """
    if not explainer.multiplies_by_inputs:
        return explainer.attribute(images, **arguments)  # type: ignore[no-any-return]
    found, delta = explainer.attribute(images, **arguments, return_convergence_delta=True)
    missed = delta.detach().reshape(len(images), -1).double().mean(1)
    whole = found.detach().flatten(1).double().sum(1) - missed
    if bool((missed.abs() > 0.01 * whole.abs() + 1e-6).any()):
        warn(
            f"{name} misses more than a hundredth of f(x) - f(baseline), to which it should add up: Captum has no rule "
            "for some activation or pooling of this model; take another method, such as IG."
        )
    return found  # type: ignore[no-any-return]
