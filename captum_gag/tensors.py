"""Tensor helpers of attributions and metrics: dtypes, percentiles, targets, positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Lt
from numpy.typing import NDArray
from pydantic import AfterValidator
from torch import Tensor

from captum_gag.errors import InputError, first_line, shown

Target = int | tuple[int, ...] | Sequence[int] | Sequence[tuple[int, ...]] | NDArray[Any] | Tensor
"""Target classes in Captum's forms: a class for all images, or one for each as a list, array or tensor (N,).

For outputs (N, classes, ...) with further axes a tuple (class, ...) for all images, or a list of such.
"""

Seed = Annotated[int, Ge(-(2**63)), Lt(2**64)]
"""Seed of a torch generator."""


def seeded_generator(seed: int | None, device: torch.device | str = "cpu") -> torch.Generator | None:
    """Return a generator with a seed; None, which stands for torch's global one, without."""
    return None if seed is None else torch.Generator(device).manual_seed(seed)


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("an odd number")
    return value


Odd = AfterValidator(_odd)
"""Of sizes that have a middle."""


def row_percentiles(rows: Tensor, percentiles: Sequence[float]) -> Tensor:
    """Return percentiles, in [0, 100], of every row: ``numpy.percentile`` for tensors.

    Args:
        rows: Shape (R, F) with F >= 1, in single or double precision. A row with a NaN gives NaN.
        percentiles: Of each row, for a result of shape (R, len(percentiles)).
    """
    # torch.quantile refuses more than 16 million elements in older releases, and sorts where selecting will do.
    values = np.percentile(rows.detach().cpu().numpy(), percentiles, axis=1)
    return torch.as_tensor(values.T, dtype=rows.dtype, device=rows.device)


def row_order_statistics(rows: Tensor, ranks: Sequence[int]) -> Tensor:
    """Return ``rows.sort(1).values[:, ranks]`` for rows (R, F) in single or double precision."""
    ranks = list(ranks)
    if rows.device.type != "cpu" or not ranks:
        return rows.sort(1).values[:, ranks]
    # Selecting is several times faster than sorting, and only NumPy does it for many ranks at once.
    return torch.from_numpy(np.partition(rows.numpy(), ranks, axis=1)[:, ranks])


def at_least_single(dtype: torch.dtype) -> torch.dtype:
    """Return the precision to compute in: double stays double, everything smaller becomes single."""
    return torch.promote_types(dtype, torch.float32)


def double_where_there(tensor: Tensor) -> torch.dtype:
    """Return double precision, or the tensor's own on Apple's GPUs, which have none."""
    return tensor.dtype if tensor.device.type == "mps" else torch.float64


def target_indices(target: Target, n: int) -> Tensor:
    """Return class indices (1,) for all of n examples, or (n,) for each; (1, k) or (n, k) for tuples of k indices.

    Raises:
        InputError: There is neither one target nor one for each example, or one is not an integer >= 0.
    """
    try:
        values = as_tensor("target", target)
    except InputError:
        values = torch.empty(0)
    if isinstance(target, tuple):
        values = values.reshape(1, -1)
    real = values.numel() > 0 and values.dtype != torch.bool
    one_each = values.ndim < 2 or values.shape[1] == 1
    if real and (one_each or (values.ndim == 2 and isinstance(target, tuple | list))):
        values = values.reshape(-1) if one_each else values
        indices = values.to(torch.long)
        if len(values) in (1, n) and not bool(((indices != values) | (indices < 0)).any()):
            return indices
    raise InputError(
        f"target is {shown(target)}, must be one class index >= 0, or one for each of the {n} images; of one-hot "
        "labels take the index: target.argmax(1)."
    )


def class_targets(target: Target, images: Tensor) -> Tensor:
    """Return class indices (N,) on the device of the images, (N, k) for tuples; see ``target_indices``."""
    indices = target_indices(target, len(images))
    return indices.to(images.device).expand(len(images), *indices.shape[1:])


def as_tensor(name: str, values: Any) -> Tensor:
    """Return real numbers as a tensor: a dense tensor as it is; arrays of any strides and byte order, and lists.

    Raises:
        InputError: They are something else; the message has their name.
    """
    if isinstance(values, Tensor):
        require_dense(name, values)
        if not values.is_complex():
            return values
    elif (numbers := _numbers(values)) is not None:
        return torch.from_numpy(numbers)
    raise InputError(f"{name} is {shown(values)}, must be real numbers, none of them masked.")


def _numbers(values: Any) -> NDArray[Any] | None:
    """Return an array that torch takes: contiguous, writable, in native byte order; None of other than numbers."""
    try:
        array = np.asarray(values)
    # Lists of different lengths, tensors on another device or in a graph.
    except (TypeError, ValueError, RuntimeError):
        return None
    if array.dtype.kind not in "fiub" or (isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values)):
        return None
    # Torch has neither larger floats, nor arithmetic of larger unsigned integers.
    native = array.dtype.itemsize <= (1 if array.dtype.kind == "u" else 8)
    dtype = array.dtype.newbyteorder("=") if native else np.dtype(np.float64)
    numbers: NDArray[Any] = np.require(array, dtype, ["C", "W"])
    return numbers


def copied(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a model's arguments with copies of the tensors: it may write into them, even where a leaf forbids that."""
    return tuple(value.clone() if isinstance(value, Tensor) else value for value in arguments)


def is_dense(tensor: Tensor) -> bool:
    """Return whether a tensor has values that can be read: it is neither sparse nor on the meta device."""
    return tensor.layout == torch.strided and not tensor.is_meta


def require_dense(name: str, tensor: Tensor) -> None:
    """Raise InputError, which names the tensor, unless it is dense."""
    if not is_dense(tensor):
        raise InputError(
            f"{name}: layout {tensor.layout} on {tensor.device}, must be dense tensors with values; "
            "convert with .to_dense()."
        )


def require_device(device: Any) -> None:
    """Raise InputError unless tensors with values can be on the device here."""
    try:
        if torch.empty(0, device=device).is_meta:
            raise RuntimeError("it holds no numbers")
    # Torch answers an unknown or missing device with any of these, depending on how it was built.
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise InputError(f"device {shown(device)} cannot be used here: {first_line(error)}") from error


def finite_rows(values: Tensor) -> Tensor:
    """Return a mask (N,) of the rows of values (N, ...) without NaN and infinity."""
    return values.reshape(len(values), -1).isfinite().all(1)


def positions(inputs: Tensor) -> tuple[int, ...]:
    """Return the shape of the positions, or "pixels", that have one saliency value each.

    Args:
        inputs: Images (N, C, H, W), or any (N, C, *positions); tables (N, F), whose features are the positions.
    """
    return tuple(inputs.shape[2:] if inputs.ndim > 2 else inputs.shape[1:])


INTERPOLATIONS = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""Torch's names of linear interpolation, by the number of axes."""


def interpolated(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return values (N, C, *others) at other sizes, (N, C, *sizes), along one to three axes, linearly."""
    mode = INTERPOLATIONS[len(sizes)]
    return torch.nn.functional.interpolate(values, size=tuple(sizes), mode=mode, align_corners=False)


def over_channels(values: Tensor, inputs: Tensor) -> Tensor:
    """Return a value per position, (N, *positions), in a shape that broadcasts over the channels of the inputs."""
    return values.unsqueeze(1) if inputs.ndim > 2 else values


def check_channel_axis(channel_axis: Any, inputs: Tensor) -> None:
    """Raise InputError unless ``channel_axis`` is an axis of the inputs after the first."""
    if type(channel_axis) is not int or channel_axis not in (-1, *range(1, inputs.ndim)):
        raise InputError(
            f"channel_axis is {shown(channel_axis)} for inputs {tuple(inputs.shape)}, must be an axis after the "
            "first, or -1 for the last."
        )


def channels_first(values: Tensor, channel_axis: int) -> Tensor:
    """Return inputs, or maps like them, with their channels on axis 1; tables (N, F) as they are."""
    return values.movedim(channel_axis, 1) if values.ndim > 2 else values


def channels_back(values: Tensor, channel_axis: int) -> Tensor:
    """Return the inverse of ``channels_first``."""
    return values.movedim(1, channel_axis) if values.ndim > 2 else values
