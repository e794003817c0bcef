"""How much goes through a model at once, and less of it when memory runs out, whatever runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch
from torch import Tensor

# The sizes below were measured on images of this many values; smaller ones go in larger numbers, up to a most. A CPU is
# fastest with 64 to 128 images of 32 x 32 at once, and a quarter slower with 256, which its caches do not hold.
REFERENCE_VALUES, MOST_ON_CPU, MOST_PER_CPU_THREAD, MOST_ON_ACCELERATOR = 3 * 224 * 224, 96, 48, 256

MOST_IN_CHUNK = 32

T = TypeVar("T")

_share: ContextVar[float] = ContextVar("share", default=1.0)
_asked: ContextVar[list[int] | None] = ContextVar("asked", default=None)


def examples_per_batch(inputs: Tensor, per_cpu_thread: int, per_accelerator: int, total: int | None = None) -> int:
    """Return how many examples should go through the model at once.

    Args:
        inputs: Examples (N, ...), as the model takes them.
        per_cpu_thread: Examples for each CPU thread, for images of 224 x 224.
        per_accelerator: Examples on another device, for images of 224 x 224.
        total: How many examples there are at most, where that is known: a share of less memory is then one of these.

    Returns:
        At least 1.
    """
    size, most, threads = per_accelerator, MOST_ON_ACCELERATOR, torch.get_num_threads()
    if inputs.device.type == "cpu":
        size, most = per_cpu_thread * threads, max(MOST_ON_CPU, MOST_PER_CPU_THREAD * threads)
    scale = REFERENCE_VALUES / max(1, inputs[0].numel())
    whole = min(max(size, most), size * scale)
    size = max(1, int((whole if total is None else min(whole, total)) * _share.get()))
    asked = _asked.get()
    if asked is not None:
        asked.append(size)
    return size


def examples_per_chunk(height: int, width: int) -> int:
    """Return how many images of a size are scored at once: as many as one of 224 x 224 has pixels for, at most 32."""
    return max(1, min(MOST_IN_CHUNK, 224 * 224 // max(1, height * width)))


@contextmanager
def smaller_batches(share: float) -> Iterator[None]:
    """Take only a share, in (0, 1], of the examples per batch inside this context, because memory ran out."""
    token = _share.set(share)
    try:
        yield
    finally:
        _share.reset(token)


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out: of an accelerator, or of the machine."""
    text = str(error)
    return (
        isinstance(error, torch.cuda.OutOfMemoryError | MemoryError)
        or "can't allocate memory" in text
        or "out of memory" in text
    )


def with_less_memory(compute: Callable[[], T]) -> T:
    """Compute, with batches halved again and again while memory runs out.

    Args:
        compute: Takes its batch sizes from ``examples_per_batch``. Otherwise nothing can get smaller.

    Raises:
        Exception: What ``compute`` raises, or the lack of memory that no smaller batch can help.
    """
    share = _share.get()
    while True:
        asked: list[int] = []
        token = _asked.set(asked)
        try:
            with smaller_batches(share):
                return compute()
        except Exception as error:
            if not out_of_memory(error) or max(asked, default=1) == 1:
                raise
        finally:
            _asked.reset(token)
        share /= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
