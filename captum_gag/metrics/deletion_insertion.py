"""Deletion and Insertion (RISE, Petsiuk et al., 2018): the class probability while salient pixels go or come."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_gag.metrics.base import BaselineOption, MaskingMetric, NormalizationOption, function_of
from captum_gag.metrics.map_batch import MapBatch, without_ranking
from captum_gag.metrics.masking import MaskedInputs, Plan
from captum_gag.metrics.readings import Curve, Reading, thin_curve, warn_of_nan
from captum_gag.options import declared, option


@dataclass(frozen=True, eq=False)
class ProbabilityCurve(Reading):
    """The class probability as a function of the share of pixels deleted or inserted.

    Attributes:
        fractions: Shares of the pixels, (N, S), the same in each row.
        probability: Probability of the class, (N, S). NaN for a map without ranking.
    """

    fractions: Tensor
    probability: Tensor

    @property
    def score(self) -> Tensor:
        """Area under the curve by the trapezoid rule, (N,) in [0, 1]."""
        return torch.trapezoid(self.probability, self.fractions.to(self.probability), dim=1)

    def curve(self, row: int) -> Curve:
        """Return the probability over the share of the pixels."""
        return thin_curve(self.fractions[row], self.probability[row], "share of the pixels", "probability")


@declared
class ProbabilityCurveMetric(MaskingMetric):
    """Base of Deletion and Insertion: the area under the class probability while salient pixels change."""

    n_steps: int = option(
        default=10, help="Equal steps from no to all pixels; n_steps + 1 images are predicted.", ge=1, le=10**6
    )
    perturb_baseline: BaselineOption = "black"
    normalization: NormalizationOption = None

    @abstractmethod
    def visible(self, ranks: Tensor, counts: Tensor) -> Tensor:
        """Return a mask of the pixels that show the image, when ``counts`` of the most salient have changed."""

    def shares(self) -> Tensor:
        """Return the shares of the pixels, (S,) in double precision, rising in [0, 1]."""
        return torch.linspace(0, 1, self.n_steps + 1, dtype=torch.float32).double()

    def plan(self, batch: MapBatch) -> Plan:
        """Return the image with ever more of its most salient pixels changed, read as ``ProbabilityCurve``."""
        n, exact = len(batch.images), self.shares()
        shares = exact.to(batch.saliency).expand(n, -1)
        counts = (exact * batch.saliency[0].numel()).round().to(batch.saliency).expand(n, -1)
        hidden = batch.baseline(self.perturb_baseline, self.normalization)
        undefined = without_ranking(batch.saliency).unsqueeze(1)
        return Plan(
            # Half a rank below the count, so that no and all pixels are outside the range of ranks.
            MaskedInputs(batch.images, hidden, batch.saliency_ranks, counts - 0.5, self.visible),
            lambda probabilities: ProbabilityCurve(shares, probabilities.masked_fill(undefined, torch.nan)),
            batch.saliency,
        )


@declared
class DeletionMetric(ProbabilityCurveMetric):
    """Deletion, DAUC: the most salient pixels show the baseline, the others the image; see ``deletion``."""

    higher_is_better = False

    def visible(self, ranks: Tensor, counts: Tensor) -> Tensor:
        """Return a mask of the less salient pixels."""
        return ranks >= counts


@declared
class InsertionMetric(ProbabilityCurveMetric):
    """Insertion, IAUC: the most salient pixels show the image, the others the baseline; see ``insertion``."""

    perturb_baseline: BaselineOption = "blur"

    higher_is_better = True

    def visible(self, ranks: Tensor, counts: Tensor) -> Tensor:
        """Return a mask of the most salient pixels."""
        return ranks < counts


@function_of(DeletionMetric)
def deletion(curve: ProbabilityCurve) -> Tensor:
    """Score maps by how soon the class is lost when the most salient pixels are deleted (DAUC): lower is better.

    Only the ranking of the pixels by ``saliency_map`` counts, hence magnitudes; equal ones follow in reading order.

    Returns:
        Areas of shape (N,) in [0, 1]. NaN, with one warning that names the images, for a map without ranking.
    """
    return warn_of_nan("Deletion", curve.score, curve.causes)


@function_of(InsertionMetric)
def insertion(curve: ProbabilityCurve) -> Tensor:
    """Score maps by how soon the class appears when the most salient pixels do (IAUC): higher is better.

    They appear on the blurred image: Gaussian, sigma 5, 11 x 11 (``baselines.blur``). Only the ranking counts, as for
    ``deletion``.

    Returns:
        Areas of shape (N,) in [0, 1]. NaN, with one warning that names the images, for a map without ranking.
    """
    return warn_of_nan("Insertion", curve.score, curve.causes)
