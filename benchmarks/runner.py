"""Time of a run against the bare forward and backward passes that it makes, and of Ray against this process.

    python benchmarks/runner.py [--suite gag-ablation] [--data demo] [--limit 4] [--rounds 3] [--ray]

The model's calls of one run are recorded (how many images, with gradients or without) and then made again without
anything around them. With --ray runs are timed with one and two workers of one thread each, the start apart.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from turns import take_turns

from captum_gag.data.catalogue import dataset, parse
from captum_gag.runs.config import Config
from captum_gag.runs.execution import begin, choose, execute
from captum_gag.runs.executors import Bench, Executor, in_processes, in_this_process, on_ray
from captum_gag.runs.spec import read_suite


def recorded_calls(bench: Bench, images: list[str]) -> list[tuple[torch.Size, bool]]:
    """Return the shape of the input of each call of the model, and whether a gradient was taken."""
    calls: list[tuple[torch.Size, bool]] = []
    handle = bench.scorer.model.register_forward_pre_hook(
        lambda module, x: calls.append((x[0].shape, x[0].requires_grad))
    )
    for image in images:
        bench.do(image)
    handle.remove()
    return calls


def replay(model: torch.nn.Module, calls: list[tuple[torch.Size, bool]]) -> None:
    for shape, gradient in calls:
        x = torch.zeros(shape, requires_grad=gradient)
        with torch.set_grad_enabled(gradient):
            outputs = model(x)
        if gradient:
            torch.autograd.grad(outputs[:, 0].sum(), x)


def timed_run(config: Config, executor: Executor, place: Path) -> tuple[float, float]:
    """Return the seconds until the first image is done, and those per image after it."""
    done: list[float] = []
    started = time.perf_counter()
    track = lambda total, before: nullcontext(lambda: done.append(time.perf_counter() - started))  # noqa: E731
    run, bench = begin(place, config)
    execute(run, executor, bench=bench, track=track, say=lambda text: None)
    return done[0], (done[-1] - done[0]) / (len(done) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="gag-ablation")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--limit", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ray", action="store_true")
    options = parser.parse_args()
    threads = torch.get_num_threads()
    config = Config(
        suite=read_suite(options.suite),
        model={"type": "demo"},
        data=dataset(parse(options.data)).absolute().spec(),
        limit=options.limit,
        device="cpu",
        threads=threads,
    )
    with tempfile.TemporaryDirectory() as scratch:
        places = (Path(scratch) / str(number) for number in range(1000))
        run, bench = begin(next(places), config)
        chosen, _ = choose(bench)
        work = list(chosen["image"])
        calls = recorded_calls(bench, work)

        def keep_all() -> None:
            for done in in_this_process(bench, work):
                run.keep(done.image, "", done.rows, done.maps)

        backward = sum(shape[0] for shape, gradient in calls if gradient)
        title = (
            f"{options.suite}: {len(work)} images, {sum(shape[0] for shape, _ in calls)} forward, {backward} backward"
        )
        runs = {"bare passes": lambda: replay(bench.scorer.model, calls), "run": keep_all}
        take_turns(title, runs, options.rounds, bare="bare")
        if options.ray:
            one = replace(config, threads=1)
            for name, executor in {
                "this process": in_this_process,
                "2 processes": in_processes(2),
                "Ray, 1 actor": on_ray(1),
                "Ray, 2 actors": on_ray(2),
            }.items():
                first, later = timed_run(one, executor, next(places))
                print(f"  {name:16s} {first:6.2f} s to the first image, then {later:6.3f} s per image")


if __name__ == "__main__":
    main()
