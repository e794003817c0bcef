"""What Quantus calls a metric with, checked before it meets it, and its errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any

import numpy as np
from torch import nn

from captum_gag.errors import InputError, in_one_line, shown
from captum_gag.tensors import require_device


def check_arrays(**arrays: Any) -> None:
    """Refuse what is no array of numbers, (N, ...); None is none that was not given.

    Raises:
        InputError: It is such.
    """
    for name, given in arrays.items():
        if given is not None and not (isinstance(given, np.ndarray) and given.ndim and given.dtype.kind in "fiub"):
            raise InputError(f"{name} is {shown(given)}, expected a NumPy array of numbers, (N, ...).")


def check_call(model: Any, batch_size: Any, device: Any, **flags: Any) -> None:
    """Refuse a model, a number of images, a device or flags that are none.

    Raises:
        InputError: They are such.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model is {shown(model)}, expected a torch module.")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise InputError(f"batch_size is {shown(batch_size)}, expected an integer >= 1.")
    if device is not None:
        require_device(device)
    for name, flag in flags.items():
        if not isinstance(flag, bool | None):
            raise InputError(f"{name} is {shown(flag)}, expected True, False or None.")


@contextmanager
def in_words(name: str) -> Iterator[None]:
    """Make an InputError of what Quantus raises for what it was given; what a user's own code raises stays as it is.

    Args:
        name: Of the metric, for the message.
    """
    try:
        yield
    except InputError:
        raise
    # It asserts, indexes what is not there, and compares arrays with None.
    except Exception as error:
        *_, (frame, _) = walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] != "quantus":
            raise
        raise InputError(f"{name}: Quantus refuses what it was given: {in_one_line(error)}") from error
