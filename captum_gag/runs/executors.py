"""Who does the work of a run: this process, several on this machine, or Ray's actors on many."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from tqdm import tqdm

from captum_gag.batching import examples_per_chunk
from captum_gag.data import dataset
from captum_gag.data.datasets import Example, ImageData
from captum_gag.errors import InputError, in_one_line
from captum_gag.models.catalogue import model
from captum_gag.runs.cells import Outcome, Row
from captum_gag.runs.config import IN_PYTHON, Config
from captum_gag.runs.guide_parts import quantised
from captum_gag.runs.identity import differences, identity, pixels_digest
from captum_gag.runs.photographs import encoded
from captum_gag.runs.scorer import Item, Scorer
from captum_gag.runs.spec import make_suite

Chunk = tuple[str, ...]
"""The names of images that are scored at once."""


class Done(NamedTuple):
    """What was done of one image: plain data, so that nothing of it stays where it was done.

    Attributes:
        image: Its name.
        rows: Its records.
        arrays: If the run keeps maps: "maps", (H, W) by method; "parts", of GAG's map, as ``guide_parts.quantised``
            returns them; "photographs", as ``photographs.encoded`` returns them.
        pixels: The digest of what was scored, of an example that is in no file; "" where it could not be read.
    """

    image: str
    rows: list[Row]
    arrays: dict[str, dict[str, NDArray[Any]]]
    pixels: str = ""


class Bench:
    """Where work is done: the model, the suite and the data set, opened in this process."""

    def __init__(self, config: Config, data: ImageData, scorer: Scorer) -> None:
        """Take what is open."""
        self.config, self.data, self.scorer = config, data, scorer
        self._pixels: dict[str, str] = {}
        if config.save_maps:
            scorer.explainer.keep_parts()

    @classmethod
    def open(cls, config: Config, device: str | None = None) -> Bench:
        """Open all that a config names.

        Raises:
            InputError: The model, the data set or the suite cannot be used.
        """
        if config.model.get("type") == IN_PYTHON:
            raise InputError(
                f"the model of this run, {config.model['name']}, is a Python object; go on with the same call of "
                "captum_gag.compare, and the same out"
            )
        torch.set_num_threads(config.threads)
        data, classifier = dataset(config.data), model(config.model).load(device or config.device)
        suite = make_suite(config.suite, classifier.normalization)
        names = (config.attribution_autocast, config.metrics_autocast)
        autocast = [None if name is None else getattr(torch, name) for name in names]
        return cls(config, data, Scorer(classifier, suite, config.seed, getattr(torch, config.dtype), data, *autocast))

    def identity(self) -> dict[str, str]:
        """Return digests and versions of all that the numbers depend on beside the config and the photographs."""
        config = self.config
        of_config = identity(self.data.listings(), config.suite, config.model, str(config.data.get("type", "")))
        return {**self.scorer.digests, **of_config}

    def do(self, images: Chunk) -> list[Done]:
        """Read and score a chunk of images of the data set."""
        with warnings.catch_warnings():
            # What they would say of single images is in the records: NaN, and why.
            warnings.simplefilter("ignore")
            outcomes = self.scorer.score_many([Item(image, partial(self._example, image)) for image in images])
        return [self._done(image, outcome) for image, outcome in zip(images, outcomes, strict=True)]

    def chunks(self, images: Sequence[str]) -> list[Chunk]:
        """Divide all images of a run, in their order, into chunks that are scored at once, always the same ones."""
        size = self.config.batch_size or examples_per_chunk(*self.scorer.classifier.seen)
        return [tuple(images[start : start + size]) for start in range(0, len(images), size)]

    def _example(self, image: str) -> Example:
        """Return an example; of one that is in no file, note the digest of what is read, which is what is scored."""
        index = self.data.index[image]
        example = self.data[index]
        if self.data.files(index):
            return example

        def photo() -> Any:
            pixels = example.photo()
            self._pixels[image] = pixels_digest(pixels, example.target)
            return pixels

        return replace(example, photo=photo)

    def _done(self, image: str, outcome: Outcome) -> Done:
        pixels = self._pixels.pop(image, "")
        if not self.config.save_maps:
            return Done(image, outcome.rows, {}, pixels)
        arrays = {"maps": {name: each.numpy() for name, each in outcome.maps().items()}}
        if outcome.parts:
            arrays["parts"] = quantised(**{name: each[0] for name, each in outcome.parts.items()})
        # A preprocessing of the user's own that cannot be undone for display costs the photograph alone.
        with suppress(Exception):
            if outcome.inputs is not None:
                photo = self.scorer.classifier.to_rgb(outcome.inputs)[0]
                arrays["photographs"] = encoded(photo, outcome.mask)
        return Done(image, outcome.rows, arrays, pixels)


Executor = Callable[[Bench, Iterable[Chunk]], Generator[list[Done], None, None]]
"""(bench of this process, chunks) -> what is done, in any order; who works ends when it is closed.

What travels are the config and names."""

MOST_RETRIES = 5
"""How often a chunk is tried anew whose actor died; one that kills every actor would go round for ever."""

IN_FLIGHT = 2
"""Chunks per worker that are handed out before the first comes back: more would only wait, and keep what is done."""


def in_this_process(bench: Bench, chunks: Iterable[Chunk]) -> Generator[list[Done], None, None]:
    """Score the chunks one after the other."""
    yield from map(bench.do, chunks)


def in_processes(workers: int) -> Executor:
    """Return an executor of several processes on this machine, each with the model and ``config.threads`` threads.

    Several GPUs are shared out among them. They end with this process, however it ends.
    """

    def executor(bench: Bench, chunks: Iterable[Chunk]) -> Generator[list[Done], None, None]:
        context = multiprocessing.get_context("spawn")
        # Nothing that this process must keep for them: it may be gone while they start, when the run stops early.
        given = (bench.config, bench.identity(), sys.path)
        others, waiting = multiprocessing.active_children(), iter(chunks)
        try:
            pool = ProcessPoolExecutor(workers, context, _start_one_of_many, given)
        except OSError as error:
            raise InputError(f"no room for {workers} workers: {error}; free /dev/shm or files, or take one") from error

        def submit(count: int) -> set[Future[list[Done]]]:
            # Where a process is missing, it starts here.
            with deaf_to_interrupts():
                return {pool.submit(_do_here, chunk) for chunk in islice(waiting, count)}

        try:
            running = submit(IN_FLIGHT * workers)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= submit(len(done))
                while done:
                    yield done.pop().result()
        except BrokenProcessPool as error:
            raise InputError("a worker process died; what it had done is kept: captum-gag resume RUN") from error
        except BaseException:
            # Nobody waits for what they are doing.
            for process in set(multiprocessing.active_children()) - set(others):
                process.kill()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    return executor


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C, which reaches all of a terminal, leaves to this one, which hears it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def on_ray(workers: int | None = None) -> Executor:
    """Return an executor of Ray actors, each of which holds the model: on one GPU, or on ``config.threads`` CPUs.

    Ray starts them, hands out the chunks as actors become free, starts an actor anew when it dies, and repeats what it
    was doing. The images are read where the actors are, so the data set must be there under the same path.

    Args:
        workers: Actors; None for as many as the cluster has room for. The cluster is the one of the environment
            variable RAY_ADDRESS, or of this machine, where Ray starts one if there is none.

    Raises:
        InputError: Ray is not installed.
    """
    try:
        import ray
        from ray.util import ActorPool
    except ImportError as error:
        raise InputError('ray is not installed; install it with: pip install "captum-gag[ray]"') from error

    def executor(bench: Bench, chunks: Iterable[Chunk]) -> Generator[list[Done], None, None]:
        config = bench.config
        started = not ray.is_initialized()
        if started:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
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
            count = workers or max(1, room)
            actor = ray.remote(max_restarts=-1, max_task_retries=MOST_RETRIES, **needs)(RayWorker)
            pool = ActorPool([actor.remote(config, bench.identity(), sys.path) for _ in range(count)])
            waiting = iter(chunks)
            for chunk in islice(waiting, IN_FLIGHT * count):
                pool.submit(_ask, chunk)
            while pool.has_next():
                yield _result(pool.get_next_unordered())
                for chunk in islice(waiting, 1):
                    pool.submit(_ask, chunk)
        except ray.exceptions.RayError as error:
            raise InputError(f"Ray gave up; what is done is kept: captum-gag resume RUN ({error})") from error
        finally:
            if started:
                ray.shutdown()

    return executor


class RayWorker:
    """What a Ray actor holds: the model and the data set, opened when the first chunk comes."""

    def __init__(self, config: Config, identity: dict[str, str], path: list[str]) -> None:
        """Say what is to be opened, where the actor is."""
        _start(config, identity, path, None)

    def do(self, images: Chunk) -> list[Done] | InputError:
        """Score a chunk of images, or say in one line why nothing can be scored here."""
        try:
            return _do_here(images)
        except InputError as error:
            return error


def _ask(worker: Any, images: Chunk) -> Any:
    return worker.do.remote(images)


def _result(found: list[Done] | InputError) -> list[Done]:
    if isinstance(found, InputError):
        raise found
    return found


_here: dict[str, Any] = {}


def _start(config: Config, identity: dict[str, str], path: list[str], device: str | None) -> None:
    # A model given as package.module:callable is found where the user's own process finds it.
    sys.path[:] = list(dict.fromkeys([*sys.path, *path]))
    _here["open"] = partial(_opened, config, identity, device)


def _opened(config: Config, identity: dict[str, str], device: str | None) -> Bench:
    """Open what the run needs, and refuse what is not what it is where the run began."""
    with warnings.catch_warnings():
        # The process where the run began has said it.
        warnings.simplefilter("ignore")
        bench = Bench.open(config, device)
    other = differences(identity, bench.identity())
    if other:
        raise InputError(f"here it is not what it is where the run began: {', '.join(other)}")
    return bench


def _start_one_of_many(config: Config, identity: dict[str, str], path: list[str]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Otherwise bars take a lock of the system's, which a process that is ended leaves behind.
    tqdm.set_lock(threading.RLock())
    # Processes of one pool are numbered one after the other, in their names.
    number = int(re.findall(r"\d+", multiprocessing.current_process().name)[-1])
    _start(config, identity, path, device_of(config.device, number))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        # Nobody waits for what this process does any more; its open files are whole by renaming.
        os._exit(1)


def device_of(device: str, number: int) -> str:
    """Return the device of the n-th process: where "cuda" is several GPUs, each has its turn."""
    gpus = torch.cuda.device_count() if device == "cuda" else 0
    return f"cuda:{number % gpus}" if gpus > 1 else device


def _do_here(images: Chunk) -> list[Done]:
    """Score a chunk of images with what this process has open; the first one opens it.

    Raises:
        InputError: It cannot be opened here; in one line, since it travels back to the process that asked.
    """
    if "bench" not in _here:
        try:
            _here["bench"] = _here["open"]()
        except Exception as error:
            raise InputError(f"a worker cannot open what the run needs: {in_one_line(error)}") from None
    bench: Bench = _here["bench"]
    return bench.do(images)
