"""Calling Captum: with a seed, in batches that fit into memory, and with its errors in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import captum.attr
import numpy as np
import torch
from torch import Tensor

from captum_gag.attr.contract import NO_GRADIENT
from captum_gag.attr.sampled_gradients import gradients_per_batch
from captum_gag.batching import out_of_memory
from captum_gag.errors import InputError, warn
from captum_gag.modules import modules_inside, require_module
from captum_gag.tensors import as_tensor

# Those whose every row of a batch has a gradient of its own, so that its batches can be divided.
ROW_BY_ROW = (
    *(captum.attr.Deconvolution, captum.attr.GradientShap, captum.attr.GuidedBackprop),
    *(captum.attr.InputXGradient, captum.attr.IntegratedGradients, captum.attr.Saliency),
)


@contextmanager
def seeded(device: torch.device, seed: int | None) -> Iterator[None]:
    """Fix the global random state of torch and of NumPy, which Captum draws from, and restore it afterwards."""
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
    """Return an attribution of Captum that takes its gradients in batches, where each row has one of its own."""
    if not isinstance(explainer, ROW_BY_ROW):
        return explainer
    gradient_func = explainer.gradient_func

    def batched(
        forward_fn: Callable[..., Any], inputs: Any, target_ind: Any = None, additional_forward_args: Any = None
    ) -> Any:
        size = gradients_per_batch(inputs[0], len(inputs[0]))
        if size >= len(inputs[0]):
            return gradient_func(forward_fn, inputs, target_ind, additional_forward_args)
        batches = []
        for rows, target in batches_of(inputs, target_ind, size):
            leaves = tuple(tensor.detach().requires_grad_() for tensor in rows)
            batches.append(gradient_func(forward_fn, leaves, target, additional_forward_args))
        return tuple(torch.cat(gradients) for gradients in zip(*batches, strict=True))

    explainer.gradient_func = batched
    return explainer


def batches_of(inputs: tuple[Tensor, ...], target: Any, size: int) -> Iterator[tuple[tuple[Tensor, ...], Any]]:
    """Yield batches of the inputs with their targets: of a list or a tensor its rows, else the target of all."""
    n = len(inputs[0])
    per_example = isinstance(target, list) or (isinstance(target, Tensor) and target.ndim > 0 and len(target) == n)
    for first in range(0, n, size):
        rows = slice(first, first + size)
        yield tuple(tensor[rows] for tensor in inputs), target[rows] if per_example else target


def captum_target(targets: Tensor) -> Any:
    """Return targets (N,) or (N, k) as Captum takes them: further axes as a list of tuples."""
    return targets if targets.ndim == 1 else [tuple(row) for row in targets.tolist()]


def reference_images(references: float | str | Tensor, n: int, image: Tensor, seed: int | None) -> Tensor:
    """Return the images that an image (C, H, W) is compared with, (k, C, H, W).

    A number stands for an image of one value, "random" for n images of random values between the image's darkest and
    its brightest.
    """
    if isinstance(references, Tensor):
        return as_tensor("references", references).to(image)
    if not isinstance(references, str):
        return torch.full_like(image, references).unsqueeze(0)
    if references != "random":
        raise InputError(
            f'references {references!r} are images of a data set, which a run has; elsewhere give a number, "random" '
            "or a tensor (k, C, H, W), or call prepare(images) first"
        )
    generator = None if seed is None else torch.Generator(image.device).manual_seed(seed)
    shape = (n, *image.shape)
    noise = torch.rand(shape, generator=generator, dtype=torch.float32, device=image.device).to(image.dtype)
    return image.min() + noise * (image.max() - image.min())


def mean_over_references(
    name: str, explainers: tuple[Any, Any], images: Tensor, references: Tensor, **arguments: Any
) -> Tensor:
    """Return the mean of DeepLIFT's attributions against all references, as many at once as fit into memory.

    The explainers are Captum's for one reference, and for several.
    """
    maps = []
    for chunk in references.split(gradients_per_batch(references, len(references))):
        attributions = call(name, explainers[len(chunk) > 1], images, baselines=chunk, **arguments)
        maps.append(attributions * (len(chunk) / len(references)))
    return torch.stack(maps).sum(0)


def call(name: str, explainer: Any, images: Tensor, **arguments: Any) -> Any:
    """Return Captum's attributions; warn where DeepLIFT's do not add up to f(x) - f(baseline), as its rules promise.

    Captum has rules for some activations and poolings; the others pass their plain gradient, without a word.
    """
    images = images.detach()
    if not isinstance(explainer, captum.attr.PerturbationAttribution):
        images = images.clone().requires_grad_()
    if type(explainer) not in (captum.attr.DeepLift, captum.attr.DeepLiftShap) or not explainer.multiplies_by_inputs:
        return explainer.attribute(images, **arguments)
    attributions, delta = explainer.attribute(images, **arguments, return_convergence_delta=True)
    missed = delta.detach().reshape(len(images), -1).double().mean(1)
    total = attributions.detach().flatten(1).double().sum(1) - missed
    if bool((missed.abs() > 0.01 * total.abs() + 1e-6).any()):
        warn(
            f"{name} misses more than a hundredth of f(x) - f(baseline), to which it should add up: Captum has no rule "
            "for some activation or pooling of this model; take another method, such as IG."
        )
    return attributions


@contextmanager
def captum_errors(name: str, model: Any, *inputs: Any) -> Iterator[None]:
    """Turn what Captum raises for a user's arguments into an InputError, and leave no hook of its behind.

    An error that the model also raises alone is the model's, and stays as it is, as does a lack of memory or of a
    gradient, which ``explained`` puts in words.

    Raises:
        InputError: The method does not fit the model, the inputs, or its options, or the model gives no scores.
    """
    with _unhooked_afterwards(model), uncompiled():
        try:
            yield
        # Captum asserts, lets hooks fail, and indexes what is not there.
        except Exception as error:
            if isinstance(error, InputError) or out_of_memory(error) or NO_GRADIENT.search(str(error)):
                raise
            failure = _failure(model, inputs)
            if isinstance(failure, InputError):
                raise failure from error
            if failure is not None:
                raise
            if isinstance(error, AttributeError):
                require_module(name, model, "reaches into the model's layers")
            raise InputError(f"{name}: {' '.join(str(error).split()) or type(error).__name__}") from error


def uncompiled() -> AbstractContextManager[Any]:
    """Run compiled models eagerly inside this context, so that hooks are called, if torch can."""
    stance: Any = getattr(torch.compiler, "set_stance", None)
    return stance("force_eager") if stance else nullcontext()


@contextmanager
def _unhooked_afterwards(model: Any) -> Iterator[None]:
    """Remove the hooks that were put on the modules of a model inside this context."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    registries = [getattr(module, name, None) for module in modules_inside(model) for name in names]
    before = [(hooks, set(hooks)) for hooks in registries if isinstance(hooks, dict)]
    try:
        yield
    finally:
        for hooks, keys in before:
            for key in set(hooks) - keys:
                del hooks[key]


def _failure(model: Any, inputs: tuple[Any, ...]) -> Exception | None:
    try:
        with torch.no_grad():
            model(*inputs)
    # A model can fail in any way.
    except Exception as error:
        return error
    return None
