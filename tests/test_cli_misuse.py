"""Whatever a user gives, the command line answers in one line and an exit status, never with a traceback."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from tiny import image
from typer.testing import CliRunner, Result

from captum_gag.cli import app

MODULE = """
import torch
from torch import nn
from captum_gag.models import Classifier

number = 3

def tiny(tail=None):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5))
    return Classifier("tiny", net if tail is None else nn.Sequential(net, tail()), resize=20, crop=16)

class Raising(nn.Module):
    def forward(self, x):
        raise KeyError("a bug of the user's\\nin two lines")

class Pair(nn.Module):
    def forward(self, x):
        return x, x

class NaN(nn.Module):
    def forward(self, x):
        return x * float("nan")

def raising():
    return tiny(Raising)

def pair():
    return tiny(Pair)

def nan():
    return tiny(NaN)

def squashed():
    return tiny(nn.Sigmoid)

def features():
    return Classifier("features", nn.Conv2d(3, 4, 3), resize=20, crop=16)

def no_items():
    return 3

def one_hot():
    return [(torch.rand(3, 16, 16), torch.tensor([0.0, 1.0, 0.0])) for _ in range(2)]

def text_classes():
    return [(torch.rand(3, 16, 16), "cat")]

def read(returned):
    raise IndexError("nothing here")

def not_a_tensor(returned):
    return "cat"
"""

SUITE = 'methods = ["Saliency"]\n[metrics.RCAP]\n'


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "misused", raising=False)
    (tmp_path / "misused.py").write_text(MODULE)
    (tmp_path / "suite.toml").write_text(SUITE)
    (tmp_path / "text.txt").write_text("no such thing\n")
    (tmp_path / "broken.json").write_text('{"a": [1,')
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other.txt").write_text("")
    image(1).save(tmp_path / "it.png")
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        image(2).save(tmp_path / "photos" / name / "1.png")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def assert_said(result: Result, status: int = 2) -> None:
    """Assert that a command ended as promised: no exception came out, and one line says why."""
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    assert "not foreseen" not in result.output, result.output
    said = [line for line in result.stderr.splitlines() if line.startswith(("captum-gag: ", "skipped ", "failed: "))]
    if status == 2:
        assert len(said) == 1, result.stderr
        # What was expected of a directory is shown as a tree below it.
        rest = result.stderr.splitlines()[result.stderr.splitlines().index(said[0]) + 1 :]
        assert all(line.startswith("  ") for line in rest), result.stderr
    else:
        assert said


EXPLAIN = [
    ["empty"],
    ["none*.png"],
    ["--labels", "none.txt"],
    ["--labels", "it.png"],
    ["--target", "-1"],
    ["--target", "1.5"],
    ["--target", ""],
    ["--target", "²"],
    ["--set", "percentile=70"],
    ["--method", "GAG", "--set", "percentile"],
    ["--method", "GAG", "--set", "=3"],
    ["--method", "GAG", "--set", "percentile=["],
    ["--method", "GAG", "--set", "percentile={a=1}"],
    ["--method", "GAG", "--set", "percentile=nan"],
    ["--method", "GAG", "--set", "type=SG"],
    ["--method", "GAG", "--set", "of=SG"],
    ["--method", "captum:Occlusion", "--set", "sliding_window_shapes=cat"],
    ["--set", "model.colour=red"],
    ["--set", "model.=3"],
    ["--set", "model.type=demo"],
    ["--set", "model.image_size=abc"],
    ["--set", "model.std=0"],
    ["--set", "model.std=[0, 0, 0]"],
    ["--set", "model.output=3"],
    *(
        ["--method", name]
        for name in [
            "",
            ":",
            "captum:",
            "captum:Nope",
            "captum:__init__",
            "none_such:x",
            "misused:number",
            "GAG-",
            "^R",
        ]
    ),
    *(["--method", name] for name in ["GAG-abc", "GAG-101", "Grad-CAM:", "Random:x", "Random:-1", "SG^Q", "a:b:c"]),
    *(["--weights", name] for name in ["none.pth", "empty", "text.txt", "broken.json", "binary", "it.png"]),
    *(["--device", name] for name in ["abacus", "cuda:99", "", "meta", "cpu:x", "cuda:-1"]),
    ["--out", "it.png"],
    ["--out", "it.png/below"],
    *(
        ["--set", f"model.output={name}"]
        for name in ["softmax", "", ":", "none_such:x", "misused:number", "misused:read"]
    ),
    ["--set", "model.output=misused:not_a_tensor"],
    ["--set", "model.output=probabilities"],
    ["--set", "model.output=logit"],
    ["--set", "model.output=log_probabilities"],
    *(["--set", f"model.image_size={size}"] for size in ["0", "-1", "axb", "10x20x30", "1.5", "", "x"]),
    *(
        ["--model", name]
        for name in ["", ":", "a:", ":b", "timm:", "timm:nope", "torchvision:", "resnet19", "json:loads"]
    ),
    *(["--model", f"misused:{name}"] for name in ["number", "none", "no_items", "pair", "squashed", "features"]),
    ["--samples", "1"],
    ["--samples", "many"],
    ["--seed", str(2**70)],
    ["--seed", "-1"],
    ["--format", "zip"],
]


@pytest.mark.parametrize("arguments", EXPLAIN, ids=" ".join)
def test_explain(arguments: list[str]) -> None:
    result = call("explain", "it.png", "--model", "misused:tiny", "--samples", "2", *arguments)
    assert_said(result)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.png"], "none.png: No such file"),
        (["text.txt"], "text.txt: not an image"),
        (["it.png", "--target", "5000"], "it is of class 5000, tiny has 0 to 4"),
        (["it.png", "--target", str(10**30)], f"it is of class {10**30}"),
        (["it.png", "--model", "misused:raising"], "KeyError: .*a bug of the user's.*in two lines"),
        (["it.png", "--model", "misused:nan"], "tiny returned a NaN or an infinity for it"),
        (["it.png", "--set", "model.image_size=2"], "RuntimeError: .*[Kk]ernel size"),
        (["it.png", "--set", "model.channels=1", "--set", "model.mean=[0]", "--set", "model.std=[1]"], "RuntimeError"),
        (["it.png", "--method", "Grad-CAM:nowhere"], "failed: Grad-CAM:nowhere on it: "),
    ],
)
def test_what_costs_its_own_image_is_said(arguments: list[str], said: str) -> None:
    if "--model" not in arguments:
        arguments = [*arguments, "--model", "misused:tiny"]
    result = call("explain", *arguments, "--samples", "2")
    assert_said(result, 1)
    assert re.search(said, result.stderr), result.stderr


SUITES = {
    "broken": "methods = [",
    "binary": "\x00\x01",
    "json": '{"methods": ["SG"]}',
    "nothing": "",
    "no metrics": 'methods = ["SG"]',
    "methods a number": "methods = 3\n[metrics.RCAP]\n",
    "methods of numbers": "methods = [3]\n[metrics.RCAP]\n",
    "methods without a name": "methods = [{ percentile = 3 }]\n[metrics.RCAP]\n",
    "no methods": "methods = []\n[metrics.RCAP]\n",
    "metrics a list": 'methods = ["SG"]\nmetrics = ["RCAP"]\n',
    "a metric a number": 'methods = ["SG"]\n[metrics]\nRCAP = 3\n',
    "an unknown metric": 'methods = ["SG"]\n[metrics.ROAP]\n',
    "a metric that is none": 'methods = ["SG"]\n[metrics.mine]\ntype = "json:loads"\n',
    "a metric of a number": 'methods = ["SG"]\n[metrics.mine]\ntype = "misused:number"\n',
    "an unknown option": SUITE + "colour = 3\n",
    "a table as an option": SUITE + "lower_bound = { a = 1 }\n",
    "an unknown key": "colour = 3\n" + SUITE,
    "a confidence of text": 'confidence = "high"\n' + SUITE,
    "a confidence that is no number": "confidence = nan\n" + SUITE,
    "no samples": "n_samples = 0\n" + SUITE,
    "a title of numbers": "title = 3\n" + SUITE,
    "published numbers": SUITE + "[published]\nRCAP = 3\n",
    "published text": SUITE + '[published]\nRCAP = { SG = "high" }\n',
    "an unknown case": 'case = "imagenet"\n' + SUITE,
    "an unknown paper": SUITE + '[published]\npaper = "other"\ntable = 1\n',
    "of a method that is not there": 'methods = [{ of = "none", transform = "reverse" }]\n[metrics.RCAP]\n',
    "of itself": '[methods]\na = { of = "a", transform = "reverse" }\n[metrics.RCAP]\n',
    "no such transform": '[methods]\na = { of = "SG", transform = "turn" }\n[metrics.RCAP]\n',
    "a transform of numbers": "[methods]\na = { of = 3, transform = 3 }\n[metrics.RCAP]\n",
    "a type of numbers": "[methods]\na = { type = 3 }\n[metrics.RCAP]\n",
    "a metric's type of numbers": 'methods = ["SG"]\n[metrics.a]\ntype = 3\n',
    "steps of text": 'methods = ["SG"]\n[metrics.AOPC]\nsteps = ["a"]\n',
    "steps of 0": 'methods = ["SG"]\n[metrics.AOPC]\nsteps = [0]\n',
    "n_steps of text": 'methods = ["SG"]\n[metrics.AOPC]\nsteps = [2]\nn_steps = "many"\n',
    "variants of numbers": SUITE + "variants = 3\n",
    "variants of a list": SUITE + "variants = [1]\n",
    "n_samples in a method of text": 'methods = [{ type = "SG", n_samples = "many" }]\n[metrics.RCAP]\n',
    "a date": "title = 2024-01-01\n" + SUITE,
    "references that are not there": '[methods]\na = { type = "DeepSHAP", references = "nowhere" }\n[metrics.RCAP]\n',
    "references of a set without": '[methods]\na = { type = "DeepSHAP", references = "train" }\n[metrics.RCAP]\n',
}


@pytest.mark.parametrize("kind", SUITES)
def test_suites(kind: str) -> None:
    Path("bad.toml").write_text(SUITES[kind])
    result = call("run", "bad.toml", "--model", "misused:tiny", "--data", "tiny:photos", "--out", "run", "--limit", "1")
    assert_said(result)
    assert not Path("run").exists()


LAYOUTS = ["isic", "places365", "cifar10", "imagenet-s"]
RUN = [
    *(["--data", name] for name in ["none", "it.png", "empty", ":", "a:", ":b", "json:loads", "builtins:list"]),
    *(["--data", f"misused:{name}"] for name in ["number", "none", "no_items"]),
    *(
        ["--data", f"{kind}:{place}"]
        for kind in ["isic", "places365", "cifar10", "imagenet-s"]
        for place in ["none", "empty"]
    ),
    *(["--data", f"{kind}:text.txt"] for kind in ["isic", "places365", "cifar10", "imagenet-s"]),
    ["--data", "planted:objects"],
    ["--data", "planted:object", "--set", "data.mask=cat"],
    ["--data", "photos"],
    ["--data", "tiny:photos", "--set", "data.colour=red"],
    ["--data", "tiny:photos", "--set", "data.length=many"],
    ["--set", "junk"],
    ["--set", "data.="],
    ["--set", "model.classes=3"],
    ["--set", "data.type=none"],
    ["--limit", "0"],
    ["--limit", "many"],
    ["--confidence", "2"],
    ["--confidence", "nan"],
    ["--dtype", "int8"],
    ["--workers", "0"],
    ["--engine", "cloud"],
    *(["--shard", shard] for shard in ["0/0", "a/b", "5/2", "1", "1/2/3", "", "0/3", "-1/3"]),
    ["--out", "full"],
    ["--out", "it.png"],
    ["--out", "it.png/below"],
    ["--model", "misused:pair"],
    ["--model", "misused:squashed"],
    ["--set", "model.output=probabilities"],
    ["--threads", "0"],
    ["--seed", "-1"],
]


@pytest.mark.parametrize("arguments", RUN, ids=" ".join)
def test_run(arguments: list[str]) -> None:
    result = call("run", "suite.toml", "--model", "misused:tiny", "--data", "tiny:photos", "--out", "run", *arguments)
    assert_said(result)


@pytest.mark.parametrize(("data", "status"), [("misused:one_hot", 1), ("misused:text_classes", 1)])
def test_labels_that_are_no_classes_cost_their_items(data: str, status: int) -> None:
    assert_said(call("run", "suite.toml", "--model", "misused:tiny", "--data", data, "--out", "run"), status)


@pytest.mark.parametrize("suite", ["none", "none.toml", "empty", "it.png", "binary", "broken.json", ""])
def test_what_is_no_suite(suite: str) -> None:
    assert_said(call("run", suite, "--model", "misused:tiny", "--data", "tiny:photos", "--out", "run"))


DESCRIPTIONS = {
    "broken": '{"schema": 2,',
    "a list": "[]",
    "nothing": "{}",
    "a number": "3",
    "no config": '{"schema": 2}',
    "an empty config": '{"schema": 2, "config": {}, "identity": {}}',
    "lists": '{"schema": 2, "config": [], "identity": []}',
    "another schema": '{"schema": 99, "config": {}, "identity": {}}',
    "an unknown option": json.dumps(
        {"schema": 2, "config": {"suite": {}, "model": {}, "data": {}, "colour": 3}, "identity": {}}
    ),
    "an empty suite": json.dumps({"schema": 2, "config": {"suite": {}, "model": {}, "data": {}}, "identity": {}}),
}


@pytest.mark.parametrize("command", ["resume", "table", "report", "reliability"])
@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_runs_whose_description_is_broken(command: str, kind: str) -> None:
    Path("run").mkdir()
    Path("run", "run.json").write_text(DESCRIPTIONS[kind])
    assert_said(call(command, "run"))


@pytest.mark.parametrize("command", ["resume", "table", "report", "reliability"])
@pytest.mark.parametrize("place", ["none", "empty", "full", "it.png", "text.txt", "binary", ""])
def test_what_is_no_run(command: str, place: str) -> None:
    assert_said(call(command, place))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    (place / "suite.toml").write_text(SUITE)
    given = ["--model", "tiny:model", "--data", "tiny:photos", "--limit", "2", "--out", str(place / "run")]
    assert call("run", str(place / "suite.toml"), *given).exit_code == 0
    return place / "run"


@pytest.mark.parametrize(
    "arguments",
    [
        ["table", "--out", "it.png"],
        ["report", "--out", "empty"],
        ["report", "--images", "0"],
        ["table", "--worst", "0"],
        ["table", "--worst", "2", "--compare", "Saliency", "SG"],
        ["table", "--method", "Saliency"],
        ["table", "--worst", "2", "--method", "SG"],
        ["reliability", "--out", "it.png"],
        ["resume", "--shard", "0/1"],
        ["resume", "--workers", "0"],
        ["resume", "--engine", "cloud"],
    ],
    ids=" ".join,
)
def test_options_about_a_run(arguments: list[str], made: Path) -> None:
    assert_said(call(arguments[0], str(made), *arguments[1:]))


TABLES = {
    "no columns": "a,b\n1,2\n",
    "header only": "image,method,metric,score\n",
    "empty": "",
    "text scores": "image,method,metric,score\na,b,RCAP,high\n",
    "another metric": "image,method,metric,score\na,SG,mine,0.5\nb,SG,mine,0.4\n",
    "binary": "\x00\x01\x02",
    "a direction that is none": "image,method,metric,score,higher_is_better\na,SG,mine,0.5,perhaps\n",
}


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json"])
@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_scores(kind: str, suffix: str) -> None:
    Path(f"scores.{suffix}").write_text(TABLES[kind])
    assert_said(call("reliability", f"scores.{suffix}"))


@pytest.mark.parametrize("arguments", [["none"], ["text.txt"], ["empty"]])
def test_training(arguments: list[str]) -> None:
    assert_said(call("train", "cifar10", *arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ["objects", "--out", "w.safetensors"],
        ["object"],
        ["object", "--out", "w.pth"],
        ["object", "--out", "w.safetensors", "--epochs", "0"],
    ],
)
def test_training_on_planted_images(arguments: list[str]) -> None:
    assert_said(call("train", "planted", *arguments))


def test_a_pickled_model_as_weights() -> None:
    torch.save(torch.nn.Linear(2, 2), "whole.pth")
    assert_said(call("explain", "it.png", "--model", "misused:tiny", "--weights", "whole.pth"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", ""),
        ("run", "quick", "--data", "", "--out", "run"),
        ("run", "quick", "--data=", "--out", "run"),
        ("explain", "it.png", "--weights", ""),
        ("report", ""),
        ("run", "quick", "--out", ""),
    ],
    ids=" ".join,
)
def test_an_empty_argument_is_not_the_default(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.output == "captum-gag: an argument is empty; give a value, or leave its option out\n"
