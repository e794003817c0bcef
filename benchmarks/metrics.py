"""Time of RCAP against the bare forward passes that it needs, in one run.

    python benchmarks/metrics.py [--rounds 7] [--images 8]

Ratios are to the bare forward passes at their best batch size.
"""

from __future__ import annotations

import argparse

import torch
from turns import take_turns

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
    take_turns(f"Lite0, {n} images, {STEPS} thresholds", runs, options.rounds, bare="bare forward")


if __name__ == "__main__":
    main()
