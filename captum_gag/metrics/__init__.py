"""Judge one map: Quantus metrics over torch-native functions."""

from captum_gag.metrics.rcap import RCAP, RCAPFactors, rcap, rcap_factors
from captum_gag.metrics.register import register_with_quantus

__all__ = ["RCAP", "RCAPFactors", "rcap", "rcap_factors", "register_with_quantus"]
