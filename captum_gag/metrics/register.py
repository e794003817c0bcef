"""Entering the metrics into Quantus's own catalogue."""

from __future__ import annotations

from typing import Any

import quantus

from captum_gag.metrics.rcap import RCAP

METRICS = (RCAP,)


def register_with_quantus() -> None:
    """List the metrics in ``quantus.AVAILABLE_METRICS``, each under its category and name; may be repeated."""
    for metric in METRICS:
        catalogue: Any = quantus.AVAILABLE_METRICS
        catalogue[metric.evaluation_category.value][metric.name] = metric
