"""The commands of runs and reliability, as a user calls them."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scoring import call
from tiny import image, write_image

from captum_gag import reliability
from captum_gag.cli.commands import print_json
from captum_gag.data.cifar10 import CLASSES
from captum_gag.models.cifar10 import Cifar10Net, write_weights
from captum_gag.models.loading import best_device
from captum_gag.models.reliance import Reliance
from captum_gag.runs.store import Run

SUITE = """
title = "small"
n_samples = 4
methods = ["GAG-85", "SG", "Sobel"]
[metrics.RCAP]
[metrics.DAUC]
type = "Deletion"
n_steps = 3
"""


def begin(out, suite, *options, data="tiny:photos"):
    """Run a suite, which is written beside the run."""
    out.parent.mkdir(exist_ok=True)
    (out.parent / f"{out.name}.toml").write_text(suite)
    return call("run", out.parent / f"{out.name}.toml", "--model", "tiny:model", "--data", data, "--out", out, *options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("cli")
    result = begin(place / "run", SUITE)
    assert result.exit_code == 0, result.output
    assert "GAG-85" in result.output
    return place / "run"


def test_run_keeps_scores_with_the_promised_columns_and_resumes_as_it_was_asked(run):
    scores = pd.read_parquet(run / "scores")
    assert {"image", "method", "metric", "score", "base", "transform", "steps", "curve_y"} <= set(scores.columns)
    assert len(scores) == 6 * 4 * 2
    before = (run / "run.json").read_bytes()
    result = call("resume", run, "--device", "cpu:0", "--threads", "2")
    assert (result.exit_code, (run / "run.json").read_bytes()) == (0, before)
    assert "6 of 6 images are done already" in result.stderr


def test_ones_own_methods_and_metrics_are_found_beside_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [each for each in sys.path if each not in ("", str(tmp_path))])
    (tmp_path / "mine_only_here.py").write_text(
        "from captum_gag.metrics.rcap import RCAPMetric as Mine\n"
        "def map_of(model, inputs, targets, n_samples, seed):\n    return inputs.abs()\n"
    )
    result = begin(Path("run"), 'methods = ["mine_only_here:map_of"]\n[metrics.Mine]\ntype = "mine_only_here:Mine"\n')
    assert result.exit_code == 0, result.output
    monkeypatch.delitem(sys.modules, "mine_only_here")
    assert call("table", "run").exit_code == 0
    # To look at a run, nothing of one's own is needed.
    (tmp_path / "mine_only_here.py").unlink()
    sys.modules.pop("mine_only_here", None)
    assert call("table", "run").exit_code == 0
    assert call("report", "run").exit_code == 0


def test_a_run_until_decided_shows_its_decisions(tmp_path):
    suite = 'methods = ["VG", "Random", "Sobel"]\ndisplaced = ""\n[metrics.RCAP]\n'
    until = ["--until", "decided", "--against", "VG", "--alpha", 0.1]
    result = begin(tmp_path / "run", suite, *until, data="tiny:sixty_photos")
    assert result.exit_code == 0, result.output
    assert "RCAP: VG against" in result.output
    assert "2 decided, 0 open" in result.stderr
    shown = call("table", tmp_path / "run")
    assert "better at" in shown.output
    decisions = pd.read_csv(tmp_path / "run" / "tables" / "decisions.csv")
    assert decisions["decision"].tolist() == ["better", "better"]
    assert decisions["rival_role"].tolist() == ["random", "edges"]
    assert "Sobel \N{DAGGER}" in shown.output
    tables = json.loads(call("table", tmp_path / "run", "--json").output)
    for what in ([], ["--compare", "VG", "Random"]):
        refused = call("table", tmp_path / "run", "--margin", "0.1", *what)
        assert (
            refused.stderr == "captum-gag: --margin needs intervals, which a run until decided has not; leave it out\n"
        )
    rivals = [(row["rival"], row["decision"]) for row in tables["decisions"]]
    assert rivals == [("Random", "better"), ("Sobel", "better")]
    assert [row["method"] for row in tables["table"]] == ["VG", "Random", "Sobel"]
    assert {row["p"] for row in tables["table"]} == {None}
    assert [row["state"] for row in tables["verdict"]] != ["decided"], "there is no other explanation"
    assert call("report", tmp_path / "run").exit_code == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<h3>Decided</h3>" in page
    shown = page.partition("<script")[0]
    assert not re.search(r">(\w+_)?p</button>|>rank|[*≈]\s*\[| p [=<] ", shown), "neither p nor star nor rank"
    assert "--until decided --alpha 0.1 --against VG" in page


def test_table_for_people_and_for_machines(run):
    result = call("table", run)
    assert result.exit_code == 0
    assert (run / "tables" / "table.md").read_text().startswith("|")
    assert result.output.lstrip().startswith("By RCAP: ")
    tables = json.loads(call("table", run, "--json").output)
    assert list(tables) == ["verdict", "table"]
    assert [row["metric"] for row in tables["verdict"]] == ["RCAP", "DAUC"]
    assert [(row["metric"], row["method"]) for row in tables["table"]][:2] == [("RCAP", "GAG-85"), ("RCAP", "SG")]


def test_two_methods_beside_each_other(run, tmp_path):
    result = call("table", run, "--compare", "GAG-85", "SG", "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "positive where GAG-85 is" in " ".join(result.output.split())
    assert {path.name for path in tmp_path.iterdir()} == {"pair.md", "pair.csv", "pair_images.csv"}
    tables = json.loads(call("table", run, "--compare", "GAG-85", "SG", "--json", "--out", tmp_path).output)
    assert {(row["method"], row["rival"]) for row in tables["pair"]} == {("GAG-85", "SG")}
    assert {row["ahead"] for row in tables["images"]} <= {"GAG-85", "SG"}


def test_the_worst_images(run, tmp_path):
    result = call("table", run, "--method", "SG", "--worst", 2, "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "RCAP, SG: the 2 worst images" in result.output
    rows = json.loads(call("table", run, "--method", "SG", "--worst", 2, "--json", "--out", tmp_path).output)["worst"]
    lowest = Run.load(run).scores().query("method == 'SG' and metric == 'RCAP'")["score"].min()
    assert rows[0]["score"] == pytest.approx(lowest)
    assert len(pd.read_csv(tmp_path / "worst.csv")) == len(rows)


def test_a_run_that_ended_is_read_once_and_from_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr("captum_gag.runs.collecting.FEW", 1)
    assert begin(tmp_path / "run", SUITE, "--limit", 3).exit_code == 0
    scores, read, files = Run.scores, [], []
    monkeypatch.setattr(Run, "scores", lambda run: read.append(run) or scores(run))
    monkeypatch.setattr(Run, "records", lambda run, *image: files.append(image))
    rows = json.loads(call("table", tmp_path / "run", "--json").output)["table"]
    assert {row["images"] for row in rows} == {3}
    assert (len(read), files) == (1, [])


PAPER = """
methods = ["GAG-0", "GAG-25", "GAG-45", "GAG-65", "GAG-85", "SG"]
n_samples = 2
[published]
paper = "huang-liu-2024"
table = 1
[metrics.{}]
"""


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """Return runs of the same methods by one metric each."""
    place = tmp_path_factory.mktemp("paper")
    for metric, kind in (("RCAP", ""), ("DAUC", 'type = "Deletion"\nn_steps = 2\n')):
        assert begin(place / metric, PAPER.format(metric) + kind, "--limit", 3).exit_code == 0
    return place / "RCAP", place / "DAUC"


def test_the_papers_layout_of_several_runs(two_runs, tmp_path):
    result = call("papers", "tables", *two_runs)
    assert result.exit_code == 0, result.output
    tables = two_runs[0] / "tables"
    names = [f"huang-liu-2024-table-1.{ending}" for ending in ("md", "tex", "csv")]
    assert sorted(path.name for path in tables.iterdir()) == sorted(names)
    assert result.output.splitlines()[-3:] == [str(tables / name) for name in names]
    text = (tables / names[0]).read_text()
    assert "### ImageNet-S with ResNet-50; ours: model on photos" in text
    assert "RCAP (n = 3)" in text
    assert "DAUC (n = 3)" in text
    rows = pd.read_csv(tables / names[2])
    assert len(rows) == 9 * 11
    ours = {(row["row"], row["column"]): row["ours"] for row in rows.dropna(subset="ours").to_dict("records")}
    assert {column for _, column in ours} == {"RCAP", "DAUC"}
    full = json.loads(call("table", *two_runs, "--json", "--out", tmp_path / "full").output)["table"]
    means = {(row["method"], row["metric"]): row["mean"] for row in full}
    # The displaced maps are in the full table, and in none of the paper's.
    assert len(means) == 12 + 2
    assert all(means[key] == pytest.approx(value) for key, value in ours.items())
    assert {row["published"] for row in full if row["method"] == "GAG-85"} == {0.437721, 0.1042}
    assert call("report", two_runs[0], "--out", tmp_path / "page.html").exit_code == 0
    assert "(published 0.438)" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_papers_layout_of_the_second_paper(tmp_path):
    suite = (
        'methods = ["Sensitivity", "Gradient x Input", "Sobel"]\n[metrics.Faithfulness]\nn_pixels = 5\n'
        'variants.mean = { perturb_baseline = "mean" }\n'
    )
    assert begin(tmp_path / "run", suite, "--limit", 3).exit_code == 0
    assert call("papers", "tables", tmp_path / "run").exit_code == 0
    files = sorted(path.name for path in (tmp_path / "run" / "tables").iterdir())
    assert files == [f"tomsett-2019-table-1.{ending}" for ending in ("csv", "md", "tex")]


def test_runs_that_do_not_fit_together_have_no_table(two_runs, run, tmp_path):
    twice = call("table", two_runs[0], two_runs[0])
    assert twice.exit_code == 2
    assert "are double" in twice.stderr
    other = call("table", two_runs[0], run)
    assert f"{two_runs[0]} and {run} differ in n_samples" in other.stderr
    assert begin(tmp_path / "isic", 'case = "isic"\n' + PAPER.format("RCAP"), "--limit", 2).exit_code == 0
    both = call("table", two_runs[0], tmp_path / "isic")
    assert "the runs are of the cases imagenet-s, isic, which have a table each" in both.stderr
    assert call("papers", "tables", tmp_path / "isic", two_runs[0]).exit_code == 0
    columns = pd.read_csv(tmp_path / "isic" / "tables" / "huang-liu-2024-table-1.csv")
    filled = set(columns.dropna(subset="ours")["group"])
    assert filled == {
        f"{case}; ours: model on photos" for case in ("ImageNet-S with ResNet-50", "ISIC with EfficientNet")
    }
    assert "no table of a paper has scores for half of its rows" in call("papers", "tables", run).stderr


def test_reliability_of_a_run_and_of_ones_own_numbers(run, tmp_path):
    result = call("reliability", run, "--out", tmp_path / "a")
    assert result.exit_code == 0, result.output
    assert "RCAP: higher is better. Alpha" in result.output
    assert (tmp_path / "a" / "report.html").exists()
    rng = np.random.default_rng(0)
    scores = {"x": rng.random(20), "y": rng.random(20) + 5, "z": rng.random(20) + 10}
    own = reliability.from_arrays({"mine": scores}, levels="metric", higher_is_better={"mine": True})
    own.to_csv(tmp_path / "own.csv", index=False)
    result = call("reliability", tmp_path / "own.csv", "--out", tmp_path / "b")
    assert "Alpha 1.00 [0.76, 1.00] (99.9 %), reliable" in result.output


def test_a_failing_cell_is_listed_and_the_exit_status_tells(tmp_path):
    result = begin(tmp_path / "run", 'methods = ["SG", "Grad-CAM:nowhere"]\n[metrics.RCAP]\n')
    assert result.exit_code == 1
    assert "failed: Grad-CAM:nowhere, 6 cells, first 000000: " in result.stderr


def test_reliability_of_a_run_whose_first_image_is_broken_and_has_no_class(tmp_path):
    for number in (1, 2, 3):
        write_image(tmp_path / "data" / f"{number}.png", number)
    (tmp_path / "data" / "0.png").write_bytes(b"no image")
    assert begin(tmp_path / "r", SUITE, data=tmp_path / "data").exit_code == 1
    result = call("reliability", tmp_path / "r", "--out", tmp_path / "report")
    assert result.exit_code == 0, result.output
    found = pd.read_csv(tmp_path / "report" / "inter_rater.csv")
    assert found["images"].tolist() == [3, 3]


def test_json_for_machines_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([{"score": float("nan"), "bound": float("inf"), "methods": ("SG", 0.5)}])
    strict = json.loads(capsys.readouterr().out, parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    assert strict == [{"score": None, "bound": None, "methods": ["SG", 0.5]}]


@pytest.fixture
def scored(tmp_path):
    rng = np.random.default_rng(0)
    table = reliability.from_arrays({"RCAP": {"a": rng.random(12), "b": rng.random(12), "Sobel": rng.random(12)}})
    image = table["image"].astype(int)
    table = table.assign(target=image % 2, probability=np.linspace(0.5, 1, 12)[image])
    table.to_parquet(tmp_path / "scores.parquet")
    return tmp_path / "scores.parquet"


def test_reliability_by_a_column_writes_each_table_of_all_groups(scored, tmp_path):
    result = call("reliability", scored, "--out", tmp_path / "out", "--by", "target")
    assert result.exit_code == 0, result.output
    found = pd.read_csv(tmp_path / "out" / "summary_by_group.csv")
    table = pd.read_parquet(scored)
    expected = table.groupby(["target", "method"], sort=False)["score"].mean()
    assert found.set_index(["target", "method"])["mean"].to_dict() == pytest.approx(expected.to_dict())
    page = (tmp_path / "out" / "report.md").read_text()
    assert "## Distribution of the scores over the images By target" in page


def test_reliability_against_a_truth_prints_four_marks(scored, tmp_path):
    table = pd.read_parquet(scored)
    right = table.assign(metric="mass", score=table["score"] ** 2, higher_is_better=True)
    pd.concat([table.assign(higher_is_better=True), right]).to_csv(tmp_path / "both.csv", index=False)
    result = call("reliability", tmp_path / "both.csv", "--out", tmp_path / "out", "--truth", "mass")
    assert result.exit_code == 0, result.output
    assert "reliable" in result.output
    marks = pd.read_csv(tmp_path / "out" / "marks.csv").set_index("metric")
    assert (marks.loc["RCAP", "valid"], marks.loc["RCAP", "wrong"]) == ("yes", 0)
    assert "yes (0%)" in result.output


def test_reliability_by_ranges_of_confidence(scored, tmp_path):
    given = ["--by", "probability", "--edges", "0.6,0.9"]
    assert call("reliability", scored, "--out", tmp_path / "out", *given).exit_code == 0
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
    scored = pd.read_parquet(tmp_path / "out" / "run" / "scores")
    controls = {"Random orderings", "Sensitivity displaced"}
    assert set(scored["method"]) - controls == {"Sensitivity", "Gradient x Input", "DeepSHAP", "Deep Taylor", "Sobel"}
    assert controls <= set(scored["method"])
    assert not scored["score"].isna().any()
    again = call(*arguments)
    assert again.exit_code == 0
    assert "3 of 3 images are done already" in again.stderr


@pytest.mark.parametrize(("followed", "status"), [(995, 0), (900, 2)])
def test_a_network_whose_reason_is_not_the_planted_one_is_refused(monkeypatch, followed, status):
    asked = []

    def trained(data, out, recipe, device, say):
        asked.append((data.spec(), str(out), recipe.epochs, recipe.seed, device))
        return Reliance(data.kind, 1000, 990, {"object": followed, "distractor": 998, "background": 1000})

    monkeypatch.setattr("captum_gag.models.planted.train_planted", trained)
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
