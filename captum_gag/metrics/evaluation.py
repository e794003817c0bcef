"""Several metrics of several methods' maps in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from captum_gag.errors import InputError, shown
from captum_gag.metrics.base import MaskingMetric, Metric
from captum_gag.metrics.map_batch import MapBatch, batch_of
from captum_gag.metrics.masking import Context, Model, Plan, run_plans
from captum_gag.metrics.readings import Reading
from captum_gag.outputs import Output, OutputReader
from captum_gag.tensors import Target


def evaluate(
    model: Model,
    inputs: Tensor,
    maps: Mapping[str, Tensor],
    target: Target,
    metrics: Mapping[str, Metric],
    *,
    output: Output = "auto",
    class_axis: int | None = None,
    channel_axis: int = 1,
    internal_batch_size: int | None = None,
    additional_forward_args: Any = None,
) -> dict[str, dict[str, Tensor]]:
    """Score the maps of several methods by several metrics.

    The rankings of a map are shared by all metrics, and no image is predicted twice, such as the unperturbed or the
    entirely black one. Forward passes are filled across images, steps, metrics and methods.

    Args:
        model: From images (B, C, H, W), or other inputs, to class scores (B, classes), in evaluation mode.
        inputs: Images (N, C, H, W), any (N, C, *positions) or tables (N, F), as the model takes them, on its device.
        maps: By method name, attributions like the inputs or maps (N, *positions).
        target: Class of all images, or one per image.
        metrics: By any names, metrics that mask images, with their options: ``RCAP()``, ``Deletion()`` and the like,
            whose ``details`` stay as they are; or, without Quantus, ``metric("RCAP", {})``.
        output: Meaning of the model's outputs; see ``captum_gag.outputs``.
        class_axis: The axis of their classes; see ``rcap``.
        channel_axis: The axis of the values that share one position: 1, or -1 for token embeddings (N, T, E).
        internal_batch_size: Images in one forward pass. None picks a number.
        additional_forward_args: Further arguments of the model, as for ``rcap``.

    Returns:
        Scores of shape (N,) by method and metric; NaN for a map without ranking.

    Raises:
        InputError: As the metrics themselves; if there are no maps or no metrics; if a metric does not mask images.
    """
    for name, mapping in (("maps", maps), ("metrics", metrics)):
        if not isinstance(mapping, Mapping) or not mapping:
            raise InputError(f"{name} are {shown(mapping)}, must be a dict by name with at least one entry.")
    pairs = [(method_maps, list(metrics.values())) for method_maps in maps.values()]
    reader = OutputReader.of(output, class_axis)
    context = Context(model, target, reader, internal_batch_size, channel_axis=channel_axis)
    readings = readings_of(inputs, pairs, context.with_arguments(additional_forward_args))
    return {
        method: {name: reading.score for name, reading in zip(metrics, row, strict=True)}
        for method, row in zip(maps, readings, strict=True)
    }


def readings_of(
    inputs: Tensor, pairs: Sequence[tuple[Tensor, Sequence[Metric]]], context: Context
) -> list[list[Reading]]:
    """Return a list of readings, one per metric, for each pair of the images' maps and their metrics; see ``evaluate``.

    A reading has a metric's scores and the numbers behind them: the probability curve, AOPC at every number of steps,
    RCAP's two factors.
    """
    shared: dict[object, Tensor] = {}
    batches = [(batch_of(inputs, maps, context.channel_axis, shared), metrics) for maps, metrics in pairs]
    plans = [(batch, _plan(metric, batch)) for batch, metrics in batches for metric in metrics]
    readings: dict[int, Reading] = {}
    # Maps of other inputs rank other images.
    for with_maps in dict.fromkeys(batch.with_maps for batch, _ in plans):
        numbers = [number for number, (batch, _) in enumerate(plans) if batch.with_maps == with_maps]
        of_these = context._replace(layout=plans[numbers[0]][0].layout)
        readings |= zip(numbers, run_plans([plans[number][1] for number in numbers], of_these), strict=True)
    in_order = (readings[number] for number in range(len(plans)))
    return [[next(in_order) for _ in metrics] for _, metrics in pairs]


def _plan(metric: Metric, batch: MapBatch) -> Plan:
    if not isinstance(metric, Metric):
        raise InputError(f"a metric is {shown(metric)}, must be one with its options, such as RCAP() or Deletion().")
    if not isinstance(metric, MaskingMetric):
        raise InputError(f"{type(metric).__name__} does not mask images; call its evaluate.")
    return metric.plan(batch)
