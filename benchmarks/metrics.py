"""Time of RCAP against the bare forward passes that it needs, in one run.

    python benchmarks/metrics.py [--rounds 7] [--images 8]

Contenders take turns within each round; printed is the median over rounds of the ratio to the bare forward passes at
their best batch size.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from captum_gag.experiments.models import load_classifier
from captum_gag.metrics import RCAP, rcap

STEPS = 5
BATCH_SIZES = (4, 8, 16, 40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=8)
    options = parser.parse_args()
    classifier = load_classifier("demo")
    model, n = classifier.model, options.images
    images, maps = torch.randn(n, 3, 224, 224), torch.rand(n, 224, 224)
    arrays = {"x_batch": images.numpy(), "y_batch": torch.zeros(n).long().numpy(), "a_batch": maps.numpy()}
    metric = RCAP(normalization=classifier.normalization)

    @torch.no_grad()
    def bare(batch_size: int) -> None:
        for batch in images.repeat(STEPS, 1, 1, 1).split(batch_size):
            model(batch).softmax(1)

    runs = {f"bare forward passes of {size}": lambda size=size: bare(size) for size in BATCH_SIZES}
    runs["rcap"] = lambda: rcap(model, images, maps, 0, normalization=classifier.normalization)
    runs["RCAP (Quantus)"] = lambda: metric(model, **arrays)
    seconds: dict[str, list[float]] = {label: [] for label in runs}
    for round_ in range(options.rounds + 1):
        for label, run in runs.items():
            start = time.perf_counter()
            run()
            if round_:  # the first round warms up
                seconds[label].append(time.perf_counter() - start)
    best = min(
        (label for label in runs if label.startswith("bare")),
        key=lambda each: statistics.median(seconds[each]),
    )
    print(f"Lite0, {n} images, {STEPS} thresholds, {options.rounds} rounds; ratios to '{best}'")
    for label, times in seconds.items():
        ratio = statistics.median(one / other for one, other in zip(times, seconds[best], strict=True))
        print(f"  {label:26s} {statistics.median(times):7.2f} s  {ratio:5.3f} x")


if __name__ == "__main__":
    main()
