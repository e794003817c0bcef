"""The contract of every attribution: types of arguments, checked inputs, results in their form, torch's errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le
from pydantic import SkipValidation
from torch import Tensor

from captum_gag.attr.hooks import reentrant_with_gradients
from captum_gag.batching import out_of_memory
from captum_gag.errors import InputError, in_one_line, shown, warn
from captum_gag.modules import modules_inside
from captum_gag.tensors import Seed as Seed
from captum_gag.tensors import at_least_single, finite_rows, require_dense

Count = Annotated[int, Ge(1), Le(10_000_000)]
Level = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
Fraction = Annotated[float, Gt(0), Le(1)]
# No image is as large, and the kernel of a blur grows with it.
Pixels = Annotated[float, Gt(0), Le(100_000)]
Percentile = Annotated[float, Ge(0), Le(100)]
TensorOrTuple = Tensor | tuple[Tensor, ...]
Inputs = SkipValidation[TensorOrTuple]

UNNOTICED = 0.05
"""Share of attributions that may be beyond single precision without a warning: few pixels, as at a black border."""

# Torch's messages for a score without gradient.
NO_GRADIENT = re.compile("not have been used in the graph|does not require grad|nference tensor")

# Python's messages for a call that does not fit a signature.
_ARGUMENTS = re.compile(r"positional argument|unexpected keyword argument")


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return a tuple as it is, anything else as the one entry of one; None as an empty one."""
    return value if isinstance(value, tuple) else () if value is None else (value,)


def checked_inputs(inputs: Any) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return the inputs as a tuple of tensors without graph, and the mask (N,) of their finite examples.

    An example with a NaN or an infinity is replaced by another: its map is NaN whatever the model says.
    """
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise InputError(f"inputs contain {shown(tensor)}, expected torch tensors (N, ...); convert it first.")
        if tensor.is_complex():
            raise InputError(
                f"inputs have dtype {tensor.dtype}, must be real; give a function of real and imaginary parts, "
                "such as lambda x: model(torch.view_as_complex(x)) of torch.view_as_real(inputs)."
            )
        if not tensor.is_floating_point():
            raise InputError(
                f"inputs have dtype {tensor.dtype}, expected floating point: integers have no gradient. "
                "Convert with .float(), or explain an embedding layer's output: LayerGuidedAbsoluteGrad(model, layer)."
            )
        require_dense("inputs", tensor)
        if tensor.ndim == 0 or tensor.numel() == 0 or len(tensor) != len(tensors[0]):
            raise InputError(
                f"inputs have shapes {[tuple(tensor.shape) for tensor in tensors]}, expected (N, ...) with the same "
                "N >= 1 for all and at least one feature."
            )
    if not tensors:
        raise InputError("inputs are an empty tuple, expected at least one tensor (N, ...).")
    # Tensors made in inference mode cannot enter a graph.
    plain = tuple(tensor.clone() if tensor.is_inference() else tensor.detach() for tensor in tensors)
    finite = finite_examples(plain)
    if bool(finite.all()):
        return plain, finite
    if not bool(finite.any()):
        return tuple(map(torch.zeros_like, plain)), finite
    rows = torch.where(finite, torch.arange(len(finite)), finite.int().argmax())
    return tuple(tensor[rows] for tensor in plain), finite


def finite_examples(tensors: tuple[Tensor, ...]) -> Tensor:
    """Return the mask (N,), on the CPU, of the examples without NaN and infinity in any of several tensors (N, ...)."""
    return torch.stack([finite_rows(tensor).cpu() for tensor in tensors]).all(0)


def finite_only(result: Tensor, finite: Tensor) -> Tensor:
    """Return a result (N, ...) with NaN for the examples that are not finite."""
    if bool(finite.all()):
        return result
    return result.masked_fill(~finite.to(result.device).reshape(-1, *[1] * (result.ndim - 1)), torch.nan)


def rounded_like(tensor: Tensor, result: Tensor) -> Tensor:
    """Return a result in the dtype of an input; warn where many values are too small or too large for it.

    Half precision becomes single: gradients of 1e-8 would be 0 in float16, and many pixels equal in bfloat16, which
    has three digits.
    """
    rounded = result.to(at_least_single(tensor.dtype))
    if result.dtype != rounded.dtype:
        beyond = result.count_nonzero() - rounded.count_nonzero() + rounded.isinf().sum() - result.isinf().sum()
        lost = float(beyond) / result.numel()
        if lost > UNNOTICED:
            warn(
                f"{lost:.0%} of the attributions are beyond single precision, the largest is "
                f"{float(result.abs().max()):.1g}, and became 0 or infinite; explain in double precision, multiply the "
                "model's output by a constant, or use a method that is free of scale, such as guide='relative'."
            )
    return rounded


@contextmanager
def explained(forward_func: Any, inputs: tuple[Tensor, ...]) -> Iterator[None]:
    """Turn torch's errors where inputs do not fit the model into InputError: device, dtype, shape, no gradient."""
    try:
        with reentrant_with_gradients():
            yield
    except TypeError as error:
        if not _ARGUMENTS.search(str(error)):
            raise
        raise InputError(
            f"The model does not take these arguments: {in_one_line(error)}; give inputs and additional_forward_args "
            "as its forward takes them."
        ) from error
    except (RuntimeError, IndexError) as error:
        if out_of_memory(error):
            raise
        text = str(error)
        if "nference tensor" in text:
            raise InputError(
                "The model has a tensor that was made in torch.inference_mode(), such as a cache of an earlier call, "
                "which cannot have gradients; build the model again, and call it under torch.no_grad() instead."
            ) from error
        if NO_GRADIENT.search(text):
            raise InputError(
                "The score does not depend on all of the inputs by anything that has a gradient; pass unused "
                "inputs as additional_forward_args, and do not detach."
            ) from error
        if "checkpoint" in text.lower():
            raise InputError(
                "The model's activation checkpointing keeps out gradients or hooks, as re-entrant ones other than "
                f"torch's do: {in_one_line(error)}; switch it off."
            ) from error
        weights = [weight for module in modules_inside(forward_func) for weight in module.parameters(recurse=False)]
        for tensor in inputs:
            for attribute in ("device", "dtype"):
                value = str(getattr(tensor, attribute))
                own = dict.fromkeys(str(getattr(weight, attribute)) for weight in weights if weight.is_floating_point())
                if own and value not in own:
                    raise InputError(
                        f"inputs have {attribute} {value}, the model's weights {', '.join(own)}; use .to() on one."
                    ) from error
        if re.search("shape|size|dim|input", text, re.IGNORECASE):
            shapes = [tuple(tensor.shape) for tensor in inputs]
            raise InputError(f"The model does not take inputs of shape {shapes}: {in_one_line(error)}") from error
        raise
