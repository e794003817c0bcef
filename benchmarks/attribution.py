"""Time and peak memory of GuidedAbsoluteGrad against a bare gradient loop and Captum's NoiseTunnel, in one run.

    python benchmarks/attribution.py [--rounds 5] [--models lite0,resnet18]

The bare loop does nothing but the same number of forward and backward passes; ratios are to it at its best chunk. Peak
memory is that of a process of its own, above what it needs before the first explanation.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable

import torch
import torchvision
from captum.attr import NoiseTunnel, Saliency
from memory import peak
from torch import nn
from turns import take_turns

from captum_gag import GuidedAbsoluteGrad
from captum_gag.models import load_classifier

BATCH, SAMPLES = 4, 20
TARGET = [1, 2, 3, 4]
CHUNKS = (1, 2, 4, 5, 20)


def build(name: str) -> nn.Module:
    return load_classifier("demo").model if name == "lite0" else torchvision.models.get_model(name).eval()


def bare_loop(model: nn.Module, images: torch.Tensor, samples: int, chunk: int) -> None:
    target = torch.tensor(TARGET * chunk)[:, None]
    for _ in range(samples // chunk):
        points = images.repeat(chunk, 1, 1, 1).requires_grad_()
        torch.autograd.grad(model(points).gather(1, target).sum(), points)


def noise_tunnel(model: nn.Module, images: torch.Tensor, samples: int) -> None:
    NoiseTunnel(Saliency(model)).attribute(images, nt_samples=samples, stdevs=0.5, target=TARGET, abs=False)


def contenders(model: nn.Module, images: torch.Tensor) -> dict[str, Callable[[], object]]:
    gag = GuidedAbsoluteGrad(model)
    bare = {
        f"bare loop, chunk {chunk}": lambda chunk=chunk: bare_loop(model, images, SAMPLES, chunk) for chunk in CHUNKS
    }
    return {
        **bare,
        "GuidedAbsoluteGrad": lambda: gag.attribute(images, target=TARGET, nt_samples=SAMPLES),
        "GuidedAbsoluteGrad, seed": lambda: gag.attribute(images, target=TARGET, nt_samples=SAMPLES, seed=0),
        "GuidedAbsoluteGrad, window 9": lambda: gag.attribute(
            images, target=TARGET, nt_samples=SAMPLES, guide_window=9
        ),
        "NoiseTunnel": lambda: noise_tunnel(model, images, SAMPLES),
    }


def compare(name: str, rounds: int) -> None:
    model, images = build(name), torch.randn(BATCH, 3, 224, 224)
    take_turns(f"{name}: {SAMPLES} samples of {BATCH} images", contenders(model, images), rounds, bare="bare loop")


def peak_memory(name: str, method: str, samples: int) -> None:
    """Print the MiB that one explanation adds to the peak of this process."""
    model, images = build(name), torch.randn(BATCH, 3, 224, 224)
    bare_loop(model, images, 1, 1)
    before = peak()
    if method == "NoiseTunnel":
        noise_tunnel(model, images, samples)
    elif method == "bare loop":
        bare_loop(model, images, samples, 2)
    else:
        GuidedAbsoluteGrad(model).attribute(images, target=TARGET, nt_samples=samples)
    print(peak() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", default="lite0,resnet18")
    parser.add_argument("--memory-of", nargs=3, metavar=("MODEL", "METHOD", "SAMPLES"), help="used by the run itself")
    options = parser.parse_args()
    if options.memory_of:
        name, method, samples = options.memory_of
        peak_memory(name, method, int(samples))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in options.models.split(","):
        compare(name, options.rounds)
        cases = [("bare loop", 20), ("GuidedAbsoluteGrad", 5), ("GuidedAbsoluteGrad", 200)]
        for method, samples in [*cases, ("NoiseTunnel", 5), ("NoiseTunnel", 20)]:
            call = [sys.executable, __file__, "--memory-of", name, method, str(samples)]
            added = subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()
            print(f"  peak memory added by {method}, n = {samples}: {added} MiB")


if __name__ == "__main__":
    main()
