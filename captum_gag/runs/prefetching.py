"""Reading ahead: photographs are decoded and preprocessed while the model works on those before them."""

from __future__ import annotations

import pickle
import random
from collections import deque
from collections.abc import Generator, Iterable
from itertools import islice
from multiprocessing.pool import AsyncResult, ThreadPool

import numpy as np
import torch

from captum_gag.errors import InputError
from captum_gag.runs.executors import Bench, Chunk, Done, Executor
from captum_gag.runs.scorer import Opened


def reading_ahead(count: int) -> Executor:
    """Return an executor of this process, in which a second thread reads up to so many chunks of images ahead.

    Scores are the same as without. It pays where reading takes time and the model leaves the CPU free, as on a GPU.

    Args:
        count: Chunks that may be read before they are scored, at least 1; each takes the memory of its inputs.
    """

    def executor(bench: Bench, chunks: Iterable[Chunk]) -> Generator[list[Done], None, None]:
        waiting = iter(chunks)
        for first in islice(waiting, 1):
            opened = _read_without_chance(bench, first)
            ahead: deque[AsyncResult[list[Opened]]] = deque()
            # Of this kind nobody waits for the thread: a photograph may never come, as from a share that is gone.
            with ThreadPool(1) as reader:
                if bench.config.device == "cpu":
                    _leave_cores_to_this_thread(reader)
                while True:
                    ahead += [reader.apply_async(bench.read, (chunk,)) for chunk in islice(waiting, count - len(ahead))]
                    yield bench.score(opened)
                    if not ahead:
                        return
                    opened = ahead.popleft().get()

    return executor


def _leave_cores_to_this_thread(reader: ThreadPool) -> None:
    """Let the second thread compute alone: torch would give it as many helpers as this one has, on the same cores."""
    threads = torch.get_num_threads()
    # A thread takes over the number of all when it first asks, and has its own only from then on.
    reader.apply(torch.get_num_threads)
    reader.apply(torch.set_num_threads, (1,))
    # Of OpenMP each thread has its own number; of MKL there is one, which is this thread's again.
    torch.set_num_threads(threads)


def _read_without_chance(bench: Bench, images: Chunk) -> list[Opened]:
    """Read a chunk, and refuse a data set that draws random numbers, which a second thread would draw out of turn."""
    before = _random_states()
    opened = bench.read(images)
    if _random_states() != before:
        raise InputError(
            "the data set or the preprocessing draws from the global random numbers, which cannot be read ahead to the "
            "same scores; leave out --prefetch, or let it use a generator of its own"
        )
    return opened


def _random_states() -> bytes:
    """Return the states of the random numbers of which a process has one."""
    return pickle.dumps((random.getstate(), np.random.get_state(), torch.get_rng_state().tolist()))
