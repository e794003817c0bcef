"""Time and memory of ``captum-gag table``, ``report`` and ``reliability`` on a large run, and which part takes it.

    python benchmarks/reading.py [--images 12000] [--methods 50 --metrics 10] [--run DIRECTORY]

Makes a run of the suite gag-comparison (18 methods, 5 metrics), or of so many of each, with random scores and curves,
unless DIRECTORY holds one, and reads it in processes of their own, which leave nothing there.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from pkgutil import resolve_name
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from memory import peak

from captum_gag.cli import app
from captum_gag.reliability.scores import CONTROLS
from captum_gag.runs.config import Config
from captum_gag.runs.store import Run
from captum_gag.runs.suite_file import read_suite

if TYPE_CHECKING:
    from captum_gag.runs.spec import Suite

READING, CHECKS = "captum_gag.runs.store.Run.scores", "captum_gag.reliability.report"
PARTS = {
    "table": {
        "reading": READING,
        "means": "captum_gag.report.summary.summarised",
        "saving": "captum_gag.report.tables.save_tables",
    },
    "report": {
        "reading": READING,
        "means": "captum_gag.report.page.summarised",
        "reliability": CHECKS,
        "figures": "captum_gag.report.score_page.as_svg",
        "gallery": "captum_gag.report.page.gallery",
    },
    "reliability": {
        "reading": READING,
        "reliability": CHECKS,
        "saving": "captum_gag.report.score_page.save_reliability",
    },
}
"""By command what is timed of it, by what that is called here."""

GAPS = 0.001
"""Share of the scores that are NaN."""


def suite_of(methods: int, metrics: int) -> dict[str, Any]:
    """Return a suite of so many methods and metrics, or gag-comparison where either is 0."""
    if not methods * metrics:
        return read_suite("gag-comparison")
    return {
        "methods": [{"type": "SG", "n_samples": 2 + each, "label": f"SG of {2 + each}"} for each in range(methods)],
        "metrics": {f"Deletion in {1 + each}": {"type": "Deletion", "n_steps": 1 + each} for each in range(metrics)},
    }


def make(directory: Path, images: int, suite: dict[str, Any]) -> None:
    """Write a run whose methods differ a little, through the functions that write every run."""
    asked = Config(suite=suite, model={"type": "demo"}, data={"type": "folder", "root": str(directory / "nowhere")})
    run = Run.create(directory, asked, {"captum-gag": "benchmark"})
    names = [f"n01440764/{each:05d}.JPEG" for each in range(images)]
    photos = [f"{each:064x}" for each in range(images)]
    rng = np.random.default_rng(0)
    chosen = {"image": names, "target": 0, "probability": rng.uniform(0.9, 1, images), "photo": photos, "stamp": ""}
    run.select(pd.DataFrame(chosen))
    # What reads a run does without torch, which this takes.
    from captum_gag.runs.spec import make_suite

    made = make_suite(suite)
    for image, photo in zip(names, photos, strict=True):
        run.keep(image, photo, list(rows(made, image, rng)))
    # As captum-gag run does at its end.
    run.scores()


def rows(suite: Suite, image: str, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Yield the records of an image; areas under curves have a curve of 11 points, RCAP of 5, the others none."""
    points = {"RCAP": 5, "DAUC": 11, "IAUC": 11}
    ease = rng.normal()
    for place, label in enumerate(suite.methods):
        base, _, reversed_ = label.partition("^")
        for metric in suite.metrics:
            score = 0.4 + 0.005 * place + 0.1 * ease + 0.1 * rng.normal()
            curve = {}
            n = points.get(metric.label, getattr(metric.metric, "n_steps", 0) + 1 if len(suite.metrics) != 5 else 0)
            if n:
                curve = {"curve_x": list(np.linspace(0, 1, n)), "curve_y": list(score + 0.1 * rng.normal(size=n))}
                curve |= {"curve_x_label": "share of pixels", "curve_y_label": "probability"}
            yield {
                "image": image,
                "target": 0,
                "probability": 0.95,
                "method": label,
                "base": base if reversed_ else "",
                "transform": "reverse" if reversed_ else "",
                "control": CONTROLS.get(label, ""),
                "metric": metric.label,
                "variant": "",
                "steps": None,
                "higher_is_better": metric.metric.higher_is_better,
                "score": score if rng.uniform() > GAPS else float("nan"),
                "error": "",
                "seconds": 0.1,
                "seed": 0,
                **curve,
            }


def read(command: str, directory: Path, out: Path) -> None:
    """Run a command in this process and print its seconds, the CPU's for each part, and the peak of memory."""
    seconds: dict[str, float] = {}
    with ExitStack() as stack:
        for part, name in PARTS[command].items():
            stack.enter_context(patch(name, timed(resolve_name(name), part, seconds)))
        imports, started = process_time(), perf_counter()
        app([command, str(directory), "--out", str(out)], standalone_mode=False)
        whole, used = perf_counter() - started, process_time() - imports
    seconds["the rest"] = used - sum(seconds.values())
    parts = ", ".join(f"{part} {took:.1f}" for part, took in seconds.items())
    print(f"{command}: {whole:.1f} s, CPU {used:.1f} s ({parts}) and {imports:.1f} s of imports, peak {peak()} MiB")


def timed(call: Callable[..., Any], part: str, seconds: dict[str, float]) -> Callable[..., Any]:
    """Return the function, adding the CPU time of each call, until its last item if it yields."""

    @functools.wraps(call)
    def measured(*args: Any, **kwargs: Any) -> Any:
        started = process_time()
        found = call(*args, **kwargs)
        if isinstance(found, Iterator):
            found = iter(list(found))
        seconds[part] = seconds.get(part, 0.0) + process_time() - started
        return found

    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--methods", type=int, default=0)
    parser.add_argument("--metrics", type=int, default=0)
    parser.add_argument("--run", type=Path, metavar="DIRECTORY", help="kept, and used again if it holds a run")
    parser.add_argument("--command", choices=PARTS, help="used by the run itself")
    parser.add_argument("--out", type=Path, help="used by the run itself")
    options = parser.parse_args()
    if options.command:
        read(options.command, options.run, options.out)
        return
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.run or Path(temporary) / "run"
        if not (directory / "run.json").exists():
            started = perf_counter()
            make(directory, options.images, suite_of(options.methods, options.metrics))
            print(f"made {options.images} images in {perf_counter() - started:.0f} s", flush=True)
        for command in PARTS:
            call = [sys.executable, __file__, "--run", str(directory), "--command", command]
            call += ["--out", str(Path(temporary) / command)]
            print(subprocess.run(call, check=True, capture_output=True, text=True).stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
