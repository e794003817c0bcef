"""The metrics by name, and how type and options become a metric."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from captum_gag.baselines import Normalization
from captum_gag.errors import InputError, shown
from captum_gag.importing import imported
from captum_gag.metrics.aopc import AOPCMetric
from captum_gag.metrics.base import MaskingMetric, Metric
from captum_gag.metrics.deletion_insertion import DeletionMetric, InsertionMetric
from captum_gag.metrics.faithfulness import FaithfulnessMetric
from captum_gag.metrics.foreign import ForeignMetric
from captum_gag.metrics.rcap import RCAPMetric
from captum_gag.metrics.segmentation import LogCoshDiceMetric, SegmentationMAEMetric
from captum_gag.options import build, options_of

__all__ = ["METRICS", "MaskingMetric", "Metric", "metric", "rows"]

METRICS: dict[str, type[Metric]] = {
    "RCAP": RCAPMetric,
    "Deletion": DeletionMetric,
    "Insertion": InsertionMetric,
    "AOPC": AOPCMetric,
    "Faithfulness": FaithfulnessMetric,
    "LogCoshDice": LogCoshDiceMetric,
    "SegmentationMAE": SegmentationMAEMetric,
}


def metric(type: str, options: Mapping[str, Any], normalization: Normalization | None = None) -> Metric:
    """Build a metric.

    Args:
        type: A name of ``METRICS``, or ``package.module:Class``: a ``Metric`` of one's own, a metric of Quantus
            (``quantus:Sparseness``), or any class that is made and called like one.
        options: Its options.
        normalization: (mean, std) of the model's input, for a metric that has this option and was not given it.

    Raises:
        InputError: If there is no such metric, or it refuses the options.
    """
    if not isinstance(type, str):
        raise InputError(f"metric is {shown(type)}, expected a name, such as RCAP, or package.module:Class.")
    types = dict(METRICS)
    if ":" in type:
        types[type] = imported(type, "metric")
        if not (inspect.isclass(types[type]) and issubclass(types[type], Metric)):
            return ForeignMetric(type, types[type], options, normalization)
    takes = type in types and any(each.name == "normalization" for each in options_of(types[type]))
    return build(types, type, {"normalization": normalization, **options} if takes else options, "metric")


def rows() -> list[dict[str, Any]]:
    """Return the metrics: type, summary, which scores are better ("higher", "lower"; by default), and options."""
    return [
        {
            "type": name,
            "summary": (made.__doc__ or "").splitlines()[0],
            "better": "higher" if made().higher_is_better else "lower",
            "options": [each._asdict() for each in options_of(made)],
        }
        for name, made in METRICS.items()
    ]
