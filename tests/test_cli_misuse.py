"""Whatever a user gives, the command line answers in one line and an exit status, never with a traceback."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from scoring import call
from tiny import write_image
from typer.testing import Result

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

raising, pair, nan, squashed = (lambda tail=tail: tiny(tail) for tail in (Raising, Pair, NaN, nn.Sigmoid))

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
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user_module: Any) -> None:
    monkeypatch.chdir(tmp_path)
    user_module("misused", MODULE)
    texts = {"suite.toml": SUITE, "text.txt": "no such thing\n", "broken.json": '{"a": [1,'}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "other.txt").write_text("")
    for name in ("it.png", "mask.png", "photos/a/1.png", "photos/b/1.png"):
        write_image(tmp_path / name)


def assert_said(result: Result, status: int = 2, said: str = "") -> None:
    """Assert that a command ended as promised: no exception came out, and one line says why."""
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    assert "not foreseen" not in result.output, result.output
    lines = result.stderr.splitlines()
    found = [line for line in lines if line.startswith(("captum-gag: ", "skipped ", "failed: "))]
    assert found
    assert re.search(said, " ".join(found)), result.stderr
    if status == 2:
        assert len(found) == 1, result.stderr
        # What was expected of a directory is shown as a tree below it.
        assert all(line.startswith("  ") for line in lines[lines.index(found[0]) + 1 :]), result.stderr


MISUSE = {
    "explain it.png --model misused:tiny --samples 2": [
        *("empty", "none*.png", "--labels none.txt", "--labels it.png"),
        ("--overlay --labels", "'--labels' requires an argument; see captum-gag --help"),
        ("--bogus", "--bogus.*; see .* explain --help"),
        *("--target -1", "--target 1.5", "--target ''", "--target ²", ("--target cat", "--target")),
        ("--samples 1", "--samples.* 2"),
        *("--samples many", f"--seed {2**70}", ("--seed -1", "--seed.* 0")),
        *("--out it.png/below", ("--out it.png", r"it\.png")),
        *("--method ''", "--method :", "--method captum:", "--method captum:Nope", "--method captum:__init__"),
        *("--method none_such:x", "--method misused:number", "--method GAG-", "--method ^R", "--method a:b:c"),
        *("--method GAG-abc", "--method GAG-101", "--method Grad-CAM:", "--method Random:x", "--method Random:-1"),
        *("--method SG^Q", ("--method SGG", "'SGG'.*SG")),
        ("--method captum:Occlusion", "needs sliding_window_shapes"),
        "--method captum:Occlusion --set sliding_window_shapes=cat",
        ("--set percentile=70", "--set KEY=VALUE is for --method"),
        ("--method SG --set percentil=70", "none of the methods has an option 'percentil'"),
        ("--method SG --set percentile=70", "none of the methods has an option 'percentile'"),
        ("--method GAG --set guide=mine", "guide is 'mine', expected 'paper'"),
        *("--method GAG --set percentile", "--method GAG --set =3", "--method GAG --set percentile=["),
        *("--method GAG --set percentile={a=1}", "--method GAG --set percentile=nan"),
        *("--method GAG --set type=SG", "--method GAG --set of=SG"),
        *("--weights empty", "--weights text.txt", "--weights broken.json", "--weights binary", "--weights it.png"),
        ("--weights none.pth", r"none\.pth"),
        *("--device cuda:99", "--device ''", "--device meta", "--device cpu:x", "--device cuda:-1"),
        ("--device abacus", "device 'abacus'"),
        *("--model ''", "--model :", "--model a:", "--model :b", "--model timm:", "--model timm:nope"),
        *("--model torchvision:", "--model json:loads", ("--model resnet19", "resnet18")),
        *("--model misused:number", "--model misused:none", "--model misused:no_items", "--model misused:pair"),
        *("--model misused:squashed", "--model misused:features"),
        ("--set model", "option 'model' must be KEY=VALUE"),
        ("--set data.split=train", r"--set data\.split=\.\.\. must be model\.KEY=VALUE or KEY=VALUE"),
        *("--set model.colour=red", "--set model.=3", "--set model.type=demo", "--set model.image_size=abc"),
        *("--set model.std=0", "--set 'model.std=[0, 0, 0]'", "--set model.output=3", "--set model.output=softmax"),
        ("--set model.output=", "option 'model.output=' must be KEY=VALUE"),
        *("--set 'model.output= '", "--set model.output=:", "--set model.output=none_such:x"),
        *("--set model.output=misused:number", "--set model.output=misused:read"),
        *("--set model.output=misused:not_a_tensor", "--set model.output=probabilities"),
        *("--set model.output=logit", "--set model.output=log_probabilities", "--set model.image_size=0"),
        *("--set model.image_size=-1", "--set model.image_size=axb", "--set model.image_size=10x20x30"),
        *("--set model.image_size=1.5", "--set model.image_size=", "--set model.image_size=x"),
    ],
    "run suite.toml --model misused:tiny --data tiny:photos --out run": [
        *("--data none", "--data it.png", "--data empty", "--data :", "--data a:", "--data :b", "--data json:loads"),
        *("--data builtins:list", "--data misused:number", "--data misused:none", "--data misused:no_items"),
        *(f"--data {kind}:none" for kind in ("isic", "places365", "cifar10", "imagenet-s")),
        *(f"--data {kind}:empty" for kind in ("isic", "places365", "cifar10", "imagenet-s")),
        *(f"--data {kind}:text.txt" for kind in ("isic", "places365", "cifar10", "imagenet-s")),
        *("--data planted:objects", "--data planted:object --set data.mask=cat", "--data photos"),
        ("--data tiny:photos --set data.colour=red", "unknown option 'colour'|unexpected keyword argument 'colour'"),
        *("--data tiny:photos --set data.length=many", "--set junk", "--set data.=", "--set model.classes=3"),
        ("--set colour=red", r"must be model\.KEY=VALUE or data\.KEY=VALUE"),
        *("--set data.type=none", "--set model.output=probabilities", "--limit 0", "--limit many"),
        *("--confidence 2", "--confidence nan", "--workers 0", "--threads 0", "--seed -1"),
        ("--dtype int8", "'int8' is not one of 'float32'"),
        ("--engine cloud", "'cloud' is not one of 'local', 'ray'"),
        *("--shard 0/0", "--shard a/b", "--shard 5/2", "--shard 1", "--shard 1/2/3", "--shard ''", "--shard 0/3"),
        *("--shard -1/3", ("--shard 2", "--shard '2' must be I/N")),
        *("--out full", "--out it.png", "--out it.png/below", "--model misused:pair", "--model misused:squashed"),
        *("--model resnet19", "--model tiny:nothing", "--device cuda:77", "--device gpu", "--confidence 1"),
        ("--until never", "'never' is not one of 'done', 'decided'"),
        ("--alpha 0.1", "give --until decided with them"),
        ("--case imagenet", "'imagenet' is not one of 'imagenet-s', 'isic', 'places365'"),
    ],
    "run quick --out run": [
        ("--case imagenet-s", "case imagenet-s needs its photographs; give --data DIR"),
        ("--case isic --data empty", "case isic needs weights of efficientnet_b4 for its 8 or 9 classes"),
        ("--case imagenet-s --data empty --weights IMAGENET1K_V3", "IMAGENET1K_V1, IMAGENET1K_V2"),
    ],
    "run": [
        *(f"{name} --model misused:tiny --data tiny:photos --out run" for name in ("none", "none.toml", "empty")),
        *(f"{name} --model misused:tiny --data tiny:photos --out run" for name in ("it.png", "binary", "broken.json")),
        ("'' --out run", "an argument is empty"),
        ("fast --out run", "there is no suite 'fast'"),
        ("quick", "--out is missing"),
    ],
    "list": [
        ("methods GAG850", "unknown method 'GAG850'"),
        ("metrics RCAPP", "unknown metric 'RCAPP'; did you mean RCAP"),
        ("data isi", "unknown data set 'isi'; did you mean isic"),
        ("models dmeo", "unknown model 'dmeo'; did you mean demo"),
        ("suites quik", "there is no suite 'quik'"),
        ("method", "Invalid value for 'kind': 'method' is not one of 'methods'"),
    ],
    "reliability": [
        ("scores.csv --by colour", "no column 'colour' to group by"),
        ("scores.csv --by method --edges low", "--edges 'low' must be numbers between commas"),
        ("scores.csv --edges 0.5", "which cut nothing without by"),
        ("scores.csv --truth other", "must be metrics of the scores, of RCAP"),
    ],
    "train": [
        *("cifar10 none", "cifar10 text.txt", ("cifar10 empty", "no CIFAR-10 train images found")),
        *("planted objects --out w.safetensors", "planted object", "planted object --out w.pth"),
        "planted object --out w.safetensors --epochs 0",
    ],
    "papers figure": [
        ("arias it.png", "'arias' is not one of 'maps', 'areas', 'propositions'"),
        ("areas it.png --method SG --method IG", "--method IG: areas is of one method"),
        ("propositions it.png --method SG", "--method SG: propositions is of no method"),
        ("maps it.png --at 0.5,0.5", "--mask and --at are options of propositions"),
        ("areas it.png --method SGG", "SGG"),
        ("propositions it.png --at left", "--at 'left' must be shares of width and height"),
        ("propositions it.png it.png --mask mask.png", r"--mask mask\.png is of one image, and 2 are given"),
        ("maps it.png --set percentile=3", r"--set percentile=\.\.\. must be model\.KEY=VALUE"),
    ],
}
"""By the beginning of a command, how it goes on, and what is then said."""
PLACES = ("none", "empty", "full", "it.png", "text.txt", "binary", "''")
MISUSE |= {command: list(PLACES) for command in ("resume", "table", "report", "papers claims", "papers tables")}
MISUSE["reliability"] += PLACES
ROWS = [(f"{begin} {row[0]}", row[1]) for begin, rows in MISUSE.items() for row in rows if isinstance(row, tuple)]
ROWS += [(f"{begin} {row}", "") for begin, rows in MISUSE.items() for row in rows if isinstance(row, str)]


@pytest.mark.parametrize(("command", "said"), ROWS)
def test_misuse(command: str, said: str) -> None:
    Path("scores.csv").write_text("image,method,metric,score\na,SG,RCAP,0.5\nb,SG,RCAP,0.4\n")
    assert_said(call(*shlex.split(command)), said=said)
    assert not Path("run").exists()
    assert not Path("captum-gag-out").exists() or not list(Path("captum-gag-out").iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("none.png", r"none\.png: No such file"),
        ("text.txt", r"text\.txt: not an image"),
        ("it.png --target 5", "skipped it is of class 5, tiny has 0 to 4"),
        (f"it.png --target {10**30}", f"it is of class {10**30}"),
        ("it.png --model misused:raising", "KeyError: .*a bug of the user's.*in two lines"),
        ("it.png --model misused:nan", "tiny returned a NaN or an infinity for it"),
        ("it.png --set model.image_size=2", "RuntimeError: .*[Kk]ernel size"),
        ("it.png --set model.channels=1 --set model.mean=[0] --set model.std=[1]", "RuntimeError"),
        ("it.png --method Grad-CAM:nowhere", "failed: Grad-CAM:nowhere on it: "),
    ],
)
def test_what_costs_its_own_image_is_said(arguments: str, said: str) -> None:
    assert_said(call("explain", "--model", "misused:tiny", "--samples", "2", *shlex.split(arguments)), 1, said)


@pytest.mark.parametrize("data", ["misused:one_hot", "misused:text_classes"])
def test_labels_that_are_no_classes_cost_their_items(data: str) -> None:
    assert_said(call("run", "suite.toml", "--model", "misused:tiny", "--data", data, "--out", "run"), 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    (place / "suite.toml").write_text(SUITE)
    given = ["--model", "tiny:model", "--data", "tiny:photos", "--limit", "2", "--out", str(place / "run")]
    assert call("run", str(place / "suite.toml"), *given).exit_code == 0
    return place / "run"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("table --out it.png", ""),
        ("report --out empty", ""),
        ("report --images 0", "must be a number of images above 0, or all"),
        ("report --images none", "must be a number of images above 0, or all"),
        ("table --worst 0", ""),
        ("table --worst 2 --compare Saliency SG", "--compare and --worst are two tables"),
        ("table --compare Saliency XY", "unknown method 'XY'"),
        ("table --method Saliency", "give --worst N with it"),
        ("table --margin -1", "--margin"),
        ("table --margin -1 --compare Saliency SG", "--margin"),
        ("table --margin nan", "--margin"),
        ("table --margin 0.1 --worst 2", "--margin is of differences"),
        ("reliability --truth ,", "must be metrics of the scores"),
        ("table --worst 2 --method XY", "unknown method 'XY'"),
        ("reliability --out it.png", ""),
        ("resume --shard 0/1", ""),
        ("resume --workers 0", ""),
        ("resume --engine cloud", ""),
        ("resume --device cuda:77", "device 'cuda:77' cannot be used here"),
    ],
)
def test_options_about_a_run(arguments: str, said: str, made: Path) -> None:
    command, *options = arguments.split()
    assert_said(call(command, str(made), *options), said=said)


@pytest.mark.parametrize(
    "arguments",
    [
        *("explain ''", "report ''", "explain it.png --weights ''", "run quick --out ''", "run quick --out ' '"),
        *("run quick --data '' --out run", "run quick --data= --out run"),
    ],
)
def test_an_empty_argument_is_not_the_default(arguments: str) -> None:
    result = call(*shlex.split(arguments))
    assert result.exit_code == 2
    assert result.output == "captum-gag: an argument is empty; give a value, or leave its option out\n"
