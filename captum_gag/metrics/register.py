"""Entering the metrics into Quantus's own catalogue."""

from __future__ import annotations

import quantus

from captum_gag.metrics.rcap import RCAP

METRICS = (RCAP,)


def register_with_quantus() -> None:
    """List the metrics in ``quantus.AVAILABLE_METRICS``, each under its category and name; may be repeated."""
    for metric in METRICS:
        quantus.AVAILABLE_METRICS[metric.evaluation_category.value][metric.name] = metric
