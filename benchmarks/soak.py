"""Whether memory, descriptors and shared memory stay flat over thousands of images, whoever works.

    python benchmarks/soak.py [--images 5000] [--workers 2]

Scores photographs of 14 x 14 pixels by the tests' tiny network, keeping their maps, in this process, with one reading
ahead, in several processes, and on Ray; after each tenth of the images it says what all processes hold together.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil

sys.path.append(str(Path(__file__).parents[1] / "tests"))


from captum_gag.runs.config import Config
from captum_gag.runs.execution import begin, execute
from captum_gag.runs.executors import Executor, in_processes, in_this_process, on_ray

SUITE = {"methods": ["GAG-85", "SG", "Sobel"], "metrics": {"RCAP": {}}, "n_samples": 2}


def held() -> str:
    """Return what this process and those it started hold."""
    own = psutil.Process()
    processes = [own, *own.children(recursive=True)]
    memory = sum(each.memory_full_info().uss for each in processes) / 2**20
    shared = sum(each.stat().st_size for each in Path("/dev/shm").glob("torch_*")) / 2**20
    descriptors = sum(each.num_fds() for each in processes)
    return f"{memory:7.1f} MiB, {descriptors} descriptors, {shared:.1f} MiB shared, {own.num_threads()} threads"


def soak(name: str, executor: Executor, images: int) -> None:
    """Run over so many images, and print what is held after each tenth of them."""
    with tempfile.TemporaryDirectory() as place:
        tiny: dict[str, Any] = {"model": {"type": "tiny:model"}, "data": {"type": "tiny:photos_of_environment"}}
        asked = Config(suite=SUITE, device="cpu", save_maps=True, **tiny)
        run, bench = begin(Path(place) / "run", asked)
        keep, done, started = run.keep, 0, perf_counter()

        def kept(*given: Any) -> None:
            nonlocal done
            keep(*given)
            done += 1
            if not done % (images // 10):
                print(f"{name:14} {done:6} images: {held()}", flush=True)

        run.keep = kept  # type: ignore[method-assign]
        execute(run, executor, bench=bench, say=lambda text: None)
        print(f"{name:14} {1000 * (perf_counter() - started) / images:.1f} ms per image", flush=True)


def main() -> None:
    """Run each executor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    os.environ["TINY_PHOTOS"] = str(options.images)
    soak("one process", in_this_process, options.images)
    soak(f"{options.workers} workers", in_processes(options.workers), options.images)
    soak(f"{options.workers} on Ray", on_ray(options.workers), options.images)


if __name__ == "__main__":
    main()
