"""Entering the metrics into Quantus's own catalogue."""

from __future__ import annotations

from typing import Any

import quantus

from captum_gag.metrics.base import TorchMetric
from captum_gag.metrics.correlation import Faithfulness
from captum_gag.metrics.insertion_deletion import Deletion, Insertion
from captum_gag.metrics.perturbation import AOPC
from captum_gag.metrics.recovery import RCAP
from captum_gag.metrics.segmentation import LogCoshDice, SegmentationMAE

METRICS: tuple[type[TorchMetric], ...] = (RCAP, Deletion, Insertion, AOPC, Faithfulness, LogCoshDice, SegmentationMAE)


def register_with_quantus() -> None:
    """List the metrics in ``quantus.AVAILABLE_METRICS``, each under its category and name; may be repeated."""
    for metric in METRICS:
        catalogue: Any = quantus.AVAILABLE_METRICS
        catalogue[metric.evaluation_category.value][metric.name] = metric
