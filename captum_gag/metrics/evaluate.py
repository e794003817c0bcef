"""Several metrics of several methods' maps in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from captum_gag.errors import InputError
from captum_gag.metrics.base import MaskingMetric, Metric
from captum_gag.metrics.map_batch import MapBatch
from captum_gag.metrics.masking import Model, run_plans
from captum_gag.metrics.readings import Reading
from captum_gag.outputs import Output
from captum_gag.tensors import Target


def evaluate_curves(
    model: Model,
    inputs: Tensor,
    maps: Mapping[str, Tensor],
    target: Target,
    metrics: Mapping[str, Metric],
    *,
    output: Output = "auto",
    channel_axis: int = 1,
    internal_batch_size: int | None = None,
) -> dict[str, dict[str, Tensor]]:
    """Score the maps of several methods by several metrics.

    The rankings of a map are shared by all metrics, and no image is predicted twice: the unperturbed one, say, or the
    wholly black one. Forward passes are filled across images, steps, metrics and methods.

    Args:
        model: From images (B, C, H, W), or other inputs, to class scores (B, classes), in evaluation mode.
        inputs: Images (N, C, H, W), any (N, C, *positions) or tables (N, F), as the model takes them, on its device.
        maps: By the methods' names, attributions like the inputs or maps (N, *positions).
        target: Class of all images, or of each.
        metrics: By any names, ``RCAP()``, ``Deletion()``, ``Insertion()``, ``AOPC()`` or ``Faithfulness()``, with their
            options, or ``RCAPMetric()`` and the like, which do not need Quantus. Their ``details`` are left alone.
        output: What the model returns; see ``captum_gag.outputs``.
        channel_axis: The axis of the values that share one position: 1, or -1 for token embeddings (N, T, E).
        internal_batch_size: Images in one forward pass. None picks a number.

    Returns:
        Scores of shape (N,) by method and metric; NaN for a map without ranking.

    Raises:
        InputError: As the metrics themselves; if there are no maps or no metrics; if a metric does not mask images.
    """
    readings = evaluate_readings(
        model,
        inputs,
        maps,
        target,
        metrics,
        output=output,
        channel_axis=channel_axis,
        internal_batch_size=internal_batch_size,
    )
    return {method: {name: each.score for name, each in found.items()} for method, found in readings.items()}


def evaluate_readings(
    model: Model,
    inputs: Tensor,
    maps: Mapping[str, Tensor],
    target: Target,
    metrics: Mapping[str, Metric],
    *,
    output: Output = "auto",
    channel_axis: int = 1,
    internal_batch_size: int | None = None,
) -> dict[str, dict[str, Reading]]:
    """Return all that ``evaluate_curves`` reads, whose arguments it takes: AOPC at every L, RCAP's two factors.

    Returns:
        By method and metric, a reading: its ``score``, its ``curve``, and tensors (N, ...).

    Raises:
        InputError: As ``evaluate_curves``.
    """
    for name, given in (("maps", maps), ("metrics", metrics)):
        if not isinstance(given, Mapping):
            raise InputError(f"{name} are a {type(given).__name__}, expected a dict by name.")
    if not maps or not metrics:
        raise InputError(
            f"There are {len(maps)} methods' maps and {len(metrics)} metrics, expected at least one of each."
        )
    found = readings_of(
        model,
        inputs,
        [(each, list(metrics.values())) for each in maps.values()],
        target,
        output=output,
        channel_axis=channel_axis,
        internal_batch_size=internal_batch_size,
    )
    return {method: dict(zip(metrics, each, strict=True)) for method, each in zip(maps, found, strict=True)}


def readings_of(
    model: Model,
    inputs: Tensor,
    judged: Sequence[tuple[Tensor, Sequence[Metric]]],
    target: Target,
    *,
    output: Output = "auto",
    channel_axis: int = 1,
    internal_batch_size: int | None = None,
) -> list[list[Reading]]:
    """Return what ``evaluate_readings`` does where not every map is judged by the same metrics.

    Args:
        model: As for ``evaluate_curves``, as are the others.
        inputs: Images (N, ...).
        judged: Maps of the images, each with the metrics that judge it.
        target: Class of all images, or of each.
        output: What the model returns.
        channel_axis: The axis of the values that share one position.
        internal_batch_size: Images in one forward pass. None picks a number.

    Returns:
        For each of ``judged`` the readings of its metrics.
    """
    shared: dict[object, Tensor] = {}
    batches = [MapBatch(inputs, maps, shared, channel_axis) for maps, _ in judged]
    plans = [
        _masking(metric).plan(batch) for batch, (_, metrics) in zip(batches, judged, strict=True) for metric in metrics
    ]
    readings = iter(run_plans(plans, batches[0].fed_to(model), target, output, internal_batch_size))
    return [[next(readings) for _ in metrics] for _, metrics in judged]


def _masking(metric: Metric) -> MaskingMetric:
    if not isinstance(metric, MaskingMetric):
        raise InputError(f"{type(metric).__name__} does not mask images; call its evaluate.")
    return metric
