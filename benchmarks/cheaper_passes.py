"""What each cheaper way to compute changes: time of a pass, memory, the map and the scores.

    python benchmarks/cheaper_passes.py [--model demo] [--data demo] [--limit 5] [--rounds 5] [--csv FILE]

For every option: seconds of the forward pass and of the gradient of a batch against those of the network as it is, in
turns; then GAG-85 and its RCAP of each photograph with the same noise: rank correlation of the maps, largest
difference of the scores, share of exact zeros in the gradients.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from captum_gag import GuidedAbsoluteGrad
from captum_gag.attr import saliency_map
from captum_gag.data import dataset
from captum_gag.errors import InputError
from captum_gag.metrics import rcap
from captum_gag.models.catalogue import model
from captum_gag.models.loading import Classifier
from captum_gag.modules import computing_in

BATCH = 8


@dataclass
class Way:
    """A way to compute the same network."""

    name: str
    optimize: tuple[str, ...] = ()
    attribution: torch.dtype | None = None
    metrics: torch.dtype | None = None


WAYS = [
    Way("as it is"),
    Way("frozen", ("frozen",)),
    Way("channels_last", ("channels_last",)),
    Way("fold_batch_norm", ("fold_batch_norm",)),
    Way("compile", ("compile",)),
    Way("frozen, channels_last", ("frozen", "channels_last")),
    Way("frozen, channels_last, compile", ("frozen", "channels_last", "compile")),
    Way("bfloat16 for attribution", attribution=torch.bfloat16),
    Way("bfloat16 for metrics", metrics=torch.bfloat16),
    Way("float16 for attribution (refused in runs)", attribution=torch.float16),
    Way("float16 for metrics", metrics=torch.float16),
]


def gradient(network: nn.Module, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    [found] = torch.autograd.grad(network(x)[:, 0].sum(), x)
    return found


def timed(call: Callable[[], object]) -> float:
    started = perf_counter()
    call()
    return perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--limit", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    data = dataset(options.data)
    base = model(options.model)
    ways: list[Way] = []
    networks: list[Classifier] = []
    for way in WAYS:
        try:
            networks.append(type(base)(**{**base.options(), "optimize": way.optimize}).load("cpu"))
            ways.append(way)
        except InputError as error:
            print(f"{way.name}: {error}")
    x = torch.stack([networks[0].preprocess(data[each % len(data)].photo()) for each in range(BATCH)])

    def forward(way: Way, network: nn.Module) -> None:
        with torch.no_grad(), computing_in(way.metrics, network, x.device):
            network(x)

    def backward(way: Way, network: nn.Module) -> None:
        with computing_in(way.attribution, network, x.device):
            gradient(network, x)

    seconds: dict[tuple[str, str], list[float]] = {}
    for number in range(options.rounds + 1):
        for way, classifier in zip(ways, networks, strict=True):
            for what, call in {"forward": forward, "gradient": backward}.items():
                took = timed(lambda call=call, way=way, network=classifier.model: call(way, network))
                # The first round warms up, and compiles.
                if number:
                    seconds.setdefault((way.name, what), []).append(took)
    rows, first_maps, first_scores = [], [], []
    for place, (way, classifier) in enumerate(zip(ways, networks, strict=True)):
        maps, scores, zeros = [], [], []
        for index in range(min(options.limit, len(data))):
            image = classifier.preprocess(data[index].photo())[None]
            target = int(networks[0].model(image).argmax())
            with computing_in(way.attribution, classifier.model, image.device):
                zeros.append(float((gradient(classifier.model, image) == 0).float().mean()))
                found = GuidedAbsoluteGrad(classifier.model).attribute(image, target=target, seed=0)
            with computing_in(way.metrics, classifier.model, image.device):
                scores.append(
                    float(rcap(classifier.model, image, found, target, normalization=classifier.normalization))
                )
            maps.append(saliency_map(found).flatten())
        if place == 0:
            first_maps, first_scores = maps, scores
        ratios = {
            what: median(a / b for a, b in zip(seconds[way.name, what], seconds[ways[0].name, what], strict=True))
            for what in ("forward", "gradient")
        }
        agreement = [spearmanr(a, b).statistic for a, b in zip(maps, first_maps, strict=True)]
        rows.append(
            {
                "way": way.name,
                "forward": ratios["forward"],
                "gradient": ratios["gradient"],
                "rank correlation": min(agreement),
                "RCAP differs by": max(abs(a - b) for a, b in zip(scores, first_scores, strict=True)),
                "zeros": sum(zeros) / len(zeros),
            }
        )
    table = pd.DataFrame(rows)
    print(f"{options.model}, batches of {BATCH}, {torch.get_num_threads()} threads, {len(first_maps)} images")
    print(table.to_markdown(index=False, floatfmt=".3g"))
    if options.csv:
        table.to_csv(options.csv, index=False)


if __name__ == "__main__":
    main()
