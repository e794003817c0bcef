"""Propositions 1 and 2 on a photograph: four Gaussian maps, well placed or not, sharp or wide, and what metrics see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import center_of_mass, gaussian_filter
from torch import Tensor

from captum_gag.data.masks import require_size
from captum_gag.errors import InputError
from captum_gag.metrics import deletion, insertion, log_cosh_dice, rcap_factors, segmentation_mae
from captum_gag.runs.explaining import Explanation, explain_photo
from captum_gag.runs.scorer import Scorer

FloatArray = NDArray[np.float64]
LABELS = ("M1: well placed, sharp", "M2: well placed, wide", "M3: misplaced, sharp", "M4: misplaced, wide")


class Place(NamedTuple):
    """A place in an image, as shares of its width (from the left) and height (from the top), in [0, 1]."""

    x: float
    y: float


class JudgedMap(NamedTuple):
    """A Gaussian map (H, W) in [0, 1], RCAP's two factors at each of its steps, (j,), and the scores by metric."""

    label: str
    saliency: FloatArray
    visual_noise: FloatArray
    localization: FloatArray
    scores: dict[str, float]


class Propositions(NamedTuple):
    """Four Gaussian maps of a photograph, in the order of ``LABELS``.

    Attributes:
        explanation: Of the photograph: what the model saw, and the class.
        mask: The segmentation, (H, W), True on the object; None if it is not known.
        maps: The four.
        higher_is_better: By metric.
        lower_bound: RCAP's last percentile.
        interval: Distance of RCAP's percentiles.
    """

    explanation: Explanation
    mask: NDArray[np.bool_] | None
    maps: tuple[JudgedMap, ...]
    higher_is_better: dict[str, bool]
    lower_bound: float
    interval: float

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a record for each map and metric, and for the mean of each of RCAP's factors."""
        for judged in self.maps:
            means = {"share of the saliency": judged.visual_noise.mean(), "probability": judged.localization.mean()}
            for metric, score in {**judged.scores, **means}.items():
                yield {"image": self.explanation.name, "map": judged.label, "metric": metric, "score": float(score)}


def gaussian(size: tuple[int, ...], centre: Place, width: float) -> Tensor:
    """Return a Gaussian map (H, W) in [0, 1], float64: maps of one centre and different widths have the same ranking.

    Args:
        size: Height and width in pixels.
        centre: Its place.
        width: Its standard deviation, as a share of the shorter side.
    """
    rows, columns = (torch.arange(side, dtype=torch.float64) + 0.5 for side in size)
    distance = (rows[:, None] - centre.y * size[0]) ** 2 + (columns[None] - centre.x * size[1]) ** 2
    # Distances that rounding alone tells apart would be ties in a wide map, and none in a sharp one.
    distance = distance.round(decimals=6)
    return torch.exp(-distance / (2 * (width * min(size)) ** 2))


def moved(saliency: Tensor, ranking: Tensor) -> Tensor:
    """Return the values of ``saliency`` (H, W) in the order of ``ranking`` (H, W), so that no border cuts any off."""
    values = torch.empty_like(saliency).flatten()
    values[ranking.flatten().argsort(stable=True)] = saliency.flatten().sort().values
    return values.reshape(saliency.shape)


def propositions(
    scorer: Scorer,
    photo: Image.Image,
    name: str,
    target: int | None = None,
    mask: Image.Image | None = None,
    *,
    at: Place | None = None,
    off: Place | None = None,
    sharp: float = 0.1,
    wide: float = 0.25,
    lower_bound: float = 50.0,
    interval: float = 10.0,
) -> Propositions:
    """Judge four Gaussian maps of a photograph (Huang & Liu, Figure 4).

    Proposition 1: the same values at another place must score lower, by the probability of what is recovered.
    Proposition 2: the same ranking with less noise must score higher, by the share of the saliency that is recovered.
    RCAP is the product of both; DAUC and IAUC know the ranking alone. Places and widths are ours, not the paper's.

    Args:
        scorer: See ``photo_scorer``: its first method finds the well placed centre, where no mask and no ``at`` say it.
        photo: Mode RGB, of any size.
        name: Its name, for records and errors.
        target: The class explained; None takes the predicted one.
        mask: Its segmentation, mode L, as large as the photograph; adds Log-Cosh Dice and MAE.
        at: The well placed centre. None takes the mask's centre of mass; without a mask where the map of the scorer's
            first method, smoothed by the sharp Gaussian, is highest.
        off: The misplaced centre. None takes the corner, 0.15 from the borders, that is farthest.
        sharp: Standard deviation of the sharp maps, as a share of the shorter side.
        wide: That of the wide ones.
        lower_bound: RCAP's last percentile.
        interval: Distance of RCAP's percentiles.

    Raises:
        InputError: The photograph cannot be explained, the mask does not fit, or a width or a place is out of range.
    """
    if not 0 < sharp < wide:
        raise InputError(f"sharp is {sharp:g} and wide {wide:g}; must be above 0, and sharp the smaller")
    for point in (at, off):
        if point is not None and not all(0 <= share <= 1 for share in point):
            raise InputError(f"the place {point.x:g},{point.y:g} is not in the photograph; must be shares in [0, 1]")
    explanation = explain_photo(scorer, photo, name, target)
    classifier, size = scorer.classifier, explanation.photo.shape[:2]
    segmentation = None
    if mask is not None:
        require_size(mask, photo.size, name)
        segmentation = classifier.preprocess_mask(mask)[None]
    centre = at or _centre(explanation, segmentation, sharp)
    beside = off or Place(*(0.15 if share >= 0.5 else 0.85 for share in centre))
    placed = [gaussian(size, centre, width) for width in (sharp, wide)]
    if placed[0].min() <= 0:
        raise InputError(
            f"sharp is {sharp:g}, and a Gaussian of that width is 0 far from its centre, where it ranks no pixels; "
            "must be larger, such as 0.1"
        )
    elsewhere = gaussian(size, beside, wide)
    saliency = torch.stack([*placed, *(moved(values, elsewhere) for values in placed)])
    inputs = classifier.preprocess(photo)[None].to(classifier.device, scorer.dtype).expand(len(LABELS), -1, -1, -1)
    arguments = (scorer.model, inputs, saliency.to(classifier.device), explanation.target)
    options: dict[str, Any] = {"normalization": classifier.normalization, "output": scorer.output}
    factors = rcap_factors(*arguments, lower_bound=lower_bound, interval=interval, **options)
    scores = {"RCAP": factors.score, "DAUC": deletion(*arguments, **options), "IAUC": insertion(*arguments, **options)}
    if segmentation is not None:
        masks = segmentation.expand(len(LABELS), -1, -1, -1)
        scores |= {"Log-Cosh Dice": log_cosh_dice(saliency, masks), "MAE": segmentation_mae(saliency, masks)}
    arrays = (values.double().cpu().numpy() for values in (saliency, factors.visual_noise, factors.localization))
    by_map = [{metric: float(values[row]) for metric, values in scores.items()} for row in range(len(LABELS))]
    maps = tuple(map(JudgedMap, LABELS, *arrays, by_map))
    better = {metric: metric in ("RCAP", "IAUC") for metric in scores}
    area = None if segmentation is None else segmentation[0, 0].numpy() > 0.5
    return Propositions(explanation, area, maps, better, lower_bound, interval)


def _centre(explanation: Explanation, segmentation: Tensor | None, sharp: float) -> Place:
    """Return the place of the class, by the mask or else by the map of the first method."""
    if segmentation is not None:
        weights = segmentation[0, 0].numpy()
        if not weights.any():
            raise InputError(
                f"{explanation.name}: nothing of the segmentation is in what the model sees; say where the class is"
            )
        row, column = center_of_mass(weights)
    elif explanation.maps:
        saliency = next(iter(explanation.maps.values()))
        weights = gaussian_filter(saliency, sharp * min(saliency.shape), mode="constant")
        row, column = np.unravel_index(weights.argmax(), weights.shape)
    else:
        error = explanation.rows[0]["error"]
        raise InputError(f"{explanation.name}: there is no map that says where the class is: {error}")
    return Place((float(column) + 0.5) / weights.shape[1], (float(row) + 0.5) / weights.shape[0])
