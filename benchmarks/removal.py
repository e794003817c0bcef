"""With what removed pixels are to be replaced: where does Deletion tell an explanation from a random ordering?

    python benchmarks/removal.py [--data demo] [--limit 12] [--orderings 2] [--confidence 0.9] [--csv removal.csv]

DAUC (lower is better) of explanations and of random orderings of the pixels with the package's baselines, with the mean
of what is kept nearby, and with inpainting by OpenCV (Telea, 2004; Navier-Stokes). The table has means over the images,
on which share of them the mean of the random orderings is better than the explanation, and seconds per image.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from captum_gag import method
from captum_gag.baselines import Imputation
from captum_gag.data import dataset
from captum_gag.metrics import evaluate
from captum_gag.metrics.deletion_insertion import DeletionMetric
from captum_gag.models import Classifier, load_classifier
from captum_gag.outputs import OutputReader

METHODS = ("GAG-85", "IG", "Grad-CAM")


def kept_nearby(images: Tensor, removed: Tensor, window: int = 31) -> Tensor:
    """Return the mean of the kept pixels in a window around each, of a wider one where it has none."""
    kept = (~removed).float().expand(len(images), -1, -1, -1)
    found, missing = torch.zeros_like(images), torch.ones_like(removed)
    while bool(missing.any()) and window <= 4 * max(images.shape[-2:]):
        values, share = (nearby(each, window) for each in (images * kept, kept))
        found = torch.where(missing & (share > 0), values / share.clamp(min=1e-6), found)
        missing, window = missing & (share <= 0), 2 * window + 1
    return found


def nearby(values: Tensor, window: int) -> Tensor:
    """Return the mean of a window around each pixel, rows and then columns."""
    return avg_pool2d(avg_pool2d(values, (window, 1), 1, (window // 2, 0)), (1, window), 1, (0, window // 2))


def inpainting(classifier: Classifier, how: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what fills in removed pixels by OpenCV, image by image, with 8 bits and a radius of 3 pixels."""
    mean, std = (torch.tensor(each).reshape(3, 1, 1) for each in (classifier.mean, classifier.std))

    def fill(images: Tensor, removed: Tensor) -> Tensor:
        filled = []
        for image, mask in zip(images, removed.expand(len(images), -1, -1, -1), strict=True):
            pixels = ((image * std + mean).clamp(0, 1) * 255).byte().permute(1, 2, 0).contiguous().numpy()
            done = cv2.inpaint(pixels, mask[0].byte().numpy(), 3, how)
            filled.append((torch.from_numpy(np.ascontiguousarray(done)).permute(2, 0, 1) / 255 - mean) / std)
        return torch.stack(filled)

    return fill


def measured(classifier: Classifier, image: Tensor, target: int, orderings: int) -> pd.DataFrame:
    """Return DAUC by map and baseline, and the seconds of each baseline."""
    maps = {name: method(name).attribute(classifier.model, image, target) for name in METHODS}
    maps |= {f"Random:{k}": method(f"Random:{k}").attribute(classifier.model, image, target) for k in range(orderings)}
    norm = classifier.normalization
    metrics = {
        name: DeletionMetric(perturb_baseline=name, normalization=norm) for name in ("black", "mean", "blur", "road")
    }
    own = {"mean of kept": kept_nearby, "Telea": inpainting(classifier, cv2.INPAINT_TELEA)}
    own["Navier-Stokes"] = inpainting(classifier, cv2.INPAINT_NS)
    metrics |= {name: DeletionMetric(perturb_baseline=Imputation(each)) for name, each in own.items()}
    rows = []
    for name, metric in metrics.items():
        start = perf_counter()
        found = evaluate(classifier.model, image, maps, target, {name: metric})
        seconds = perf_counter() - start
        rows += [
            {"map": label.partition(":")[0], "baseline": name, "dauc": float(each[name]), "seconds": seconds}
            for label, each in found.items()
        ]
    return pd.DataFrame(rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="demo")
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--orderings", type=int, default=2)
    parser.add_argument("--confidence", type=float, default=0.9)
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    classifier, reader, parts = load_classifier("demo"), OutputReader("logits"), []
    for example in dataset(args.data):
        image = classifier.preprocess(example.photo())[None]
        with torch.no_grad():
            probability, target = reader.probabilities(classifier.model(image))[0].max(0)
        if probability >= args.confidence and len(parts) < args.limit:
            parts.append(measured(classifier, image, int(target), args.orderings).assign(image=example.name))
    if not parts:
        parser.error(
            f"no photograph of {args.data} has a class of {args.confidence:g} or more; take a lower --confidence"
        )
    found = pd.concat(parts)
    if args.csv:
        found.to_csv(args.csv, index=False)
    means = found.groupby(["image", "map", "baseline"], sort=False)["dauc"].mean().unstack("map")
    table = means.groupby("baseline", sort=False).mean()
    for name in METHODS:
        table[f"random before {name}"] = (means["Random"] < means[name]).groupby("baseline", sort=False).mean()
    table["seconds"] = found.groupby(["image", "baseline"])["seconds"].first().groupby("baseline").mean()
    print(f"{len(parts)} photographs\n\n{table.round(3).to_markdown()}")


if __name__ == "__main__":
    main()
