"""Methods and metrics let the model compute in less precision, each for itself."""

import pytest
import torch
from scoring import items, scorer_of
from torch import nn

from captum_gag.errors import InputError
from captum_gag.runs.config import Config
from captum_gag.runs.scorer import Autocast


class Precisions(nn.Module):
    """Remembers in which dtype its layer computed, with gradients or without."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.seen = nn.Linear(3 * 12 * 12, 3), set()

    def forward(self, x):
        found = self.layer(x.flatten(1))
        self.seen.add((found.dtype, x.requires_grad and torch.is_grad_enabled()))
        return found * 10


@pytest.mark.parametrize(
    ("autocast", "explaining", "judging"),
    [
        (Autocast(attribution=torch.bfloat16), torch.bfloat16, torch.float32),
        (Autocast(metrics=torch.bfloat16), torch.float32, torch.bfloat16),
    ],
)
def test_methods_and_metrics_compute_in_less_apart(autocast, explaining, judging):
    suite = {"methods": ["GAG-85", "VG"], "metrics": {"RCAP": {}, "quantus:MaxSensitivity": {"nr_samples": 2}}}
    model = Precisions()
    scorer = scorer_of(suite, model, autocast=autocast)
    model.seen.clear()
    [outcome] = scorer.score_many(items(1))
    assert not any(row["error"] for row in outcome.rows)
    assert {dtype for dtype, gradient in model.seen if gradient} == {explaining}
    # Classes are predicted in the model's own precision; before it explains, the model is asked in that of methods.
    assert {dtype for dtype, gradient in model.seen if not gradient} == {torch.float32, judging, explaining}
    assert not torch.is_autocast_enabled("cpu")


def test_autocast_of_less_than_single_precision_is_refused():
    with pytest.raises(InputError, match=r"autocast is for a model in float32, dtype is bfloat16"):
        Config(suite={}, model={}, data={}, dtype="bfloat16", metrics_autocast="bfloat16")
