"""The commands that judge metrics, as a user calls them."""

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import image
from typer.testing import CliRunner

from captum_gag import reliability
from captum_gag.cli import app
from captum_gag.data.cifar10 import CLASSES
from captum_gag.models.cifar10 import Cifar10Net, write_weights
from captum_gag.models.loading import best_device
from captum_gag.models.reliance import Reliance


def call(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture
def scores(tmp_path):
    rng = np.random.default_rng(0)
    table = reliability.from_arrays({"RCAP": {"a": rng.random(12), "b": rng.random(12), "Sobel": rng.random(12)}})
    image = table["image"].astype(int)
    table = table.assign(target=image % 2, probability=np.linspace(0.5, 1, 12)[image])
    table.to_parquet(tmp_path / "scores.parquet")
    return tmp_path / "scores.parquet"


def test_reliability_by_a_column_writes_each_table_of_all_groups(scores, tmp_path):
    result = call("reliability", scores, "--out", tmp_path / "out", "--by", "target")
    assert result.exit_code == 0, result.output
    found = pd.read_csv(tmp_path / "out" / "summary_by_group.csv")
    table = pd.read_parquet(scores)
    expected = table.groupby(["target", "method"], sort=False)["score"].mean()
    assert found.set_index(["target", "method"])["mean"].to_dict() == pytest.approx(expected.to_dict())
    page = (tmp_path / "out" / "report.md").read_text()
    assert "## Distribution of the scores over the images By target" in page


def test_reliability_against_a_truth_prints_four_marks(scores, tmp_path):
    table = pd.read_parquet(scores)
    right = table.assign(metric="mass", score=table["score"] ** 2, higher_is_better=True)
    pd.concat([table.assign(higher_is_better=True), right]).to_csv(tmp_path / "both.csv", index=False)
    result = call("reliability", tmp_path / "both.csv", "--out", tmp_path / "out", "--truth", "mass")
    assert result.exit_code == 0, result.output
    assert "reliable" in result.output
    marks = pd.read_csv(tmp_path / "out" / "marks.csv").set_index("metric")
    assert (marks.loc["RCAP", "valid"], marks.loc["RCAP", "wrong"]) == ("yes", 0)
    assert "Of the pairs of explanations it orders 0%" in result.output


def test_reliability_by_ranges_of_confidence(scores, tmp_path):
    given = ["--by", "probability", "--edges", "0.6,0.9"]
    assert call("reliability", scores, "--out", tmp_path / "out", *given).exit_code == 0
    found = pd.read_csv(tmp_path / "out" / "inter_rater_by_group.csv")
    assert list(found["probability"]) == ["<= 0.6", "0.6 to 0.9", ">= 0.9"]
    assert found["images"].sum() == 12


@pytest.mark.slow
def test_the_second_paper_in_one_command_that_goes_on(tmp_path):
    for split in ("train", "test"):
        for target, label in enumerate(CLASSES):
            folder = tmp_path / "data" / split / label
            folder.mkdir(parents=True)
            for number in range(5):
                image(10 * target + number, (32, 32)).save(folder / f"{number}.png")
    torch.manual_seed(0)
    statistics = ((0.5,) * 3, (0.25,) * 3)
    write_weights(tmp_path / "w.safetensors", Cifar10Net().state_dict(), statistics)
    given = ["--weights", tmp_path / "w.safetensors", "--limit", 3, "--random-orderings", 1]
    arguments = ["papers", "reliability", tmp_path / "data", "--out", tmp_path / "out", *given]
    first = call(*arguments)
    assert first.exit_code == 0, first.output
    assert "Table 1: Krippendorff's alpha" in first.output
    names = {path.name for path in (tmp_path / "out" / "tables").iterdir()}
    assert {f"tomsett-2019-table-{n}.{end}" for n in (1, 2) for end in ("md", "tex", "csv")} <= names
    assert {"curves.png", "distributions.png"} <= {path.name for path in (tmp_path / "out" / "reliability").iterdir()}
    scores = pd.read_parquet(tmp_path / "out" / "run" / "scores")
    assert set(scores["method"]) == {
        "Sensitivity", "Gradient x Input", "DeepSHAP", "Deep Taylor", "Sobel", "Random orderings"
    }  # fmt: skip
    assert not scores["score"].isna().any()
    again = call(*arguments)
    assert again.exit_code == 0
    assert "3 of 3 images are done already" in again.stderr


@pytest.mark.parametrize(("followed", "status"), [(995, 0), (900, 2)])
def test_a_network_whose_reason_is_not_the_planted_one_is_refused(monkeypatch, followed, status):
    asked = []

    def trained(data, out, recipe, device, say):
        asked.append((data.spec(), str(out), recipe.epochs, recipe.seed, device))
        return Reliance(data.kind, 1000, 990, {"object": followed, "distractor": 998, "background": 1000})

    monkeypatch.setattr("captum_gag.models.planting.train_planted", trained)
    result = call("train", "planted", "both", "--out", "w.safetensors", "--epochs", 3, "--seed", 2)
    spec = {"type": "planted", "kind": "both", "mask": "reason", "split": "train", "n_images": 4000, "seed": 0}
    assert asked == [(spec, "w.safetensors", 3, 2, best_device())]
    assert result.exit_code == status
    assert "distractor replaced: the prediction stays in 99.8% of images" in result.stdout
    assert ("w.safetensors" in result.stdout) == (not status)
    if status:
        [line] = result.stderr.splitlines()
        assert "relies on more, or on less, than the object of planted:both: object replaced: " in line
        assert "in 90.0% of images" in line
