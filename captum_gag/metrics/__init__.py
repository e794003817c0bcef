"""Judge one map: Quantus metrics over torch-native functions."""

from captum_gag.metrics.correlation import Faithfulness, faithfulness
from captum_gag.metrics.evaluate import evaluate_curves, evaluate_readings
from captum_gag.metrics.insertion_deletion import Deletion, Insertion, ProbabilityCurve, deletion, insertion
from captum_gag.metrics.perturbation import AOPC, aopc, aopc_curve
from captum_gag.metrics.recovery import RCAP, RCAPFactors, rcap, rcap_factors
from captum_gag.metrics.register import register_with_quantus
from captum_gag.metrics.segmentation import LogCoshDice, SegmentationMAE, log_cosh_dice, segmentation_mae

__all__ = [
    "AOPC",
    "RCAP",
    "Deletion",
    "Faithfulness",
    "Insertion",
    "LogCoshDice",
    "ProbabilityCurve",
    "RCAPFactors",
    "SegmentationMAE",
    "aopc",
    "aopc_curve",
    "deletion",
    "evaluate_curves",
    "evaluate_readings",
    "faithfulness",
    "insertion",
    "log_cosh_dice",
    "rcap",
    "rcap_factors",
    "register_with_quantus",
    "segmentation_mae",
]
