"""The paper's Table 2 with EfficientNet-Lite0: RCAP, DAUC and IAUC on confident photographs; losses on mosaics.

    python benchmarks/table_2.py --data IMAGENET_FOLDER [--limit 32] [--mosaics 16]

IMAGENET_FOLDER as for ``paper_figures.py``. A mosaic is four photographs of confidence > 0.9, each in a quadrant;
what is explained is the class of one, and its quadrant is the segmentation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from paper_figures import confident_images
from tqdm import tqdm

from captum_gag import RCAP, Deletion, Insertion, saliency_map
from captum_gag.attr.catalogue import method
from captum_gag.metrics import evaluate_curves, log_cosh_dice, segmentation_mae
from captum_gag.models import load_classifier

METHODS = ["Grad-CAM", "GAG-85", "VarGrad", "SG", "IG", "GB", "Guided IG", "Blur IG", "VG"]
CONTROLS = ["GAG-85^R", "SG^R", "Random", "Sobel"]


def mosaic(images: list[torch.Tensor]) -> torch.Tensor:
    """Put four images (3, H, W) into one, (1, 3, H, W)."""
    small = torch.nn.functional.avg_pool2d(torch.stack(images), 2)
    return torch.cat([torch.cat([*small[:2]], 2), torch.cat([*small[2:]], 2)], 1).unsqueeze(0)


def explained(model: torch.nn.Module, image: torch.Tensor, target: int, seed: int) -> dict[str, torch.Tensor]:
    """Return the saliency map (1, H, W) of every method."""
    return {name: saliency_map(method(name).attribute(model, image, target, seed)) for name in METHODS + CONTROLS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=32)
    parser.add_argument("--mosaics", type=int, default=16)
    options = parser.parse_args()
    classifier = load_classifier("demo")
    model, norm = classifier.model, classifier.normalization
    photographs = confident_images(classifier, options.data, None)
    metrics = {"RCAP": RCAP(normalization=norm), "DAUC": Deletion(normalization=norm)}
    metrics["IAUC"] = Insertion(normalization=norm)
    columns = [*metrics, "Dice", "MAE"]
    scores: dict[str, dict[str, list[float]]] = {n: {c: [] for c in columns} for n in METHODS + CONTROLS}
    for seed, (image, target) in enumerate(tqdm(photographs[: options.limit], desc="photographs")):
        maps = explained(model, image[None], target, seed)
        for name, found in evaluate_curves(model, image[None], maps, target, metrics).items():
            for metric, score in found.items():
                scores[name][metric].append(score.item())
    for seed in tqdm(range(options.mosaics), desc="mosaics"):
        # Photographs from all over the list, so that the four are of unlike classes.
        four = [photographs[(seed + k * len(photographs) // 4) % len(photographs)] for k in range(4)]
        true = seed % 4
        mask = torch.zeros(1, 224, 224)
        mask[:, 112 * (true // 2) : 112 * (true // 2 + 1), 112 * (true % 2) : 112 * (true % 2 + 1)] = 1
        maps = explained(model, mosaic([image for image, _ in four]), four[true][1], seed)
        for name, each in maps.items():
            scores[name]["Dice"].append(log_cosh_dice(each, mask).item())
            scores[name]["MAE"].append(segmentation_mae(each, mask).item())
    print(f"{min(options.limit, len(photographs))} photographs, {options.mosaics} mosaics; mean (standard error)")
    print(f"{'method':10s}" + "".join(f"{column:>16s}" for column in columns))
    for name, found in scores.items():
        cells = [f"{np.mean(v):.3f} ({np.std(v) / len(v) ** 0.5:.3f})" for v in found.values()]
        print(f"{name:10s}" + "".join(f"{cell:>16s}" for cell in cells))


if __name__ == "__main__":
    main()
