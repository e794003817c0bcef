"""Growth of time and peak memory of a map of GAG-85 and its RCAP, over image size, classes, samples and images.

    python benchmarks/growth.py [--rounds 3]

A ResNet-18 with random weights, since the weights do not matter to either. Each point is a process of its own; one axis
is varied at a time, from one image of 224 x 224, 1,000 classes and 20 samples. Ratios are to the same passes bare, one
image at a time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torchvision
from memory import peak
from torch import Tensor, nn

from captum_gag import method
from captum_gag.metrics import rcap

USUAL = {"side": 224, "classes": 1000, "samples": 20, "images": 1}
AXES = {
    "side": (64, 112, 224, 448, 896),
    "classes": (2, 1000, 20_000, 100_000),
    "samples": (5, 20, 80, 320),
    "images": (1, 4, 16, 64),
}


def bare(model: nn.Module, images: Tensor, targets: Tensor, samples: int, forward: int) -> None:
    """Do so many passes with a gradient, and so many without, for each image by itself."""
    for image, target in zip(images.split(1), targets.tolist(), strict=True):
        for _ in range(samples):
            point = image.clone().requires_grad_()
            torch.autograd.grad(model(point)[:, target].sum(), point)
        with torch.no_grad():
            for _ in range(forward):
                model(image)


def point(side: int, classes: int, samples: int, images: int, rounds: int) -> dict[str, float]:
    """Return the seconds of a point (median over rounds), its ratio to bare passes, and the MiB that it adds."""
    model = torchvision.models.resnet18(num_classes=classes).eval()
    inputs, targets = torch.rand(images, 3, side, side), torch.arange(images) % classes
    gag, passes = method("GAG-85", n_samples=samples), 0

    def count(_: nn.Module, given: tuple[Tensor, ...], __: Tensor) -> None:
        nonlocal passes
        passes += len(given[0])

    bare(model, inputs[:1], targets[:1], 1, 1)
    before = peak()
    maps = gag.attribute(model, inputs, targets, seed=0, output="logits")
    rcap(model, inputs, maps, targets, output="logits")
    added = peak() - before
    with model.register_forward_hook(count):
        rcap(model, inputs[:1], maps[:1], targets[:1], output="logits")
    ours, theirs = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        maps = gag.attribute(model, inputs, targets, seed=0, output="logits")
        rcap(model, inputs, maps, targets, output="logits")
        middle = time.perf_counter()
        bare(model, inputs, targets, samples, passes)
        ours.append(middle - start)
        theirs.append(time.perf_counter() - middle)
    ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
    return {"seconds": statistics.median(ours), "ratio": ratio, "added": added}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--point", help="used by the run itself")
    options = parser.parse_args()
    if options.point:
        print(json.dumps(point(**json.loads(options.point), rounds=options.rounds)))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for axis, values in AXES.items():
        print(f"\n| {axis} | seconds | of bare passes | MiB added |\n|---|---|---|---|")
        for value in values:
            asked = json.dumps(USUAL | {axis: value})
            call = [sys.executable, str(Path(__file__)), "--rounds", str(options.rounds), "--point", asked]
            found = json.loads(subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True).stdout)
            print(f"| {value:,} | {found['seconds']:.2f} | {found['ratio']:.2f} | {found['added']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
