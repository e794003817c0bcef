"""The cost of a run, measured on a few of its images: passes, time and memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from captum_gag.errors import InputError
from captum_gag.runs.config import Config
from captum_gag.runs.executors import Bench
from captum_gag.runs.selection import choose
from captum_gag.runs.stopping import require_answerable
from captum_gag.threads import cores


class Total(NamedTuple):
    """The cost of a number of images.

    Attributes:
        images: Their number.
        forward: Forward passes, of one image each.
        backward: Backward passes, of one image each.
        seconds: With one worker, including its start.
        seconds_of_workers: With all workers, at least: that they share memory bandwidth and clock rate is not measured.
    """

    images: int
    forward: float
    backward: float
    seconds: float
    seconds_of_workers: float


@dataclass(frozen=True)
class Plan:
    """The cost of a run.

    Attributes:
        measured: Images that were scored to measure it.
        failed: Cells of these images that failed, which took less time than they should.
        images: Images of the run, at most.
        at_once: Images that are scored together.
        forward: Forward passes per image scored.
        backward: Backward passes per image scored.
        seconds: Seconds per image scored, with one worker.
        opening: Seconds until a worker has opened model, suite and data set.
        memory: Peak memory of the process in bytes; None where the system does not say.
        device_memory: Peak memory of tensors on the accelerator in bytes; None without one.
        abreast: Workers that have cores, or an accelerator, of their own.
    """

    measured: int
    failed: int
    images: int
    at_once: int
    forward: float
    backward: float
    seconds: float
    opening: float
    memory: int | None
    device_memory: int | None
    abreast: int

    def totals(self) -> list[Total]:
        """Return the cost of one image, and of all images."""
        return [
            Total(n, n * self.forward, n * self.backward, self._seconds(n, 1), self._seconds(n, self.abreast))
            for n in dict.fromkeys([1, self.images])
        ]

    def _seconds(self, images: int, workers: int) -> float:
        # Those of the worker with most chunks, including its start.
        chunks = ceil(ceil(images / self.at_once) / workers)
        return self.opening + min(images, chunks * self.at_once) * self.seconds


class Passes:
    """Counts the examples that go through a model.

    Attributes:
        forward: Examples so far.
        backward: Examples whose gradient reached the model's output.
    """

    forward = backward = 0

    def counted(self, model: nn.Module) -> RemovableHandle:
        """Return a context; what happens inside it is counted."""
        return model.register_forward_hook(self._after)

    def _after(self, model: nn.Module, inputs: tuple[Any, ...], outputs: Any) -> None:
        rows = next(len(value) for value in inputs if isinstance(value, Tensor))
        self.forward += rows
        tensor = next((part for part in _parts(outputs) if isinstance(part, Tensor) and part.requires_grad), None)
        if tensor is not None:
            tensor.register_hook(lambda gradient: self._came_back(rows))

    def _came_back(self, rows: int) -> None:
        self.backward += rows


def _parts(outputs: Any) -> Iterable[Any]:
    if isinstance(outputs, Tensor):
        return [outputs]
    if isinstance(outputs, Mapping):
        return outputs.values()
    return outputs if isinstance(outputs, list | tuple) else vars(outputs).values()


def plan(config: Config, workers: int = 1) -> Plan:
    """Score a few images, and return the cost of the whole run; nothing is written.

    The images are drawn at random by the seed: two, or twice as many as are scored at once where images are small,
    since the first ones warm up and do not count for the time.

    Args:
        config: Configuration of the run.
        workers: Processes that share the images, with ``config.threads`` each.

    Raises:
        InputError: The config cannot be used, or no image is confident enough.
    """
    began = time.perf_counter()
    bench = Bench.open(config)
    opening = time.perf_counter() - began
    require_answerable(config, bench.scorer.suite)
    images = min(config.limit or len(bench.data), len(bench.data))
    at_once = max(map(len, bench.chunks(bench.data.names[:images])))
    selection, failures = choose(bench, min(images, 2 * at_once))
    if not len(selection):
        raise InputError(
            f"no image has a confidence above {config.confidence:g}, so that nothing can be measured "
            f"{failures[0][1] if failures else ''}".rstrip()
        )
    chunks = bench.chunks(selection["image"].tolist())
    costs, rows = [], []
    for chunk in chunks:
        passes, began = Passes(), time.perf_counter()
        with passes.counted(bench.scorer.model):
            done = bench.do(chunk)
        costs.append((passes.forward, passes.backward, time.perf_counter() - began))
        rows += [row for image in done for row in image.rows]
    # The first chunk warms up, and the model is asked how it treats rows; the last may not be full.
    full = [cost for cost, chunk in zip(costs, chunks, strict=True) if len(chunk) == len(chunks[0])]
    forward, backward, seconds = np.mean(full[1:] or full, 0) / len(chunks[0])
    return Plan(
        measured=len(selection),
        failed=sum(bool(row["error"]) for row in rows),
        images=images,
        at_once=at_once,
        forward=float(forward),
        backward=float(backward),
        seconds=float(seconds),
        opening=opening,
        memory=peak_memory(),
        device_memory=torch.cuda.max_memory_allocated() if config.device.startswith("cuda") else None,
        abreast=_abreast(config, workers),
    )


def _abreast(config: Config, workers: int) -> int:
    if config.device == "cpu":
        room = cores() // config.threads
    else:
        room = torch.cuda.device_count() if config.device == "cuda" else 1
    return max(1, min(workers, room))


def peak_memory() -> int | None:
    """Return the peak memory of this process in bytes; None where the system does not say."""
    status = Path("/proc/self/status")
    # On Linux getrusage has the parent's.
    if status.exists():
        return 1024 * int(status.read_text(encoding="ascii").split("VmHWM:")[1].split()[0])
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
