"""The main job: one photograph in; the prediction, and each method's attribution, map and score, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from captum_gag.attr import saliency_map
from captum_gag.attr.catalogue import Method, method
from captum_gag.errors import InputError
from captum_gag.metrics.recovery import rcap
from captum_gag.models.loading import Classifier

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Explanation:
    """What was found out about one photograph.

    Attributes:
        name (str): Of the photograph.
        target (int): The class explained.
        label (str): Its name.
        probability (float): What the model gives it, in [0, 1].
        photo (array): (H, W, 3) in [0, 1]: what the model saw.
        attributions (dict): Per method, (3, H, W), or (1, H, W) from methods with one value per pixel.
        maps (dict): Per method, (H, W) in [0, 1].
        scores (dict): Per method, RCAP; NaN where the map is constant.
    """

    name: str
    target: int
    label: str
    probability: float
    photo: FloatArray
    attributions: dict[str, FloatArray]
    maps: dict[str, FloatArray]
    scores: dict[str, float]

    def rows(self) -> list[dict[str, str | int | float]]:
        """One row per method: image, method, metric, score, target, label, probability."""
        about: dict[str, str | int | float] = {
            "target": self.target,
            "label": self.label,
            "probability": self.probability,
        }
        return [
            {"image": self.name, "method": method, "metric": "RCAP", "score": score, **about}
            for method, score in self.scores.items()
        ]

    def save_attributions(self, path: Path) -> None:
        """Writes the attributions, one float32 array (3, H, W) per method, and ``target``.

        Args:
            path (Path): Ends in ``.npz`` or ``.safetensors``, which decides the format.
        """
        arrays = {**self.attributions, "target": np.array(self.target)}
        if path.suffix == ".safetensors":
            from safetensors.numpy import save_file

            save_file({name: np.array(array, order="C") for name, array in arrays.items()}, path)
        else:
            # mypy takes the names for savez's own keyword, allow_pickle.
            np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def compared_methods(percentile: float = 85.0) -> list[Method]:
    """Gives the methods that the demo compares: GAG-p and Captum's Saliency, SmoothGrad and VarGrad.

    Args:
        percentile (float): GAG's p, in [0, 100].

    Returns:
        list of Method: From the catalogue.
    """
    return [method(name) for name in (f"GAG-{percentile:g}", "Saliency", "SmoothGrad", "VarGrad (Captum)")]


def explain_photo(
    classifier: Classifier,
    photo: Image.Image,
    name: str,
    *,
    methods: Sequence[Method],
    target: int | None = None,
    samples: int = 20,
    seed: int = 0,
) -> Explanation:
    """Explains one photograph with every method, and scores each map with RCAP.

    Args:
        classifier (Classifier): The network and its preprocessing.
        photo (PIL.Image.Image): Mode RGB, of any size.
        name (str): To call it by in the results.
        methods (Sequence of Method): From the catalogue; see `compared_methods`.
        target (int, optional): The class to explain, in [0, classes). Default: the predicted class.
        samples (int): Noisy copies per method, at least 2.
        seed (int): Fixes the noise; the global random state is left alone.

    Returns:
        Explanation: The same for the same arguments.

    Raises:
        InputError: The target is not a class of the model, or the model does not return (N, classes).
    """
    x = classifier.preprocess(photo)[None].to(classifier.device)
    with torch.no_grad():
        logits = classifier.model(x)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 1:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"{classifier.name} returned {found} for one image; expected logits of shape (1, classes)")
    target = int(logits.argmax()) if target is None else target
    if not 0 <= target < logits.shape[1]:
        raise InputError(f"target {target} is not a class of {classifier.name}; expected 0 to {logits.shape[1] - 1}")

    attributions, maps, scores = {}, {}, {}
    for each in methods:
        attributed = each.attribute(classifier.model, x, target, samples, seed)
        saliency = saliency_map(attributed)
        score = rcap(classifier.model, x, saliency, target, normalization=classifier.normalization)
        attributions[each.name] = attributed[0].float().cpu().numpy()
        maps[each.name] = saliency[0].float().cpu().numpy()
        scores[each.name] = score.item()
    return Explanation(
        name=name,
        target=target,
        label=classifier.label(target),
        probability=logits.softmax(1)[0, target].item(),
        photo=classifier.to_pixels(x)[0].permute(1, 2, 0).cpu().numpy(),
        attributions=attributions,
        maps=maps,
        scores=scores,
    )
