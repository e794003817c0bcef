"""Calling Captum: with a seed, in batches that fit into memory, and with its errors in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import captum.attr
import numpy as np
import torch
from captum.attr import LRP, DeepLift, DeepLiftShap, LayerLRP, PerturbationAttribution
from torch import Tensor, nn

from captum_gag.attr.contract import NO_GRADIENT, as_tuple
from captum_gag.attr.hooks import seen_by_hooks
from captum_gag.attr.sampled_gradients import gradients_per_batch
from captum_gag.batching import out_of_memory
from captum_gag.errors import InputError, warn
from captum_gag.model_probe import behaviour_of
from captum_gag.modules import modules_inside, require_module
from captum_gag.tensors import as_tensor, at_least_single, seeded_generator


def _classes(names: str) -> tuple[Any, ...]:
    # Older releases have not all of them.
    return tuple(getattr(captum.attr, name) for name in names.split() if hasattr(captum.attr, name))


# Those whose every row of a batch has a gradient of its own, so that its batches can be divided.
ROW_BY_ROW = _classes("Deconvolution GradientShap GuidedBackprop InputXGradient IntegratedGradients Saliency")

# Those that pass each row as it is, once.
ONE_PASS = _classes(
    "Saliency InputXGradient Deconvolution GuidedBackprop GuidedGradCam LRP FeaturePermutation LayerActivation "
    "LayerGradCam LayerGradientXActivation LayerLRP LayerFeaturePermutation NeuronGradient NeuronGuidedBackprop "
    "NeuronDeconvolution"
)


def require_copies(name: str, model: Any, images: Tensor) -> None:
    """Raise InputError unless a model takes any number of changed copies of images at once, as most of Captum does."""
    if behaviour_of(model, (images,)).rows == "fixed":
        raise InputError(
            f"{name} passes changed copies of an image at once, but this model takes batches of {len(images)} only, "
            "or its outputs depend on the batch; take a method of this package, such as GAG-85 or IG."
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
        gradients = []
        for rows, *others in batches_of(explainer.forward_func, inputs, target_ind, additional_forward_args, size):
            leaves = tuple(tensor.detach().requires_grad_() for tensor in rows)
            gradients.append(gradient_func(forward_fn, leaves, *others))
        return tuple(map(torch.cat, zip(*gradients, strict=True)))

    explainer.gradient_func = batched
    return explainer


def batches_of(
    model: Any, inputs: tuple[Tensor, ...], target: Any, arguments: Any, size: int
) -> Iterator[tuple[tuple[Tensor, ...], Any, Any]]:
    """Yield batches of inputs, targets and further arguments: of those with an entry for each row the rows'."""
    n = len(inputs[0])
    per_example = isinstance(target, list) or (isinstance(target, Tensor) and target.ndim > 0 and len(target) == n)
    of_all = as_tuple(arguments)
    behaviour = behaviour_of(model, inputs, of_all)
    behaviour.require_independent('take GuidedAbsoluteGrad with rows="together"')
    for first in range(0, n, size):
        rows = slice(first, first + size)
        of_rows = None if arguments is None else behaviour.arguments_of(of_all, range(n)[rows])
        yield tuple(tensor[rows] for tensor in inputs), target[rows] if per_example else target, of_rows


def captum_target(targets: Tensor) -> Any:
    """Return targets (N,) or (N, k) as Captum takes them: further axes as a list of tuples."""
    return targets if targets.ndim == 1 else [tuple(row) for row in targets.tolist()]


def reference_images(references: float | str | Tensor, n: int, image: Tensor, seed: int | None) -> Tensor:
    """Return the images (k, C, H, W) that an image (C, H, W) is compared with.

    A number is an image of one value, "random" n images of random values between the image's lowest and highest.
    """
    if isinstance(references, Tensor):
        return as_tensor("baselines", references).to(image)
    if not isinstance(references, str):
        return torch.full_like(image, references).unsqueeze(0)
    if references != "random":
        raise InputError(
            f'baselines {references!r} are images of a data set, which a run has; elsewhere give a number, "random" '
            "or a tensor (k, C, H, W), or call prepare(images) first"
        )
    generator = seeded_generator(seed, image.device)
    shape = (n, *image.shape)
    noise = torch.rand(shape, generator=generator, dtype=torch.float32, device=image.device).to(image.dtype)
    return image.min() + noise * (image.max() - image.min())


def mean_over_references(
    name: str, explainers: tuple[Any, Any], images: Tensor, references: Tensor, **arguments: Any
) -> Tensor:
    """Return the mean of DeepLIFT's attributions against all references, as many at once as fit into memory.

    The explainers are Captum's for one reference, and for several.
    """
    chunks, n = references.split(gradients_per_batch(references, len(references))), len(references)
    explained = (call(name, explainers[len(part) > 1], images, baselines=part, **arguments) for part in chunks)
    return torch.stack([maps * (len(part) / n) for maps, part in zip(explained, chunks, strict=True)]).sum(0)


def call(name: str, explainer: Any, images: Tensor, **arguments: Any) -> Any:
    """Return Captum's attributions; warn where those of DeepLIFT or LRP do not add up to what their rules promise.

    Captum has rules for some modules. Other activations and poolings, and for LRP what ``forward`` does between the
    modules, pass their plain gradient, without a word. LRP is around a copy of the model, whose biases may be 0
    afterwards.
    """
    images = images.detach()
    if not isinstance(explainer, PerturbationAttribution):
        images = images.clone().requires_grad_()
    if not adds_up(explainer):
        return explainer.attribute(images, **arguments)
    # LRP takes its rules away afterwards.
    rules = {module: module.rule for module in modules_inside(explainer.model) if hasattr(module, "rule")}
    attributions, delta = explainer.attribute(images, **arguments, return_convergence_delta=True)
    if isinstance(explainer, LRP | LayerLRP):
        # A layer may have more or less than its share and the right sum.
        conserved = isinstance(explainer, LRP) and not _misses(attributions, -delta)
        if not conserved and not _conserved_without_biases(explainer.model, rules, images, arguments):
            warn(
                f"{name}: on its way to the inputs, relevance misses more than a hundredth of f(x), also without "
                "biases, which take a part by the rules: Captum has no rule for something that the model's forward "
                "does between its modules, such as an addition or a functional pooling; take another method, such as "
                "IG."
            )
    elif _misses(attributions, delta):
        warn(
            f"{name} misses more than a hundredth of f(x) - f(baseline), to which it should add up: Captum has no rule "
            "for some activation or pooling of this model; take another method, such as IG."
        )
    return attributions


def adds_up(explainer: Any) -> bool:
    """Return whether the rules of an attribution promise a sum, which ``call`` checks."""
    if type(explainer) in (DeepLift, DeepLiftShap):
        return bool(explainer.multiplies_by_inputs)
    return isinstance(explainer, LRP | LayerLRP)


def _conserved_without_biases(
    model: nn.Module, rules: dict[nn.Module, Any], images: Tensor, arguments: dict[str, Any]
) -> bool:
    dtype = at_least_single(images.dtype)
    for key, values in model.to(dtype).state_dict().items():
        if key.rpartition(".")[2] in ("bias", "running_mean"):
            values.zero_()
    for module, rule in rules.items():
        module.rule = rule
    of_inputs = {key: arguments[key] for key in ("target", "additional_forward_args") if key in arguments}
    # A layer may then get negative inputs, which its rule is not for.
    with suppress(InputError):
        relevance, delta = LRP(model).attribute(images.to(dtype), **of_inputs, return_convergence_delta=True)
        return not _misses(relevance, -delta, rounding=1e-7)
    return False


def _misses(attributions: Any, delta: Tensor, rounding: float = 0.0) -> bool:
    """Return whether delta, by which a sum of attributions is off, is more than a hundredth of what it should be.

    Rounding is a share of the magnitudes, which may be far larger than their sum.
    """
    rows = torch.cat([part.detach().flatten(1).double() for part in as_tuple(attributions)], 1)
    missed = delta.detach().reshape(len(rows), -1).double().mean(1)
    total = rows.sum(1) - missed
    return bool((missed.abs() > 0.01 * total.abs() + rounding * rows.abs().sum(1) + 1e-6).any())


@contextmanager
def captum_errors(name: str, model: Any, *inputs: Any) -> Iterator[None]:
    """Turn what Captum raises for a user's arguments into an InputError, and leave no hook of its behind.

    An error that the model also raises alone is the model's, and stays as it is, as does a lack of memory or of a
    gradient, which ``explained`` puts in words.

    Raises:
        InputError: The method does not fit the model, the inputs, or its options, or the model gives no scores.
    """
    with _unhooked_afterwards(model), seen_by_hooks():
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


@contextmanager
def _unhooked_afterwards(model: Any) -> Iterator[None]:
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
