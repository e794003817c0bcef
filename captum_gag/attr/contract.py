"""What every attribution takes and gives back, checked in one place: inputs, targets, scores, results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, Lt
from pydantic import SkipValidation
from torch import Tensor

from captum_gag.batching import out_of_memory
from captum_gag.errors import InputError, in_one_line, shown, warn
from captum_gag.modules import modules_inside
from captum_gag.outputs import tensor_of
from captum_gag.tensors import at_least_single, finite_rows, is_dense, require_dense

Count = Annotated[int, Ge(1), Le(10_000_000)]
Level = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
Fraction = Annotated[float, Gt(0), Le(1)]
# No image is as large, and the kernel of a blur grows with it.
Pixels = Annotated[float, Gt(0), Le(100_000)]
Percentile = Annotated[float, Ge(0), Le(100)]
Seed = Annotated[int, Ge(-(2**63)), Lt(2**64)]
TensorOrTuple = Tensor | tuple[Tensor, ...]
# Of these ``checked_inputs`` says more than a type.
Inputs = SkipValidation[TensorOrTuple]

UNNOTICED = 0.05
"""Share of attributions that may be beyond single precision without a word: few pixels, as at a black border."""

# How Python says that a call does not fit a signature.
_ARGUMENTS = re.compile(r"positional argument|unexpected keyword argument")

CaptumTarget = int | tuple[Any, ...] | list[Any] | None
"""A target as ``checked_target`` returns it: for all examples, or a list with an entry for each."""


def checked_inputs(inputs: Any) -> tuple[Tensor, ...]:
    """Return the inputs as a tuple of tensors cut off from any graph, or say what is wrong with them.

    An example with a NaN or an infinity is replaced by another: its map is NaN whatever the model says.

    Raises:
        InputError: They are no floating-point tensors (N, ...) of the same N >= 1.
    """
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise InputError(f"inputs contain {shown(tensor)}, expected torch tensors (N, ...); convert it first.")
        if not tensor.is_floating_point():
            raise InputError(
                f"inputs have dtype {tensor.dtype}, expected floating point: integers have no gradient. "
                "Convert with .float(), or explain an embedding layer's output: LayerGuidedAbsoluteGrad(model, layer)."
            )
        require_dense("inputs", tensor)
        if tensor.ndim == 0 or tensor.numel() == 0 or len(tensor) != len(tensors[0]):
            raise InputError(
                f"inputs have shapes {[tuple(each.shape) for each in tensors]}, expected (N, ...) with the same "
                "N >= 1 for all and at least one feature."
            )
    if not tensors:
        raise InputError("inputs are an empty tuple, expected at least one tensor (N, ...).")
    # Whoever calls in inference mode has tensors that no graph takes.
    known = tuple(tensor.clone() if tensor.is_inference() else tensor.detach() for tensor in tensors)
    finite = finite_examples(known)
    if all(finite):
        return known
    rows = [row if fine else finite.index(True) for row, fine in enumerate(finite)] if any(finite) else None
    return tuple(torch.zeros_like(each) if rows is None else each[rows] for each in known)


def finite_examples(tensors: tuple[Tensor, ...]) -> list[bool]:
    """Return for each of the N examples whether none of its values, in any of the tensors, is a NaN or an infinity."""
    finite = torch.stack([finite_rows(each).cpu() for each in tensors]).all(0)
    return [bool(each) for each in finite]


def finite_only(result: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
    """Return a result (N, ...) with NaN for the examples that have a NaN or an infinity in the inputs."""
    finite = finite_examples(inputs)
    if all(finite):
        return result
    broken = torch.tensor([not fine for fine in finite], device=result.device)
    return result.masked_fill(broken.reshape(-1, *[1] * (result.ndim - 1)), torch.nan)


def like_inputs(inputs: TensorOrTuple, results: Sequence[Tensor]) -> TensorOrTuple:
    """Return results in the dtype of the inputs, as a tuple if and only if the inputs were one.

    Half precision becomes single: gradients of 1e-8 would be 0 in float16, and many pixels equal in bfloat16, which
    has three digits. Examples with a NaN or an infinity in the inputs get NaN.

    Raises:
        InputError: A result is not like its input.
    """
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    for result, each in zip(results, tensors, strict=True):
        if not isinstance(result, Tensor) or result.shape != each.shape:
            raise InputError(f"aggregation returned {shown(result)}, expected a tensor {tuple(each.shape)}.")
    given = tuple(
        finite_only(_rounded(result, at_least_single(each.dtype)), tensors)
        for result, each in zip(results, tensors, strict=True)
    )
    return given if isinstance(inputs, tuple) else given[0]


def _rounded(result: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a result in another precision, and say so where it is too small or too large for that."""
    rounded = result.to(dtype)
    if result.dtype != dtype:
        lost = ((rounded == 0) & (result != 0)) | (rounded.isinf() & result.isfinite())
        if float(lost.double().mean()) > UNNOTICED:
            warn(
                f"{float(lost.double().mean()):.0%} of the attributions are beyond single precision, the largest is "
                f"{float(result.abs().max()):.1g}, and became 0 or infinite; explain in double precision, multiply the "
                "model's output by a constant, or use a method that is free of scale, such as guide='relative'."
            )
    return rounded


def checked_target(target: Any, n: int) -> CaptumTarget:
    """Return a target in plain Python, whatever holds it.

    Args:
        target: In any form of Captum's, or of NumPy's: a class index, a tuple of indices, a list, array or tensor with
            one entry for each example, or None.
        n: Number of examples.

    Raises:
        InputError: It is none of these, has another number of entries, or one that is no integer >= 0.
    """
    if target is None:
        return None
    expected = (
        f"expected a class index >= 0, a tuple of such, or a list, array or tensor with one for each of {n} examples"
    )
    values: CaptumTarget = _plain(target)
    if _is_index(values) or (isinstance(values, tuple) and values and all(_is_index(i, slice) for i in values)):
        return values
    if not isinstance(values, list) or not values:
        raise InputError(f"target is {shown(target)}, {expected}.")
    # A column (N, 1) is what it holds.
    entries: list[Any] = [each[0] if isinstance(each, list) and len(each) == 1 else each for each in values]
    entries = [tuple(each) if isinstance(each, list) and isinstance(target, list) else each for each in entries]
    if any(isinstance(each, list) for each in entries):
        raise InputError(f"target is {shown(target)}, {expected}; of one-hot labels take the index: target.argmax(1).")
    several = all(isinstance(each, tuple) and each and all(map(_is_index, each)) for each in entries)
    if not (several or all(map(_is_index, entries))):
        raise InputError(f"target is {shown(target)}, {expected}.")
    if len(entries) == 1:
        [target] = entries
        return target  # type: ignore[no-any-return]
    if len(entries) != n:
        raise InputError(f"target has {len(entries)} entries, {expected}.")
    return entries


def _plain(target: Any) -> Any:
    """Return what tensors, arrays and NumPy's numbers hold, in lists and tuples too."""
    if isinstance(target, Tensor) and not is_dense(target):
        return target
    if isinstance(target, Tensor | np.ndarray | np.generic):
        return target.tolist()
    return type(target)(map(_plain, target)) if type(target) in (list, tuple) else target


def _is_index(value: Any, other: type | tuple[type, ...] = ()) -> bool:
    return isinstance(value, other) or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def scores_for(target: CaptumTarget, rows: int) -> Callable[[Any], Tensor]:
    """Return what takes scores, of which the target can be selected, out of what a model returned for some rows.

    Raises:
        InputError: By the function, if there are no such scores.
    """

    def read(returned: Any) -> Tensor:
        try:
            outputs = tensor_of(returned)
        except InputError:
            raise InputError(
                f"forward_func returned {shown(returned)}, expected a tensor (N, classes), or an object or dict with "
                "logits; pass a function that takes the scores out, such as lambda x: model(x)[0]."
            ) from None
        require_dense("what forward_func returns", outputs)
        if not outputs.is_floating_point() or outputs.ndim == 0 or len(outputs) not in (1, rows):
            raise InputError(
                f"forward_func returned {shown(outputs)} for {rows} examples, expected floating-point scores "
                "(N, classes), or (N,) without a target."
            )
        if not outputs.requires_grad and torch.is_grad_enabled():
            raise InputError(
                "What forward_func returned has no gradient by the inputs; it must neither detach, nor convert to "
                "NumPy, nor compute without gradients."
            )
        for index in [target] if not isinstance(target, list) else dict.fromkeys(target):
            complaint = _complaint(outputs, index, isinstance(target, list))
            if complaint:
                shape = ", ".join(["N", *map(str, outputs.shape[1:])])
                raise InputError(f"target is {shown(index)} for outputs of shape ({shape}): {complaint}.")
        return outputs

    return read


def _complaint(outputs: Tensor, target: Any, of_each: bool) -> str:
    """Return why a target, of one example or of all, selects no score; "" where it does."""
    shape = outputs.shape[1:]
    index = () if target is None else target if isinstance(target, tuple) else (target,)
    if len(index) > len(shape):
        return f"expected {len(shape)} indices" if shape else "there is one score for each example; leave target out"
    for each, size in zip(index, shape, strict=False):
        if isinstance(each, int) and each >= size:
            return f"{each} is too large, expected an index from 0 to {size - 1}"
    place = (0, *index)
    selected = outputs[place]
    # Captum takes (N, 1) for (N,) only where there is no list of targets.
    if selected.numel() == 1 and not (of_each and selected.ndim):
        return ""
    return f"that is {selected.numel()} scores of each example, expected one: give {len(shape)} indices, as a tuple"


@contextmanager
def explained(forward_func: Any, inputs: tuple[Tensor, ...]) -> Iterator[None]:
    """Say it in words where torch fails because inputs do not fit the model: device, dtype, shape, no gradient.

    Raises:
        InputError: In place of torch's error.
    """
    try:
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
        if "not have been used in the graph" in text or "does not require grad" in text:
            raise InputError(
                "The score does not depend on all of the inputs by anything that has a gradient; pass what the model "
                "does not use as additional_forward_args, and leave out what detaches."
            ) from error
        weights = [each for module in modules_inside(forward_func) for each in module.parameters(recurse=False)]
        for tensor in inputs:
            for what in ("device", "dtype"):
                found = str(getattr(tensor, what))
                own = list(dict.fromkeys(str(getattr(each, what)) for each in weights if each.is_floating_point()))
                if own and found not in own:
                    raise InputError(
                        f"inputs have {what} {found}, the model's weights {', '.join(own)}; convert either with .to()."
                    ) from error
        if re.search("shape|size|dim|input", text, re.IGNORECASE):
            shapes = [tuple(each.shape) for each in inputs]
            raise InputError(f"The model does not take inputs of shape {shapes}: {in_one_line(error)}") from error
        raise
