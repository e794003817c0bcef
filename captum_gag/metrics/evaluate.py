"""Several metrics of several methods' maps in one pass."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from captum_gag.metrics.base import TorchMetric
from captum_gag.metrics.map_batch import MapBatch
from captum_gag.metrics.masking import Model, Reading, Target, class_probabilities


def evaluate_curves(
    model: Model,
    inputs: Tensor,
    maps: Mapping[str, Tensor],
    target: Target,
    metrics: Mapping[str, TorchMetric],
    *,
    softmax: bool = True,
    internal_batch_size: int | None = None,
) -> dict[str, dict[str, Tensor]]:
    """Score the maps of several methods by several metrics.

    The rankings of a map are shared by all metrics, and no image is predicted twice: the unperturbed one, say, or the
    wholly black one. Forward passes are filled across images, steps, metrics and methods.

    Args:
        model: From images (B, C, H, W) to class scores (B, classes), in evaluation mode.
        inputs: Images (N, C, H, W) as the model takes them, on its device.
        maps: By the methods' names, attributions (N, C, H, W) or maps (N, H, W) of the images.
        target: Class of all images, or of each.
        metrics: By any names, ``RCAP()``, ``Deletion()``, ``Insertion()``, ``AOPC()`` or ``Faithfulness()``, with their
            parameters. Their ``details`` are left alone.
        softmax: Turn the model's scores into probabilities. False for a model that returns probabilities.
        internal_batch_size: Images in one forward pass. None picks a number.

    Returns:
        Scores of shape (N,) by method and metric; NaN for a map without ranking.

    Raises:
        ValueError: As the metrics themselves, and if there are no maps or no metrics.
        TypeError: If a metric does not perturb images.
    """
    readings = evaluate_readings(
        model, inputs, maps, target, metrics, softmax=softmax, internal_batch_size=internal_batch_size
    )
    return {method: {name: each.score for name, each in found.items()} for method, found in readings.items()}


def evaluate_readings(
    model: Model,
    inputs: Tensor,
    maps: Mapping[str, Tensor],
    target: Target,
    metrics: Mapping[str, TorchMetric],
    *,
    softmax: bool = True,
    internal_batch_size: int | None = None,
) -> dict[str, dict[str, Reading]]:
    """Give all that ``evaluate_curves`` reads, whose arguments it takes: AOPC at every L, RCAP's two factors.

    Returns:
        By method and metric, a named tuple of tensors (N, ...) with a ``score``.

    Raises:
        ValueError: As ``evaluate_curves``.
        TypeError: As ``evaluate_curves``.
    """
    if not maps or not metrics:
        raise ValueError(
            f"There are {len(maps)} methods' maps and {len(metrics)} metrics, expected at least one of each."
        )
    shared: dict[object, Tensor] = {}
    batches = {method: MapBatch(inputs, each, shared) for method, each in maps.items()}
    plans = {(method, name): metrics[name].plan(batch) for method, batch in batches.items() for name in metrics}
    reveals = [plan.reveal for plan in plans.values()]
    probabilities = class_probabilities(model, reveals, target, softmax, internal_batch_size)
    readings: dict[str, dict[str, Reading]] = {method: {} for method in maps}
    for (method, name), plan, found in zip(plans, plans.values(), probabilities, strict=True):
        readings[method][name] = plan.read(found)
    return readings
