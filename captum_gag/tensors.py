"""What attributions and metrics both need of tensors: dtypes, percentiles, targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captum_gag.errors import InputError, first_line, shown

Target = int | tuple[int, ...] | Sequence[int] | Sequence[tuple[int, ...]] | NDArray[Any] | Tensor
"""What is explained, in Captum's forms: a class for all images, or one for each as a list, array or tensor (N,).

Of outputs (N, classes, ...) with further axes a tuple (class, ...) for all images, or a list of such.
"""


def row_percentiles(rows: Tensor, percentiles: Sequence[float]) -> Tensor:
    """Return percentiles of every row, linearly interpolated: ``numpy.percentile`` for tensors.

    ``torch.quantile`` refuses more than 16 million elements in older releases, and sorts where selecting will do.

    Args:
        rows: Tensor of shape (R, F) with F >= 1, in single or double precision.
        percentiles: Values in [0, 100].

    Returns:
        Tensor of shape (R, len(percentiles)), dtype and device of ``rows``. A row with a NaN gives NaN.
    """
    found = np.percentile(rows.detach().cpu().numpy(), percentiles, axis=1)
    return torch.as_tensor(found.T, dtype=rows.dtype, device=rows.device)


def row_order_statistics(rows: Tensor, ranks: Sequence[int]) -> Tensor:
    """Return the values of certain ranks in every row.

    Args:
        rows: Tensor of shape (R, F), in single or double precision.
        ranks: In [0, F); 0 is the smallest value.

    Returns:
        Tensor of shape (R, len(ranks)), dtype and device of ``rows``, as ``rows.sort(1).values[:, ranks]``.
    """
    wanted = list(ranks)
    if rows.device.type != "cpu" or not wanted:
        return rows.sort(1).values[:, wanted]
    # Selecting is several times faster than sorting, and only NumPy does it for many ranks at once.
    return torch.from_numpy(np.partition(rows.numpy(), wanted, axis=1)[:, wanted])


def at_least_single(dtype: torch.dtype) -> torch.dtype:
    """Return the precision to compute in: double stays double, everything smaller becomes single."""
    return torch.promote_types(dtype, torch.float32)


def double_where_there(tensor: Tensor) -> torch.dtype:
    """Return double precision, or the tensor's own on Apple's GPUs, which have none."""
    return tensor.dtype if tensor.device.type == "mps" else torch.float64


def class_targets(target: Target, images: Tensor) -> Tensor:
    """Return class indices on the device of the images.

    Args:
        target: In any of the forms of ``Target``.
        images: Shape (N, ...).

    Returns:
        Integers (N,); (N, k) for outputs (N, classes, ...) with k - 1 axes after the classes.

    Raises:
        InputError: If there is neither one target nor one for each image, or one is no integer >= 0.
    """
    expected = f"expected one class index >= 0, or one for each of the {len(images)} images"
    try:
        found = target if isinstance(target, Tensor) else torch.as_tensor(np.asarray(target))
    # What is no number, or lists of different lengths.
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"target is {target!r}, {expected}.") from None
    if isinstance(target, tuple):
        found = found.reshape(1, -1)
    no_number = found.dtype in (torch.bool, torch.complex64, torch.complex128)
    if no_number or found.numel() == 0 or not is_dense(found):
        raise InputError(f"target is {target!r}, {expected}.")
    if found.ndim == 2 and not isinstance(target, tuple | list) and found.shape[1] > 1:
        raise InputError(
            f"target has shape {tuple(found.shape)}, {expected}; of one-hot labels take the index: target.argmax(1)."
        )
    found = found.reshape(-1) if found.ndim < 2 or found.shape[1] == 1 else found
    whole = found.to(torch.long)
    if found.ndim > 2 or len(found) not in (1, len(images)) or bool((whole != found).any()) or bool((whole < 0).any()):
        raise InputError(f"target is {target!r}, {expected}.")
    return whole.to(images.device).expand(len(images), *whole.shape[1:])


def is_dense(tensor: Tensor) -> bool:
    """Return whether every number of a tensor is there to be read: it is neither sparse, nor without values (meta)."""
    return tensor.layout == torch.strided and not tensor.is_meta


def require_dense(what: str, tensor: Tensor) -> None:
    """Refuse a tensor whose numbers cannot be read one by one.

    Args:
        what: What it is, for the message.
        tensor: Any.

    Raises:
        InputError: It is sparse, or without values.
    """
    if not is_dense(tensor):
        raise InputError(
            f"{what}: layout {tensor.layout} on {tensor.device}, expected dense tensors with values; convert with "
            ".to_dense()."
        )


def require_device(device: Any) -> None:
    """Refuse what is no device, or none that numbers can be on here.

    Raises:
        InputError: It is such.
    """
    try:
        if torch.empty(0, device=device).is_meta:
            raise RuntimeError("it holds no numbers")
    # Torch answers an unknown or missing device with any of these, depending on how it was built.
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise InputError(f"device {shown(device)} cannot be used here: {first_line(error)}") from error


def finite_rows(values: Tensor) -> Tensor:
    """Return which of N rows (N, ...) have neither a NaN nor an infinity, a mask (N,)."""
    return values.reshape(len(values), -1).isfinite().all(1)


def positions(inputs: Tensor) -> tuple[int, ...]:
    """Return the shape of what has one saliency value each, the "pixels" of inputs.

    Args:
        inputs: Images (N, C, H, W), or any (N, C, *positions); tables (N, F), whose features are the positions.
    """
    return tuple(inputs.shape[2:] if inputs.ndim > 2 else inputs.shape[1:])


INTERPOLATIONS = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""By the number of axes, what torch calls linear interpolation."""


def interpolated(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return values (N, C, *others) at other sizes, (N, C, *sizes), along one to three axes, linearly."""
    mode = INTERPOLATIONS[len(sizes)]
    return torch.nn.functional.interpolate(values, size=tuple(sizes), mode=mode, align_corners=False)


def over_channels(values: Tensor, inputs: Tensor) -> Tensor:
    """Return a value per position, (N, *positions), as one that broadcasts over the channels of the inputs."""
    return values.unsqueeze(1) if inputs.ndim > 2 else values
