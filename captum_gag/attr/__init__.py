"""Explain: one image in, one attribution out, under the contract of ``captum.attr``."""

from captum_gag.attr.aggregations import GuidedMean, Mean, Variance
from captum_gag.attr.gradient_sources import guided_backpropagation, log_probability_gradients
from captum_gag.attr.guided_absolute_grad import GuidedAbsoluteGrad
from captum_gag.attr.interpretations import absolute, negative, positive, signed, squared
from captum_gag.attr.layers import LayerGuidedAbsoluteGrad
from captum_gag.attr.modifications import GaussianNoise, Samples
from captum_gag.attr.path_methods import BlurIG, GuidedIG
from captum_gag.attr.paths import BlurPath, GuidedPath, StraightPath
from captum_gag.attr.pooling import BoxPooling
from captum_gag.attr.random_starts import RandomStarts
from captum_gag.attr.saliency import reverse_saliency, saliency_map
from captum_gag.attr.sampled_gradients import SampledGradients

__all__ = [
    "BlurIG",
    "BlurPath",
    "BoxPooling",
    "GaussianNoise",
    "GuidedAbsoluteGrad",
    "GuidedIG",
    "GuidedMean",
    "GuidedPath",
    "LayerGuidedAbsoluteGrad",
    "Mean",
    "RandomStarts",
    "SampledGradients",
    "Samples",
    "StraightPath",
    "Variance",
    "absolute",
    "guided_backpropagation",
    "log_probability_gradients",
    "negative",
    "positive",
    "reverse_saliency",
    "saliency_map",
    "signed",
    "squared",
]
