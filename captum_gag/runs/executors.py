"""Who does the work of a run: this process, several on this machine, or Ray's actors on many."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from captum_gag.data.datasets import Example
from captum_gag.errors import InputError
from captum_gag.runs.scorer import Row, Scorer
from captum_gag.runs.store import Config

Work = tuple[int, Example]
Done = tuple[int, list[Row], dict[str, Tensor]]
Engine = Callable[[Config, Scorer, Iterable[Work]], Iterator[Done]]
"""(config, scorer, work) -> what is done, in any order."""

MOST_RETRIES = 5
"""How often an image is tried anew whose actor died; one that kills every actor would go round for ever."""


def in_this_process(config: Config, scorer: Scorer, work: Iterable[Work]) -> Iterator[Done]:
    """Scores the images one after the other."""
    for index, example in work:
        yield (index, *_quietly(scorer, example))


def in_processes(workers: int) -> Engine:
    """Gives an engine of several processes on this machine, each with the model and ``config.threads`` threads.

    Several GPUs are shared out among them.
    """

    def engine(config: Config, scorer: Scorer, work: Iterable[Work]) -> Iterator[Done]:
        context = multiprocessing.get_context("spawn")
        initargs = (config, sys.path, context.Value("i", 0))
        with ProcessPoolExecutor(workers, context, _start_one_of_many, initargs) as pool:
            futures = {pool.submit(_score_here, example): index for index, example in work}
            try:
                for future in as_completed(futures):
                    yield (futures[future], *future.result())
            except BrokenProcessPool as error:
                raise InputError("a worker process died; what it had done is kept: captum-gag resume RUN") from error
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    return engine


def on_ray(workers: int | None = None, address: str | None = None) -> Engine:
    """Gives an engine of Ray actors, each of which holds the model: on one GPU, or on ``config.threads`` CPUs.

    Ray starts them, hands out the images as actors become free, starts an actor anew when it dies, and repeats what it
    was doing. The images are read where the actors are, so the data set must be there under the same path.

    Args:
        workers (int, optional): How many actors; default as many as the cluster has room for.
        address (str, optional): Of a cluster; default one on this machine.

    Raises:
        InputError: Ray is not installed.
    """
    try:
        import ray
        from ray.util import ActorPool
    except ImportError as error:
        raise InputError('ray is not installed; install it with: pip install "captum-gag[ray]"') from error

    def engine(config: Config, scorer: Scorer, work: Iterable[Work]) -> Iterator[Done]:
        started = not ray.is_initialized()
        if started:
            ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
        try:
            needs: dict[str, Any] = (
                {"num_gpus": 1} if config.device.startswith("cuda") else {"num_cpus": config.threads}
            )
            resource, each = ("GPU", 1) if "num_gpus" in needs else ("CPU", config.threads)
            room = int(ray.cluster_resources().get(resource, 1) // each)
            if (workers or 1) > max(1, room):
                raise InputError(
                    f"{workers} workers need {(workers or 1) * each} {resource}s, the cluster has {room * each}; "
                    "ask for fewer --workers or --threads"
                )
            actor = ray.remote(max_restarts=-1, max_task_retries=MOST_RETRIES, **needs)(RayScorer)
            pool = ActorPool([actor.remote(config, sys.path) for _ in range(workers or max(1, room))])
            yield from pool.map_unordered(lambda scorer, item: scorer.score.remote(*item), list(work))
        except ray.exceptions.RayError as error:
            raise InputError(f"Ray gave up; what is done is kept: captum-gag resume RUN ({error})") from error
        finally:
            if started:
                ray.shutdown()

    return engine


class RayScorer:
    """What a Ray actor holds: the model, ready to score."""

    def __init__(self, config: Config, path: list[str]) -> None:
        """Load the model, where the actor is."""
        _start(config, path)

    def score(self, index: int, example: Example) -> Done:
        """Score one image."""
        return (index, *_score_here(example))


_here: dict[str, Scorer] = {}


def _start(config: Config, path: list[str]) -> None:
    # A model given as package.module:callable is found where the user's own process finds it.
    sys.path[:] = list(dict.fromkeys([*sys.path, *path]))
    _here["scorer"] = config.scorer()


def _start_one_of_many(config: Config, path: list[str], started: Any) -> None:
    with started.get_lock():
        number, started.value = started.value, started.value + 1
    _start(replace(config, device=device_of(config.device, number)), path)


def device_of(device: str, number: int) -> str:
    """Gives the device of the n-th process: where "cuda" is several GPUs, each has its turn."""
    gpus = torch.cuda.device_count() if device == "cuda" else 0
    return f"cuda:{number % gpus}" if gpus > 1 else device


def _score_here(example: Example) -> tuple[list[Row], dict[str, Tensor]]:
    return _quietly(_here["scorer"], example)


def _quietly(scorer: Scorer, example: Example) -> tuple[list[Row], dict[str, Tensor]]:
    with warnings.catch_warnings():
        # What they would say of single images is in the table: NaN, and why.
        warnings.simplefilter("ignore")
        return scorer.score(example)
