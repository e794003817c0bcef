"""A plan against passes counted by hand and the run that follows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from scoring import call, config_of
from torch import Tensor, nn

from captum_gag.errors import InputError
from captum_gag.reliability.deciding import BEST
from captum_gag.runs import planning
from captum_gag.runs.config import Config
from captum_gag.runs.planning import Passes, Plan, plan

SUITE = {"methods": [{"type": "SG", "label": "SG", "n_samples": 7}, "Sobel", "Random"], "metrics": {"RCAP": {}}}


def config(**options: Any) -> Config:
    return config_of(SUITE, **{"data": {"type": "tiny:sixty_photos"}, "batch_size": 1, **options})


def test_passes_are_those_counted_by_hand() -> None:
    found = plan(config())
    # A prediction, seven gradients, the five images that RCAP looks at of each of three maps, and black for its class.
    assert (found.forward, found.backward) == (1 + 7 + 3 * 5 + 1, 7)
    assert (found.measured, found.images, found.at_once, found.failed) == (2, 60, 1, 0)


@pytest.mark.parametrize(
    "form",
    [
        lambda scores: scores,
        lambda scores: (scores, None),
        lambda scores: [scores],
        lambda scores: {"logits": scores},
        lambda scores: SimpleNamespace(logits=scores, attentions=None),
    ],
)
def test_passes_are_counted_whatever_form_the_outputs_have(form: Callable[[Tensor], Any]) -> None:
    kept: list[Tensor] = []

    class Formed(nn.Linear):
        def forward(self, rows: Tensor) -> Any:
            kept.append(super().forward(rows))
            return form(kept[-1])

    model, passes = Formed(4, 2), Passes()
    with passes.counted(model):
        with torch.no_grad():
            model(torch.rand(3, 4))
        model(torch.rand(5, 4))
        kept[-1].sum().backward()
    assert (passes.forward, passes.backward) == (3 + 5, 5)
    model(torch.rand(7, 4))
    assert passes.forward == 8


def test_small_images_are_measured_as_many_at_a_time_as_a_run_scores() -> None:
    found = plan(config(batch_size=4, limit=30))
    assert (found.measured, found.images, found.at_once) == (8, 30, 4)
    assert (found.forward, found.backward) == (23, 7)


def test_cells_that_fail_are_counted() -> None:
    assert plan(config(data={"type": "tiny:bad_items"}, limit=6, batch_size=6)).failed == 3


MADE = Plan(
    measured=2,
    failed=0,
    images=10,
    at_once=4,
    forward=20.0,
    backward=5.0,
    seconds=2.0,
    opening=3.0,
    memory=2**30,
    device_memory=None,
    abreast=2,
)


def test_time_is_that_of_the_worker_with_most_chunks() -> None:
    one, all_ = MADE.totals()
    # Of three chunks of four, two and two, a worker has two, which is eight images.
    assert (all_.images, all_.forward, all_.backward) == (10, 200, 50)
    assert (all_.seconds, all_.seconds_of_workers) == (3 + 10 * 2, 3 + 8 * 2)
    assert (one.seconds, one.seconds_of_workers) == (5, 5)


def test_workers_on_the_same_cores_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "cores", lambda: 8)
    assert [plan(config(threads=4), workers).abreast for workers in (1, 2, 5)] == [1, 2, 2]


def test_a_decision_against_a_method_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="unknown method to compare with 'IG'"):
        plan(config(until="decided", against="IG"))


def test_the_baseline_of_a_decision_is_the_one_of_the_library() -> None:
    assert config().against == BEST


def test_no_image_is_confident() -> None:
    with pytest.raises(InputError, match="no image has a confidence above 1"):
        plan(config(confidence=1.0))


def test_the_command_writes_nothing_and_says_what_it_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["run", "quick", "--dry-run", "--model", "tiny:model", "--data", "tiny:sixty_photos", "--batch-size", "1"]
    shown = call(*asked, "--workers", "2")
    assert shown.exit_code == 0, shown.output
    assert "the time of 2 workers is that of" in shown.output
    # GAG-85, SmoothGrad and VarGrad of 20 samples each, and one gradient; sixty times as many in all.
    [backward] = [line.split() for line in shown.output.splitlines() if "backward" in line]
    assert backward == ["backward", "passes", "61", "3,660"]
    assert not list(tmp_path.iterdir())


def test_a_run_says_which_metrics_explain_again(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        'methods = ["Sobel", "VG"]\n[metrics.RCAP]\n[metrics.Stable]\ntype = "quantus:MaxSensitivity"\nnr_samples = 2\n'
    )
    asked = ["run", str(tmp_path / "own.toml"), "--model", "tiny:model", "--data", "tiny:sixty_photos", "--limit", "1"]
    result = call(*asked, "--device", "cpu", "--out", str(tmp_path / "RUN"))
    assert result.exit_code == 0, result.output
    said = [line for line in result.stderr.splitlines() if "again" in line]
    told = "Stable explains each image again for each of 2 methods, 2 times at least; "
    assert said == [told + "--dry-run measures what that takes"]
