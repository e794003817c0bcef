"""What a run will take, told from a few of its images: passes, time, memory, and images to a decision."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from captum_gag.errors import InputError
from captum_gag.reliability.deciding import oriented
from captum_gag.reliability.forecasting import FEWEST, Forecast, forecast
from captum_gag.reliability.scores import checked, explanations
from captum_gag.runs.config import Config
from captum_gag.runs.execution import choose
from captum_gag.runs.executors import Bench
from captum_gag.runs.stopping import require_answerable
from captum_gag.runs.suite_file import labels_of
from captum_gag.threads import cores

MOST_FORESEEN = 2000
"""Images that are drawn for the future of a decision, at most."""


class Total(NamedTuple):
    """What so many images take.

    Attributes:
        images: How many.
        forward: Images that go through the model.
        backward: Those whose gradient is taken.
        seconds: With one worker, until it is ready included.
        seconds_of_workers: With all of them, at least. Only those that have cores or an accelerator of their own count;
            that they share memory bandwidth and clock rate is not measured.
    """

    images: int
    forward: float
    backward: float
    seconds: float
    seconds_of_workers: float


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Attributes:
        methods: How many there are.
        metrics: Likewise.
        measured: Images that were scored for it.
        failed: Cells of theirs that failed, which took less than they should.
        images: Of the run, at most.
        at_most: Whether they may be fewer, since some are not confident enough.
        at_once: Images that are scored together.
        forward: Images that go through the model, per image scored.
        backward: Those whose gradient is taken, likewise.
        seconds: Per image scored, with one worker.
        opening: Seconds until a worker that has started has model, suite and data set.
        device: Where it was measured.
        memory: Bytes of the process at its highest; None where the system does not say.
        device_memory: Bytes that tensors took on the accelerator at their highest; None without one.
        threads: Of a worker.
        workers: Who share the images.
        abreast: Those of them that have cores, or an accelerator, of their own.
        decision: Images to a decision; None where that cannot be told.
    """

    methods: int
    metrics: int
    measured: int
    failed: int
    images: int
    at_most: bool
    at_once: int
    forward: float
    backward: float
    seconds: float
    opening: float
    device: str
    memory: int | None
    device_memory: int | None
    threads: int
    workers: int
    abreast: int
    decision: Forecast | None

    def totals(self) -> list[Total]:
        """Return what one image takes, what all of them take, and what those to a decision take, if that is known."""
        median = self.decision.median if self.decision else None
        return [self._total(each) for each in dict.fromkeys([1, median or self.images, self.images])]

    def _total(self, images: int) -> Total:
        seconds = self._seconds(images, 1), self._seconds(images, self.abreast)
        return Total(images, images * self.forward, images * self.backward, *seconds)

    def _seconds(self, images: int, workers: int) -> float:
        """Return the seconds of the worker with most chunks, until it is ready included."""
        chunks = ceil(ceil(images / self.at_once) / workers)
        return self.opening + min(images, chunks * self.at_once) * self.seconds


class Passes:
    """Counts what goes through a model.

    Attributes:
        forward: Examples so far.
        backward: Examples whose gradient reached the model's output.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.forward = self.backward = 0

    @contextmanager
    def counted(self, model: nn.Module) -> Iterator[None]:
        """Count what happens inside this context."""
        handle = model.register_forward_hook(self._after)
        try:
            yield
        finally:
            handle.remove()

    def _after(self, model: nn.Module, inputs: tuple[Any, ...], outputs: Any) -> None:
        rows = next(len(each) for each in inputs if isinstance(each, Tensor))
        self.forward += rows
        tensor = next((each for each in _parts(outputs) if isinstance(each, Tensor) and each.requires_grad), None)
        if tensor is not None:
            tensor.register_hook(lambda gradient: self._came_back(rows))

    def _came_back(self, rows: int) -> None:
        self.backward += rows


def _parts(outputs: Any) -> Iterable[Any]:
    """Return what a model's outputs are put together from, whatever form they have."""
    if isinstance(outputs, Tensor):
        return [outputs]
    if isinstance(outputs, Mapping):
        return outputs.values()
    return outputs if isinstance(outputs, list | tuple) else vars(outputs).values()


def plan(config: Config, workers: int = 1, pilot: int = 0, scores: pd.DataFrame | None = None) -> Plan:
    """Score a few images, and tell what the whole run will take; nothing is written.

    The images are drawn at random by the seed. Two are scored, or twice as many as are scored at once where images are
    small: what comes first warms up, and does not count for the time where more follows.

    Args:
        config: Of the run; its alpha and against are those of the decision.
        workers: Who share the images, with ``config.threads`` each.
        pilot: Score so many images, and foresee from them how many a decision takes; 0 does not.
        scores: Records of a run to foresee it from instead.

    Raises:
        InputError: The config cannot be used, no image is confident enough, or there is too little to foresee from.
    """
    if pilot and (pilot < FEWEST or scores is not None):
        reason = "a run to tell it from is given too" if scores is not None else f"expected {FEWEST} at least"
        raise InputError(f"a pilot of {pilot} images cannot be: {reason}")
    began = time.perf_counter()
    bench = Bench.open(replace(config, until="decided"))
    opening = time.perf_counter() - began
    if pilot or scores is not None:
        require_answerable(bench.config, bench.scorer.suite)
    there = min(config.limit or len(bench.data), len(bench.data))
    at_once = max(map(len, bench.chunks(bench.data.names[:there])))
    some = replace(bench.config, limit=min(there, max(2 * at_once, pilot)))
    chosen, failure = choose(Bench(some, bench.data, bench.scorer))
    if not len(chosen):
        raise InputError(
            f"no image has a confidence above {config.confidence:g}, so that nothing can be measured {failure}".rstrip()
        )
    chunks = bench.chunks(chosen["image"].tolist())
    passes, seconds, rows = Passes(), [], []
    with passes.counted(bench.scorer.model):
        for chunk in chunks:
            began = time.perf_counter()
            done = bench.do(chunk)
            seconds.append(time.perf_counter() - began)
            rows += [row for each in done for row in each.rows]
    methods, metrics = labels_of(config.suite_file())
    told_from = pd.DataFrame(rows) if pilot else scores
    cuda = config.device.startswith("cuda")
    return Plan(
        methods=len(methods),
        metrics=len(metrics),
        measured=len(chosen),
        failed=sum(bool(row["error"]) for row in rows),
        images=there,
        at_most=config.confidence > 0,
        at_once=at_once,
        forward=passes.forward / len(chosen),
        backward=passes.backward / len(chosen),
        seconds=_per_image(seconds, [len(chunk) for chunk in chunks]),
        opening=opening,
        device=config.device,
        memory=peak_memory(),
        device_memory=torch.cuda.max_memory_allocated() if cuda else None,
        threads=config.threads,
        workers=workers,
        abreast=_abreast(config, workers),
        decision=None if told_from is None else _decision(config, told_from, there),
    )


def _per_image(seconds: list[float], sizes: list[int]) -> float:
    """Return the seconds per image of whole chunks behind the first, or of the first if there are none."""
    whole = [each for each, size in zip(seconds[1:], sizes[1:], strict=True) if size == sizes[0]] or seconds[:1]
    return sum(whole) / (len(whole) * sizes[0])


def _abreast(config: Config, workers: int) -> int:
    """Return how many workers have cores, or an accelerator, of their own."""
    if config.device == "cpu":
        room = cores() // config.threads
    else:
        room = torch.cuda.device_count() if config.device == "cuda" else 1
    return max(1, min(workers, room))


def _decision(config: Config, scores: pd.DataFrame, there: int) -> Forecast:
    """Foresee the decision from records; images of them that lack a method or a metric say nothing of it."""
    methods, metrics = labels_of(config.suite_file())
    lacking = set(methods) - set(scores["method"])
    if lacking:
        raise InputError(
            f"the run to tell it from has no scores of {', '.join(sorted(lacking))}; expected this suite's"
        )
    scores = checked(scores)
    values, most = oriented(scores, list(scores["image"].unique()), methods, metrics), min(there, MOST_FORESEEN)
    asked = (config.against, config.alpha, config.seed)
    return forecast(values, methods, metrics, most, *asked, explanations(scores))


def peak_memory() -> int | None:
    """Return the bytes of this process at their highest so far; None where the system does not say."""
    status = Path("/proc/self/status")
    # On Linux getrusage has the parent's.
    if status.exists():
        return 1024 * int(status.read_text(encoding="ascii").split("VmHWM:")[1].split()[0])
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
