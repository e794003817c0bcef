"""RCAP of the paper's methods on confident ImageNet photographs, beside the figures of the paper and of its code.

    python benchmarks/paper_figures.py --data IMAGENET_FOLDER [--classes 12,16,18,...] [--limit N] [--variants]

IMAGENET_FOLDER is an image folder (``wnid/name.jpg``) with a ``classes.csv`` (class_index, wnid, name, file). Used are
the images that EfficientNet-Lite0 gives more than 0.9 for the true class, the paper's selection. All readings of a
family of methods are taken off the same 20 gradients. ``--variants`` adds the paper's Table 3.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from captum_gag.attr import saliency_map
from captum_gag.attr.catalogue import FAMILIES, method, parse, shared_gradients
from captum_gag.metrics import rcap
from captum_gag.models import Classifier, load_classifier

# Measured with the paper's published code, same model, the 24 confident images of REFERENCE_CLASSES.
PUBLISHED_CODE = {
    "GAG-0": 0.284,
    "GAG-25": 0.305,
    "GAG-45": 0.346,
    "GAG-65": 0.380,
    "GAG-85": 0.410,
    "SG": 0.171,
    "SG+": 0.292,
    "SG-": 0.166,
    "SG-G": 0.387,
    "VarGrad": 0.337,
    "VG": 0.034,
    "IG": 0.083,
    "Blur IG": 0.177,
    "Guided IG": 0.106,
    "Random": 0.004,
}
REFERENCE_CLASSES = "12,16,18,24,28,34,80,88,90,92,94,108,114,116,130,136,138,144,148,150,176,182,198,210"
PERCENTILES = (0, 15, 25, 35, 45, 55, 65, 75, 85)
# The paper's Table 3, ImageNet-S with ResNet-50: mean ratio of a variant's RCAP to its original's.
PAPER_RATIOS = {"+": 1.71, "-": 1.34, "-A": 2.00, "-G": 2.62, "-GA": 2.86}
STEPS = 20


def confident_images(classifier: Classifier, data: Path, classes: set[int] | None) -> list[tuple[torch.Tensor, int]]:
    """Return (image tensor, class) of each photograph with more than 0.9 in its true class."""
    rows = [row for row in csv.DictReader((data / "classes.csv").open()) if row["file"]]
    rows = [row for row in rows if classes is None or int(row["class_index"]) in classes]
    chosen = []
    for row in tqdm(rows, desc="selecting"):
        image, target = classifier.preprocess(Image.open(data / row["file"]).convert("RGB")), int(row["class_index"])
        with torch.no_grad():
            if classifier.model(image[None]).softmax(1)[0, target] > 0.9:
                chosen.append((image, target))
    return chosen


def family_attributions(
    model: torch.nn.Module, family: str, image: torch.Tensor, target: int, seed: int
) -> dict[str, torch.Tensor]:
    """Return the attributions (1, C, H, W) of all variants of a family, from one set of gradients."""
    names = [f"{family}{mark}" for mark in ("", "+", "-", "-A", "-G", "-GA")]
    if family == "SG":
        names += [*(f"GAG-{p}" for p in PERCENTILES), "VarGrad"]
    variants = [{**parse(name), "n_samples": STEPS} for name in names]
    # GB by itself is one gradient; its variants are of noisy ones.
    if family == "GB":
        variants[0] = {**parse("GB+"), "interpretation": "signed", "n_samples": STEPS}
    found = shared_gradients([method(each) for each in variants], model, image, target, seed)
    return dict(zip(names, found, strict=True))


def show(title: str, lines: list[list[object]]) -> None:
    print(f"\n{title}")
    for line in lines:
        print("  " + "  ".join(f"{each:>10.3f}" if isinstance(each, float) else f"{each!s:>10}" for each in line))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--classes", default=None, help=f"class indices; figures of the code: {REFERENCE_CLASSES}")
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--variants", action="store_true", help="all families of methods, not only noise")
    options = parser.parse_args()
    classes = {int(index) for index in options.classes.split(",")} if options.classes else None
    classifier = load_classifier("demo")
    images = confident_images(classifier, options.data, classes)[: options.limit]
    scores: dict[str, list[float]] = {}
    for seed, (image, target) in enumerate(tqdm(images, desc="explaining")):
        attributions = {}
        for family in FAMILIES if options.variants else ["SG"]:
            attributions |= family_attributions(classifier.model, family, image[None], target, seed)
        for name in ("VG", "GB", "Random"):
            attributions[name if name != "GB" else "GB itself"] = method(name).attribute(
                classifier.model, image[None], target, seed=seed
            )
        maps = torch.cat([saliency_map(each) for each in attributions.values()])
        repeated = image.expand(len(maps), -1, -1, -1)
        found = rcap(classifier.model, repeated, maps, target, normalization=classifier.normalization)
        for name, score in zip(attributions, found.tolist(), strict=True):
            scores.setdefault(name, []).append(score)
    mean = {name: float(np.mean(values)) for name, values in scores.items()}
    error = {name: float(np.std(values) / len(values) ** 0.5) for name, values in scores.items()}
    same = options.classes == REFERENCE_CLASSES and options.limit is None
    published = PUBLISHED_CODE if same else {}
    show(
        f"RCAP, {len(images)} images: mean, standard error" + (", published code, ratio" if same else ""),
        [[n, mean[n], error[n], *([published[n], mean[n] / published[n]] if n in published else [])] for n in mean],
    )
    print(f"\nGAG-85 / GAG-0 = {mean['GAG-85'] / mean['GAG-0']:.3f}")
    if options.variants:
        ratios = {mark: [mean[f"{f}{mark}"] / mean[f] for f in FAMILIES] for mark in PAPER_RATIOS}
        lines = [[mark, *each, float(np.mean(each)), PAPER_RATIOS[mark]] for mark, each in ratios.items()]
        show("Ratio to the original", [["variant", *FAMILIES, "mean", "paper"], *lines])


if __name__ == "__main__":
    main()
