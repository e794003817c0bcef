"""Quality of maps over the passes that they cost: GAG with and without a pooled guide, SG, VarGrad, IG and other paths.

    python benchmarks/quality_per_pass.py [--data demo] [--limit 8] [--windows 1,3,5,7,9] [--out quality.csv]

For each image and number of passes: the rank correlation (rho) and the overlap of the 15 % most salient pixels with
the same method's map of --reference other samples (of a path: of so many steps), of GAG also with that of the paper's
guide (rho_paper, overlap_paper); RCAP, DAUC and IAUC. The gradients of an image are taken once, and all settings of
noise read off them. The CSV file has a row per image, setting and quality, grows image by image, and is taken up where
it ends; the table has means over images and 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor

from captum_gag import SampledGradients, method, saliency_map
from captum_gag.attr import GaussianNoise, GuidedMean, Mean, Samples, Variance, absolute, signed
from captum_gag.attr.aggregations import GradientMoments
from captum_gag.data import dataset
from captum_gag.metrics import evaluate
from captum_gag.metrics.deletion_insertion import DeletionMetric, InsertionMetric
from captum_gag.metrics.rcap import RCAPMetric
from captum_gag.models import Classifier, load_classifier
from captum_gag.outputs import OutputReader
from captum_gag.reliability.resampling import mean_interval

PATHS = ("IG", "Guided IG", "Blur IG")
TOP = 0.15
PAPER = "GAG-85"

Maps = dict[str, dict[int, Tensor]]
"""By setting and number of passes, maps (1, H, W)."""


@dataclass
class Watched:
    """Noise around an input, whose gradients are handed to a function as they come."""

    noise: GaussianNoise
    see: Callable[[Tensor], None]

    @property
    def n_samples(self) -> int:
        """Number of noisy versions of each example."""
        return self.noise.n_samples

    def samples(self, inputs: tuple[Tensor, ...], chunk: int) -> Iterator[Samples]:
        """Yield the noisy inputs; see ``Modification.samples``."""

        def seen(gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            self.see(gradients[0])
            return gradients

        for each in self.noise.samples(inputs, chunk):
            yield Samples(each.points, seen)


def noisy_maps(model: Any, image: Tensor, target: int, passes: list[int], windows: list[int], seed: int) -> Maps:
    """Return the maps of all settings of noise after so many passes, from one stream of gradients."""
    magnitudes, plain = GradientMoments(absolute), GradientMoments(signed)
    guided = {PAPER if k == 1 else f"{PAPER}, window {k}": GuidedMean(85.0, guide_window=k) for k in windows}
    maps: Maps = {name: {} for name in (*guided, "SG", "VarGrad")}

    def see(gradients: Tensor) -> None:
        for gradient in gradients.split(1):
            magnitudes.update(gradient)
            plain.update(gradient)
            if plain.signed.count in passes:
                for name, aggregation in guided.items():
                    maps[name][plain.signed.count] = saliency_map(aggregation(magnitudes))
                maps["SG"][plain.signed.count] = saliency_map(Mean()(plain))
                maps["VarGrad"][plain.signed.count] = saliency_map(Variance()(plain))

    noise = Watched(GaussianNoise(max(passes), seed=seed), see)
    SampledGradients(model, noise).attribute(image, target=target)
    return maps


def path_maps(classifier: Classifier, image: Tensor, target: int, passes: list[int]) -> Maps:
    """Return the maps of the path methods for so many steps; every number of steps is a path of its own."""
    return {
        name: {
            n: saliency_map(
                method(name, n_samples=n).attribute(classifier.model, image, target, output=classifier.output)
            )
            for n in passes
        }
        for name in PATHS
    }


def agreement(saliency: Tensor, reference: Tensor) -> tuple[float, float]:
    """Return the rank correlation of two maps, and the share of the most salient pixels that they have in common."""
    one, other = saliency.flatten().cpu().numpy(), reference.flatten().cpu().numpy()
    count = round(TOP * len(one))
    common = np.intersect1d(np.argsort(-one, kind="stable")[:count], np.argsort(-other, kind="stable")[:count])
    return float(spearmanr(one, other).statistic), len(common) / count


def measured(
    classifier: Classifier, image: Tensor, target: int, passes: list[int], windows: list[int], reference: int
) -> list[dict[str, Any]]:
    """Return the rows of one image: method, passes, quality, value."""
    maps = noisy_maps(classifier.model, image, target, passes, windows, seed=0)
    references = noisy_maps(classifier.model, image, target, [reference], [*{1, *windows}], seed=1)
    paths = path_maps(classifier, image, target, [*{*passes, reference}])
    references |= {name: {reference: each[reference]} for name, each in paths.items()}
    maps |= {name: {n: each[n] for n in passes} for name, each in paths.items()}
    named = {f"{name}|{n}": each for name, by_passes in maps.items() for n, each in by_passes.items()}
    look = {"normalization": classifier.normalization}
    metrics = {"RCAP": RCAPMetric(**look), "DAUC": DeletionMetric(**look), "IAUC": InsertionMetric(**look)}
    scores = evaluate(classifier.model, image, named, target, metrics, output=classifier.output)
    rows = []
    for name, by_passes in maps.items():
        for n, each in by_passes.items():
            values = dict(zip(("rho", "overlap"), agreement(each, references[name][reference]), strict=True))
            if name.startswith(PAPER):
                of_paper = agreement(each, references[PAPER][reference])
                values |= dict(zip(("rho_paper", "overlap_paper"), of_paper, strict=True))
            values |= {metric: float(score) for metric, score in scores[f"{name}|{n}"].items()}
            rows += [{"method": name, "passes": n, "quality": key, "value": value} for key, value in values.items()]
    return rows


def table(qualities: pd.DataFrame) -> str:
    """Return a Markdown table for each quality, a row per method and a column per number of passes."""
    lines = []
    for quality, part in qualities.groupby("quality", sort=False):
        passes = sorted(part["passes"].unique())
        lines += [f"\n{quality}, {part['image'].nunique()} images\n"]
        lines += [f"| passes | {' | '.join(map(str, passes))} |", f"|---|{'---|' * len(passes)}"]
        for name, rows in part.groupby("method", sort=False):
            cells = []
            for n in passes:
                values = rows.loc[rows["passes"] == n, "value"].dropna().to_numpy()
                low, high = mean_interval(values, 10_000, 0.95, seed=0)
                cells.append(f"{values.mean():.3f} [{low:.3f}, {high:.3f}]" if len(values) else "-")
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="demo", help="as captum-gag run takes it")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--limit", type=int, help="images at most")
    parser.add_argument(
        "--skip", type=int, default=0, help="images at the beginning to leave out, such as those of a choice"
    )
    parser.add_argument("--confidence", type=float, default=0.0, help="leave out images whose class has no more")
    parser.add_argument("--passes", type=numbers, default=[2, 4, 6, 10, 20, 40])
    parser.add_argument("--windows", type=numbers, default=[1, 3, 5, 7, 9])
    parser.add_argument("--reference", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("quality_per_pass.csv"))
    options = parser.parse_args()
    classifier, data = load_classifier(options.model), dataset(options.data)
    reader = OutputReader(classifier.output)
    done = set(pd.read_csv(options.out)["image"].astype(str)) if options.out.exists() else set()
    chosen = 0
    for example in (data[index] for index in range(options.skip, len(data))):
        if chosen == options.limit:
            break
        image = classifier.preprocess(example.photo())[None].to(classifier.device)
        with torch.no_grad():
            probabilities = reader.probabilities(classifier.model(image))[0]
        target = int(probabilities.argmax()) if example.target is None else example.target
        if float(probabilities[target]) <= options.confidence:
            continue
        chosen += 1
        if example.name in done:
            continue
        rows = measured(classifier, image, target, options.passes, options.windows, options.reference)
        part = pd.DataFrame(rows).assign(image=example.name)
        part.to_csv(options.out, mode="a", header=not options.out.exists(), index=False)
        print(f"{chosen}: {example.name}", flush=True)
    print(table(pd.read_csv(options.out)))


if __name__ == "__main__":
    main()
