"""Metrics by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from captum_gag.baselines import Normalization
from captum_gag.errors import InputError, shown
from captum_gag.metrics.base import Metric
from captum_gag.metrics.external_metric import ExternalMetric
from captum_gag.names import METRICS, imported
from captum_gag.options import options_of, unknown


def metric(type: str, options: Mapping[str, Any] = {}, normalization: Normalization | None = None) -> Metric:
    """Build a metric.

    Args:
        type: A name, such as "RCAP", or ``package.module:Class``: a ``Metric`` of one's own, a metric of Quantus
            (``quantus:Sparseness``), or any class that is constructed and called like one.
        options: Its options; without, the defaults.
        normalization: (mean, std) of the model's input, for a metric with this option, unless ``options`` have it.

    Raises:
        InputError: If there is no such metric, or an option does not fit.
    """
    if not isinstance(type, str):
        raise InputError(f"metric is {shown(type)}, must be a name, such as RCAP, or package.module:Class.")
    if type not in METRICS and ":" not in type:
        raise unknown("metric", type, METRICS)
    cls = METRICS[type].load() if type in METRICS else imported(type, "metric")
    if not (inspect.isclass(cls) and issubclass(cls, Metric)):
        return ExternalMetric(type, cls, options, normalization)
    if any(declared.name == "normalization" for declared in options_of(cls)):
        options = {"normalization": normalization, **options}
    return cls(**options)
