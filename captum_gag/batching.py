"""How many examples go through the model at once, when the caller does not say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch
from torch import Tensor

# The sizes below were measured on images of this many values; smaller images go in larger numbers, up to MOST.
REFERENCE_VALUES, MOST = 3 * 224 * 224, 256

SHARES = tuple(0.5**halvings for halvings in range(9))
"""What is tried while memory runs out; the last leaves one image of the most that go at once."""

T = TypeVar("T")

_share: ContextVar[float] = ContextVar("share", default=1.0)


def examples_per_pass(inputs: Tensor, per_cpu_thread: int, per_accelerator: int) -> int:
    """Pick how many examples go through the model at once.

    Args:
        inputs: Examples (N, ...), as the model takes them.
        per_cpu_thread: Examples for each CPU thread, for images of 224 x 224.
        per_accelerator: Examples on another device, for images of 224 x 224.

    Returns:
        At least 1.
    """
    size = per_cpu_thread * torch.get_num_threads() if inputs.device.type == "cpu" else per_accelerator
    scale = REFERENCE_VALUES / max(1, inputs[0].numel())
    return max(1, int(min(max(size, MOST), size * scale) * _share.get()))


@contextmanager
def smaller_passes(share: float) -> Iterator[None]:
    """Take only a share, in (0, 1], of the examples per pass inside this context, because memory ran out."""
    token = _share.set(share)
    try:
        yield
    finally:
        _share.reset(token)


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out: of an accelerator, or of the machine."""
    text = str(error)
    return (
        isinstance(error, torch.cuda.OutOfMemoryError | MemoryError)
        or "can't allocate memory" in text
        or "out of memory" in text
    )


def with_less_memory(compute: Callable[[], T]) -> T:
    """Compute, with ever smaller passes while memory runs out.

    Raises:
        Exception: What ``compute`` raises, or the last lack of memory.
    """
    for share in SHARES[:-1]:
        try:
            with smaller_passes(share):
                return compute()
        except Exception as error:
            if not out_of_memory(error):
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    with smaller_passes(SHARES[-1]):
        return compute()
