"""Guided AbsoluteGrad for Captum, RCAP for Quantus; every name here loads its room on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from captum_gag import baselines, reliability
    from captum_gag.attr import (
        BlurIG,
        GuidedAbsoluteGrad,
        GuidedIG,
        SampledGradients,
        explain,
        reverse_saliency,
        saliency_map,
    )
    from captum_gag.metrics import (
        AOPC,
        RCAP,
        Deletion,
        Faithfulness,
        Insertion,
        LogCoshDice,
        SegmentationMAE,
        register_with_quantus,
    )

__version__ = "0.1.0"

_ROOMS = {
    "captum_gag.attr": (
        "BlurIG",
        "GuidedAbsoluteGrad",
        "GuidedIG",
        "SampledGradients",
        "explain",
        "reverse_saliency",
        "saliency_map",
    ),
    "captum_gag.metrics": (
        "AOPC",
        "RCAP",
        "Deletion",
        "Faithfulness",
        "Insertion",
        "LogCoshDice",
        "SegmentationMAE",
        "register_with_quantus",
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "AOPC",
    "RCAP",
    "BlurIG",
    "Deletion",
    "Faithfulness",
    "GuidedAbsoluteGrad",
    "GuidedIG",
    "Insertion",
    "LogCoshDice",
    "SampledGradients",
    "SegmentationMAE",
    "__version__",
    "baselines",
    "explain",
    "register_with_quantus",
    "reliability",
    "reverse_saliency",
    "saliency_map",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name in ("baselines", "reliability"):
        return import_module(f"captum_gag.{name}")
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOM_OF[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
