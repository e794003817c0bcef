"""One photograph explained: a run of one image in memory, with the same scorer and the same errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captum_gag.data.datasets import Example
from captum_gag.errors import InputError
from captum_gag.files import replace_file
from captum_gag.models import Classifier
from captum_gag.reliability.scores import DISPLACED
from captum_gag.runs.cells import Outcome, Row
from captum_gag.runs.scorer import Scorer
from captum_gag.runs.spec import make_suite

FloatArray = NDArray[np.float32]

COLUMNS = ["image", "method", "metric", "score", "target", "label", "probability", "error"]
COLUMNS += ["control", "base", "transform", "baseline_probability"]
"""Of the records that are shown and written; see ``reliability.read_scores``."""

NEARLY, LIKELY = 0.9, 0.5
"""Where RCAP is blind: the share of a map's score that the displaced one has, the probability of the class on black."""


class Explanation:
    """What was found out about one photograph.

    Attributes:
        name: Of the photograph.
        target: The class explained.
        label: Its name.
        probability: What the model gives it, in [0, 1].
        photo: (H, W, 3) in [0, 1]: what the model saw.
        attributions: Per method, (C, H, W), or (1, H, W) from methods with one value per pixel; without displaced ones.
        maps: Per method, (H, W) in [0, 1], likewise.
        rows: A record per method and metric, of ``COLUMNS``.
    """

    def __init__(self, name: str, outcome: Outcome, classifier: Classifier) -> None:
        """Lay out what the scorer found.

        Raises:
            InputError: The photograph could not be read, or the model could not predict it.
        """
        if outcome.inputs is None:
            raise InputError(outcome.rows[0]["error"])
        first = outcome.rows[0]
        self.name, self.target, self.probability = name, int(first["target"]), float(first["probability"])
        self.label = classifier.label(self.target)
        shown = classifier.to_rgb(outcome.inputs)[0]
        self.photo: FloatArray = shown.permute(1, 2, 0).float().cpu().numpy()
        moved = {row["method"] for row in outcome.rows if row["control"] == DISPLACED}
        drawn = {label: found for label, found in outcome.attributions.items() if label not in moved}
        outcome = replace(outcome, attributions=drawn)
        self.attributions = {each: found[0].float().cpu().numpy() for each, found in outcome.attributions.items()}
        self.maps: dict[str, FloatArray] = {each: found.numpy() for each, found in outcome.maps().items()}
        self.rows: list[Row] = [{name: (row | {"label": self.label})[name] for name in COLUMNS} for row in outcome.rows]

    @property
    def errors(self) -> list[str]:
        """One line for each method and metric that failed; a displaced map fails only with its original."""
        failed = [row for row in self.rows if row["error"] and row["control"] != DISPLACED]
        return [f"{row['method']} on {self.name}: {row['error']}" for row in failed]

    @property
    def blindness(self) -> str:
        """Why the scores by RCAP do not tell here where a map should point, in one line; "" if they may.

        That is so where a displaced map scores nearly what its original does, or where the class is probable on the
        baseline, which is black.
        """
        scores, reasons = self.scores, []
        for row in self.rows:
            score, original = row["score"], scores.get(row["base"], math.nan)
            if row["control"] == DISPLACED and score >= NEARLY * original:
                reasons.append(f"{row['base']} scores {original:.3f}, and {score:.3f} moved by half the image")
        probability = self.rows[0]["baseline_probability"]
        if probability >= LIKELY:
            reasons.append(f"{self.label} has a probability of {probability:.2f} on a black image")
        return "; ".join(reasons) and f"RCAP does not see where a map points: {'; '.join(reasons)}"

    @property
    def scores(self) -> dict[str, float]:
        """Score of each method by the first metric; NaN where it has none."""
        metric = self.rows[0]["metric"]
        return {row["method"]: row["score"] for row in self.rows if row["metric"] == metric}

    def save_attributions(self, path: Path, box: Sequence[float] | None = None) -> None:
        """Write the attributions as an npz file: a float32 array (C, H, W) per method, ``target`` and ``box``.

        Args:
            path: The file.
            box: Where in the photograph they are: left, top, right and bottom in its pixels. None where that is not
                known; then nothing is written of it.
        """
        place = {} if box is None else {"box": np.array(box)}
        arrays = {**self.attributions, "target": np.array(self.target), **place}
        # Given a name, NumPy would add an ending to it; mypy takes the names for savez's own keyword, allow_pickle.
        stream = BytesIO()
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
        replace_file(path, lambda beside: beside.write_bytes(stream.getvalue()))


def photo_scorer(
    classifier: Classifier,
    methods: Sequence[Any] | Mapping[str, Mapping[str, Any]],
    n_samples: int = 20,
    seed: int = 0,
) -> Scorer:
    """Return what explains photographs with these methods and scores the maps by RCAP.

    Args:
        classifier: The network and its preprocessing.
        methods: Names of the catalogue, or by label type and options; as in a suite.
        n_samples: Gradients per image, for methods that sample.
        seed: Fixes the noise; the global random state is left alone.

    Raises:
        InputError: A method is unknown, or refuses its options.
    """
    listed = dict(methods) if isinstance(methods, Mapping) else list(methods)
    suite: dict[str, Any] = {"methods": listed, "metrics": {"RCAP": {}}, "n_samples": n_samples}
    return Scorer(classifier, make_suite(suite, classifier.normalization), seed)


def explain_photo(
    scorer: Scorer, photo: Image.Image | Callable[[], Image.Image], name: str, target: int | None = None
) -> Explanation:
    """Explain one photograph with every method, and score each map.

    Args:
        scorer: See ``photo_scorer``.
        photo: Mode RGB, of any size; or what reads it.
        name: To call it by in the results.
        target: The class to explain, in [0, classes). None takes the predicted class.

    Returns:
        The same for the same arguments. A method that fails has no map and says why in its rows.

    Raises:
        InputError: The photograph cannot be read, the target is not a class of the model, or the model does not return
            (N, classes).
    """
    load = photo if callable(photo) else lambda: photo
    return Explanation(name, scorer.score(name, lambda: Example(name, load), target), scorer.classifier)
