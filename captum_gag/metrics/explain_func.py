"""The methods of this package as the ``explain_func`` of Quantus: arrays in, arrays out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from types import FrameType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from captum_gag.attr import catalogue
from captum_gag.errors import InputError
from captum_gag.names import parse_method
from captum_gag.outputs import Output
from captum_gag.tensors import as_tensor, require_device


def explain(
    model: torch.nn.Module,
    inputs: NDArray[Any],
    targets: NDArray[Any],
    *,
    method: str | Mapping[str, Any] = "GAG-85",
    seed: int | None = None,
    device: str | None = None,
    output: Output = "auto",
    class_axis: int | None = None,
    channel_axis: int = 1,
    signed: bool = True,
    **options: Any,
) -> NDArray[Any]:
    """Explain a batch, as the ``explain_func`` of Quantus.

    Args:
        model: Torch classifier.
        inputs: Images (N, C, H, W), any (N, C, *positions), or rows (N, F).
        targets: Class index of each image, (N,); (N, k) for outputs (N, classes, ...) with k - 1 further axes.
        method: Name in the catalogue, or type and options. ``quantus.evaluate`` passes the key of ``explain`` in its
            ``xai_methods``, so that ``{"GAG-85": explain, "IG": explain}`` compares the two; under a label of one's own
            ``{"mine": partial(explain, method="GAG-85")}``.
        seed: Fixes noise and random maps; None draws from torch's global generator.
        device: Device to compute on; None for the model's own.
        output: Meaning of the model's outputs; see ``captum_gag.outputs``.
        class_axis: The axis of their classes; see ``rcap``.
        channel_axis: The axis of the values that share one position: 1, or -1 for token embeddings (N, T, E).
        signed: Keep the sign, as Quantus's own explanations do. False sums magnitudes: what metrics that ignore signs
            judge in a run, where channels of opposite sign do not cancel.
        options: Options of the method, such as ``n_samples=20``. That one is left out for methods without it, because
            ``quantus.evaluate`` passes the same options to all.

    Returns:
        Attributions summed over channels, shape (N, 1, H, W), or with another axis of length 1 where the channels were;
        (N, F) for rows. In at least single precision.

    Raises:
        InputError: If there is no such method or option; if inputs or targets do not fit.
    """
    fixed = _quantus_partial(sys._getframe(1))
    explainer = _build_method(fixed.keywords["method"] if fixed else method, options)
    images = as_inputs(inputs, model, device)
    attributions = explainer.attribute(model, images, as_targets(targets), seed, output, channel_axis, class_axis)
    values = attributions if signed else attributions.abs()
    summed = values.sum(channel_axis, keepdim=True) if attributions.ndim > 2 else values
    result: NDArray[Any] = summed.cpu().numpy()
    return result


def _quantus_partial(caller: FrameType) -> partial[Any] | None:
    """Return the ``partial`` of ``explain`` with a method that Quantus called, over which it passes its label."""
    if not caller.f_globals.get("__name__", "").startswith("quantus."):
        return None
    names = caller.f_locals
    for function in (names.get("explain_func"), getattr(names.get("self"), "explain_func", None)):
        if isinstance(function, partial) and function.func is explain and "method" in function.keywords:
            return function
    return None


def as_targets(targets: Any) -> Any:
    """Return Quantus's ``y_batch`` in a form of ``Target``: rows of several indices as lists."""
    return targets.tolist() if isinstance(targets, np.ndarray) and targets.ndim == 2 else targets


def as_inputs(inputs: Any, model: torch.nn.Module, device: str | None) -> torch.Tensor:
    """Return inputs as a tensor in the precision and on the device of the model."""
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"model is a {type(model).__name__}, must be a torch module.")
    images = as_tensor("inputs", inputs)
    weights = (weight for weight in model.parameters() if weight.is_floating_point())
    parameter = next(weights, torch.empty(0, dtype=torch.float32))
    if device is not None:
        require_device(device)
    return images.to(device or parameter.device, parameter.dtype)


def _build_method(method: str | Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    without_samples = {name: value for name, value in options.items() if name != "n_samples"}
    explainer = catalogue.method(method, **without_samples)
    spec = parse_method(method) if isinstance(method, str) else method
    if "n_samples" in options and "n_samples" in catalogue.options_of_spec({**spec, **without_samples}):
        explainer = catalogue.method(method, **options)
    return explainer
