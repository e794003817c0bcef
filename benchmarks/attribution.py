"""CPU time and peak memory of GuidedAbsoluteGrad against a bare gradient loop and Captum's NoiseTunnel, in one run.

    export MALLOC_TRIM_THRESHOLD_=8000000000 MALLOC_MMAP_THRESHOLD_=8000000000
    python benchmarks/attribution.py [--rounds 20] [--models lite0,resnet18] [--threads 1]

The bare loop adds Gaussian noise to the images and passes them forward and backward, as NoiseTunnel does, and keeps
nothing. It has as many images in a pass as GuidedAbsoluteGrad takes; so has NoiseTunnel, which by default has all in
one. The same loop without noise shows what drawing it costs, larger passes that they would not be faster. The
variables keep freed memory in the process (glibc): without them, getting it back for the model's activations costs up
to a fifth of a pass, in some processes and not in others. Peak memory is that of a process of its own, above what it
needs before the first explanation.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torchvision
from captum.attr import NoiseTunnel, Saliency
from memory import peak
from torch import nn
from turns import take_turns

from captum_gag import GuidedAbsoluteGrad
from captum_gag.attr.sampled_gradients import gradients_per_batch
from captum_gag.models import load_classifier

BATCH, SAMPLES, STDEV = 4, 20, 0.5
TARGET = [1, 2, 3, 4]


def build(name: str) -> nn.Module:
    return load_classifier("demo").model if name == "lite0" else torchvision.models.get_model(name).eval()


def bare_loop(model: nn.Module, images: torch.Tensor, samples: int, chunk: int, stdev: float = STDEV) -> None:
    for first in range(0, samples, chunk):
        copies = min(chunk, samples - first)
        points = images.repeat(copies, 1, 1, 1)
        if stdev:
            points.add_(torch.randn_like(points), alpha=stdev)
        points.requires_grad_()
        scores = model(points).gather(1, torch.tensor(TARGET * copies)[:, None])
        torch.autograd.grad(scores.sum(), points)


def noise_tunnel(model: nn.Module, images: torch.Tensor, samples: int, chunk: int | None = None) -> None:
    options = {"nt_samples": samples, "nt_samples_batch_size": chunk, "stdevs": STDEV}
    NoiseTunnel(Saliency(model)).attribute(images, target=TARGET, abs=False, **options)


def contenders(model: nn.Module, images: torch.Tensor) -> dict[str, Callable[[], object]]:
    gag = GuidedAbsoluteGrad(model)
    chunk = gradients_per_batch(images, SAMPLES * BATCH) // BATCH
    return {
        "bare loop": lambda: bare_loop(model, images, SAMPLES, chunk),
        "larger passes": lambda: bare_loop(model, images, SAMPLES, 5 * chunk),
        "without noise": lambda: bare_loop(model, images, SAMPLES, chunk, stdev=0.0),
        "GuidedAbsoluteGrad": lambda: gag.attribute(images, target=TARGET, nt_samples=SAMPLES),
        "GuidedAbsoluteGrad, seed": lambda: gag.attribute(images, target=TARGET, nt_samples=SAMPLES, seed=0),
        "GuidedAbsoluteGrad, window 9": lambda: gag.attribute(
            images, target=TARGET, nt_samples=SAMPLES, guide_window=9
        ),
        "NoiseTunnel": lambda: noise_tunnel(model, images, SAMPLES, chunk),
        "NoiseTunnel, all in one pass": lambda: noise_tunnel(model, images, SAMPLES),
    }


def compare(name: str, rounds: int) -> None:
    model, images = build(name), torch.randn(BATCH, 3, 224, 224)
    title = f"{name}: {SAMPLES} samples of {BATCH} images, CPU seconds"
    take_turns(title, contenders(model, images), rounds, bare="bare loop", clock=time.process_time)


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
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--models", default="lite0,resnet18")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-of", nargs=3, metavar=("MODEL", "METHOD", "SAMPLES"), help="used by the run itself")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
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
