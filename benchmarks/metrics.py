"""Time of each metric against the bare forward passes that it needs, and against Quantus's own, in one run.

    python benchmarks/metrics.py [--rounds 5] [--images 8] [--steps 24]

Ratios are to the bare forward passes at their best batch size. Peak memory is that of a process of its own, above what
it needs before the first score.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from collections.abc import Callable

import quantus
import torch
from memory import peak
from turns import take_turns

from captum_gag import AOPC, RCAP
from captum_gag.metrics import aopc, deletion, faithfulness, insertion, rcap
from captum_gag.models import load_classifier

BATCH_SIZES = (4, 8, 16)
NORMALIZATION = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def peak_memory(steps: int) -> None:
    """Print the MiB that AOPC of so many steps adds to the peak of this process."""
    model, images, maps = load_classifier("demo").model, torch.randn(2, 3, 224, 224), torch.rand(2, 224, 224)
    rcap(model, images, maps, 0, normalization=NORMALIZATION)
    before = peak()
    aopc(model, images, maps, 0, n_steps=steps)
    print(peak() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--steps", type=int, default=24, help="Quantus wants 3 x 50176 / steps to divide 50176")
    parser.add_argument("--memory-of", type=int, metavar="STEPS", help="used by the run itself")
    options = parser.parse_args()
    if options.memory_of:
        peak_memory(options.memory_of)
        return
    model, n, steps = load_classifier("demo").model, options.images, options.steps
    images, maps = torch.randn(n, 3, 224, 224), torch.rand(n, 224, 224)
    arrays = {"x_batch": images.numpy(), "y_batch": torch.zeros(n).long().numpy(), "a_batch": maps.numpy()}

    @torch.no_grad()
    def bare(passes: int, batch_size: int) -> None:
        for batch in images.repeat(passes, 1, 1, 1).split(batch_size):
            model(batch).softmax(1)

    def compare(name: str, passes: int, runs: dict[str, Callable[[], object]]) -> None:
        bares = {f"bare passes of {size}": lambda size=size: bare(passes, size) for size in BATCH_SIZES}
        take_turns(f"{name}: {n} images x {passes} passes", {**bares, **runs}, options.rounds, bare="bare")

    arguments = (model, images, maps, 0)
    metric = RCAP(normalization=NORMALIZATION)
    runs: dict[str, Callable[[], object]] = {"rcap": lambda: rcap(*arguments, normalization=NORMALIZATION)}
    compare("RCAP", 5, {**runs, "RCAP (Quantus)": lambda: metric(model, **arrays)})
    compare("Deletion", 11, {"deletion": lambda: deletion(*arguments, normalization=NORMALIZATION)})
    compare("Insertion", 11, {"insertion": lambda: insertion(*arguments)})
    compare("Faithfulness", steps + 1, {"faithfulness": lambda: faithfulness(*arguments, n_pixels=steps)})
    warnings.simplefilter("ignore")
    flipping = quantus.PixelFlipping(features_in_step=3 * 224 * 224 // steps, disable_warnings=True)
    regions = quantus.RegionPerturbation(patch_size=8, regions_evaluation=steps, disable_warnings=True)
    own = AOPC(n_steps=steps, region_size=8)
    runs = {"aopc": lambda: aopc(*arguments, n_steps=steps), "AOPC (Quantus)": lambda: own(model, **arrays)}
    runs["Quantus PixelFlipping"] = lambda: flipping(model, **arrays)
    runs["Quantus RegionPerturbation"] = lambda: regions(model, **arrays)
    compare("AOPC", steps + 1, runs)
    for steps in (5, 500):
        call = [sys.executable, __file__, "--memory-of", str(steps)]
        added = subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()
        print(f"peak memory added by AOPC of {steps} steps: {added} MiB")


if __name__ == "__main__":
    main()
