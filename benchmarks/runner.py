"""Time of a run against the bare forward and backward passes that it makes, and of Ray against this process.

    python benchmarks/runner.py [--suite gag-ablation] [--data demo] [--limit 4] [--rounds 3] [--ray]
    python benchmarks/runner.py --suite metric-reliability --model cifar10 --data cifar10:DIR --limit 32 --orderings 10

The model's calls of one run are recorded (how many images, with gradients or without) and then made again without
anything around them, in turns with the run. Without --weights the network for CIFAR-10 has random ones. With --ray
runs are timed with one and two workers of one thread each, the start apart.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from turns import take_turns

from captum_gag.data import dataset
from captum_gag.models.cifar10 import Cifar10Net
from captum_gag.runs.config import Config
from captum_gag.runs.execution import begin, execute
from captum_gag.runs.executors import Bench, Chunk, Executor, in_processes, in_this_process, on_ray
from captum_gag.runs.selection import choose
from captum_gag.runs.spec import read_suite


def recorded_calls(bench: Bench, chunks: list[Chunk]) -> list[tuple[torch.Size, bool]]:
    """Return the shape of the input of each call of the model, and whether a gradient was taken."""
    calls: list[tuple[torch.Size, bool]] = []
    # Of the first layer: what DeepLIFT compares with comes in behind the model's own hooks.
    first = next(each for each in bench.scorer.model.modules() if not list(each.children()))
    handle = first.register_forward_pre_hook(
        lambda module, x: calls.append((x[0].shape, x[0].requires_grad and torch.is_grad_enabled()))
    )
    for chunk in chunks:
        bench.do(chunk)
    handle.remove()
    return calls


def replay(model: torch.nn.Module, calls: list[tuple[torch.Size, bool]]) -> None:
    for shape, gradient in calls:
        x = torch.zeros(shape, requires_grad=gradient)
        with torch.set_grad_enabled(gradient):
            outputs = model(x)
        if gradient:
            torch.autograd.grad(outputs[:, 0].sum(), x)


def model_of(name: str, weights: Path | None, scratch: Path) -> dict[str, Any]:
    """Return the spec of a model; the network for CIFAR-10 gets random weights where there are none."""
    if name == "cifar10" and weights is None:
        torch.manual_seed(0)
        weights = scratch / "random.pth"
        torch.save(Cifar10Net().state_dict(), weights)
    return {"type": name} if weights is None else {"type": name, "weights": str(weights)}


def timed_run(config: Config, executor: Executor, place: Path) -> tuple[float, float]:
    """Return the seconds until the first image is done, and those per image after it."""
    done: list[float] = []
    started = time.perf_counter()
    track = lambda total, before: nullcontext(lambda said: done.append(time.perf_counter() - started))  # noqa: E731
    run, bench = begin(place, config)
    execute(run, executor, bench=bench, track=track, say=lambda text: None)
    return done[0], (done[-1] - done[0]) / (len(done) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="gag-ablation")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--data", default="demo")
    parser.add_argument("--limit", type=int, default=4)
    parser.add_argument("--orderings", type=int, help="random orderings, instead of the suite's")
    parser.add_argument("--batch-size", type=int, help="images scored at a time, instead of the run's own choice")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ray", action="store_true")
    options = parser.parse_args()
    threads = torch.get_num_threads()
    suite = read_suite(options.suite)
    if options.orderings is not None:
        suite["random_orderings"] = options.orderings
    with tempfile.TemporaryDirectory() as scratch:
        places = (Path(scratch) / str(number) for number in range(1000))
        config = Config(
            suite=suite,
            model=model_of(options.model, options.weights, Path(scratch)),
            data=dataset(options.data).absolute().spec(),
            limit=options.limit,
            device="cpu",
            threads=threads,
            batch_size=options.batch_size,
        )
        run, bench = begin(next(places), config)
        work = list(choose(bench)[0]["image"])
        chunks = bench.chunks(work)
        calls = recorded_calls(bench, chunks)

        def keep_all() -> None:
            for chunk in in_this_process(bench, chunks):
                for done in chunk:
                    run.keep(done.image, "", done.rows, done.arrays)

        backward = sum(shape[0] for shape, gradient in calls if gradient)
        title = (
            f"{options.suite}: {len(work)} images, {len(chunks[0])} at a time, "
            f"{sum(shape[0] for shape, _ in calls)} forward, {backward} backward, {threads} threads"
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
