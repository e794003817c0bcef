"""Batch sizes, and smaller ones when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

# Batch sizes are for images of this many values; smaller images go in larger numbers, up to what the caches hold.
REFERENCE_VALUES, MOST_ON_CPU, MOST_PER_CPU_THREAD, MOST_ON_ACCELERATOR = 3 * 224 * 224, 96, 48, 256

T = TypeVar("T")


@dataclass
class _Batches:
    """The share of a batch that memory allows, and the largest size handed out so far."""

    share: float = 1.0
    largest: int = 1


_batches: ContextVar[_Batches] = ContextVar("batches")


def examples_per_batch(inputs: Tensor, per_cpu_thread: int, per_accelerator: int, total: int | None = None) -> int:
    """Return a batch size for the model, at least 1.

    Args:
        inputs: Examples (N, ...), as the model takes them.
        per_cpu_thread: Examples of 224 x 224 for each CPU thread.
        per_accelerator: Examples of 224 x 224 on another device.
        total: How many examples there are at most, if known; a share of less memory is then a share of these.
    """
    size, most, threads = per_accelerator, MOST_ON_ACCELERATOR, torch.get_num_threads()
    if inputs.device.type == "cpu":
        size, most = per_cpu_thread * threads, max(MOST_ON_CPU, MOST_PER_CPU_THREAD * threads)
    full = min(max(size, most), size * (REFERENCE_VALUES / max(1, inputs[0].numel())))
    batches = _batches.get(_Batches())
    size = max(1, int((full if total is None else min(full, total)) * batches.share))
    batches.largest = max(batches.largest, size)
    return size


def examples_per_chunk(height: int, width: int) -> int:
    """Return the number of images that are scored at once: together as large as one of 224 x 224, at most 32."""
    return max(1, min(32, 224 * 224 // max(1, height * width)))


@contextmanager
def smaller_batches(share: float) -> Iterator[_Batches]:
    """Take only a share, in (0, 1], of the examples per batch inside this context."""
    batches = _Batches(share)
    token = _batches.set(batches)
    try:
        yield batches
    finally:
        _batches.reset(token)


def memory_share() -> float:
    """Return the share, in (0, 1], of the examples per batch that memory allows in this context."""
    return _batches.get(_Batches()).share


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, of an accelerator or of the machine."""
    texts = ("can't allocate memory", "out of memory")
    return isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or any(text in str(error) for text in texts)


def with_less_memory(compute: Callable[[], T]) -> T:
    """Compute, with the batch sizes of ``examples_per_batch`` halved again and again while memory runs out."""
    share = memory_share()
    while True:
        with smaller_batches(share) as batches:
            try:
                return compute()
            except Exception as error:
                if not out_of_memory(error) or batches.largest == 1:
                    raise
        share /= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
