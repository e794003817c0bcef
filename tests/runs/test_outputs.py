"""Whatever a model returns is read right in runs and on the command line, or refused at the start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scoring import call, config_of, folder_of, run_of
from tiny import image
from tiny import net as tiny_net
from torch import nn

from captum_gag.data import dataset
from captum_gag.data.datasets import Example
from captum_gag.errors import InputError
from captum_gag.models import Classifier
from captum_gag.runs.execution import begin
from captum_gag.runs.executors import in_processes
from captum_gag.runs.explaining import explain_photo, photo_scorer
from captum_gag.runs.probing import probed
from captum_gag.runs.scorer import Scorer
from captum_gag.runs.spec import make_suite
from captum_gag.runs.store import Run

MODULE = """
import os
from collections import namedtuple
from types import SimpleNamespace
import torch
import torch.nn.functional as F
from torch import nn
from tiny import net
from captum_gag.models import Classifier

class Tail(nn.Module):
    def __init__(self, tail):
        super().__init__()
        self.net, self.tail = net(), tail

    def forward(self, x):
        return self.tail(20 * self.net(x))

Named = namedtuple("Named", ["logits", "hidden"])
TAILS = {
    "logits": lambda z: z,
    "softmax": lambda z: F.softmax(z, 1),
    "log_softmax": lambda z: F.log_softmax(z, 1),
    "tuple": lambda z: (z, "more"),
    "dict": lambda z: {"logits": z, "hidden": z + 1},
    "dataclass": lambda z: SimpleNamespace(logits=z),
    "named": lambda z: Named(z, z + 1),
    "pair": lambda z: (z, z + 1),
    "logit": lambda z: z[:, 1:2] - z[:, :1],
    "flat": lambda z: z[:, 1] - z[:, 0],
    "sigmoid of one": lambda z: torch.sigmoid(z[:, 1:2] - z[:, :1]),
    "sigmoid": lambda z: torch.sigmoid(z),
    "classes": lambda z: z.argmax(1),
    "segmentation": lambda z: z[:, :, None, None].expand(-1, -1, 4, 4),
}

def model(tail="logits"):
    return Classifier("tailed", Tail(TAILS[tail]), (0.5,) * 3, (0.5,) * 3, resize=12, crop=12)

def modules(tail="softmax"):
    last = {"softmax": nn.Softmax(1), "sigmoid": nn.Sigmoid()}[tail]
    return Classifier("tailed", nn.Sequential(Tail(TAILS["logits"]), last), (0.5,) * 3, (0.5,) * 3, resize=12, crop=12)

def any_size(channels=3):
    layers = nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    layers[-1].bias.data += torch.tensor([-2.0, 0.0, 2.0])
    return Classifier("sized", nn.Sequential(*layers), (0.5,) * 3, (0.5,) * 3, 20, 16)

def first(returned):
    return returned[0].softmax(1)
"""

SUITE = {"methods": ["SG", "GAG-85"], "metrics": {"RCAP": {}, "Deletion": {"n_steps": 3}}, "n_samples": 3}


@pytest.fixture(autouse=True)
def _module(user_module: Any) -> None:
    user_module("users_tails", MODULE)


def done(directory: Path, **options: Any) -> Run:
    model = {"type": "users_tails:model", **options}
    if model.pop("modules", False):
        model["type"] = "users_tails:modules"
    return run_of(directory, config_of(SUITE, model=model, data={"type": "tiny:photos", "length": 3}))


def scores(run: Run) -> pd.DataFrame:
    found = run.scores()
    assert not found["error"].any(), found["error"].unique()
    return found.set_index(["image", "method", "metric"])[["probability", "score"]]


@pytest.fixture
def plain(tmp_path: Path) -> pd.DataFrame:
    return scores(done(tmp_path / "plain", tail="logits"))


@pytest.mark.filterwarnings("ignore:The model gives")
@pytest.mark.parametrize(
    "options",
    [
        {"tail": "softmax"},
        {"tail": "softmax", "output": "probabilities"},
        {"tail": "softmax", "modules": True},
        {"tail": "log_softmax"},
        {"tail": "log_softmax", "output": "log_probabilities"},
        {"tail": "tuple"},
        {"tail": "dict"},
        {"tail": "dict", "output": "logits"},
        {"tail": "dataclass"},
        {"tail": "named"},
        {"tail": "pair", "output": "users_tails:first"},
    ],
    ids=str,
)
def test_the_same_probabilities_by_another_way_are_read_alike(
    options: dict[str, Any], plain: pd.DataFrame, tmp_path: Path
) -> None:
    found = scores(done(tmp_path / "run", **options))
    np.testing.assert_allclose(found["probability"], plain["probability"], rtol=1e-4)
    if options["tail"] in ("tuple", "dict", "dataclass", "named"):
        # The same logits are explained, so the maps are the same, and so is what they recover.
        np.testing.assert_allclose(found["score"], plain["score"], rtol=1e-4)


@pytest.mark.filterwarnings("ignore:The model gives")
@pytest.mark.parametrize(
    "options",
    [
        {"tail": "logit"},
        {"tail": "flat"},
        {"tail": "flat", "output": "logit"},
        {"tail": "sigmoid of one", "output": "probabilities"},
    ],
    ids=str,
)
def test_one_column_is_class_1_of_two(options: dict[str, Any], tmp_path: Path) -> None:
    import users_tails  # type: ignore[import-not-found]

    model = users_tails.model("logit").model.eval()
    found = done(tmp_path / "run", **options).scores()
    # Photograph 2 is of class 2, which two classes do not have.
    assert found.loc[found["image"] == "000002", "error"].str.contains("is of class 2, tailed has 0 to 1").all()
    found = found[found["image"] != "000002"].drop_duplicates("image").set_index("image")["probability"]
    for index in (0, 1):
        x = users_tails.model().preprocess(dataset("tiny:photos")[index].photo())[None]
        with torch.no_grad():
            expected = torch.sigmoid(model(x))[0, 0].item()
        assert found[f"00000{index}"] == pytest.approx(expected if index else 1 - expected, abs=1e-5)


def test_several_labels_hold_at_once(tmp_path: Path) -> None:
    import users_tails

    found = scores(done(tmp_path / "run", tail="logits", output="sigmoid"))
    x = users_tails.model().preprocess(dataset("tiny:photos")[1].photo())[None]
    with torch.no_grad():
        expected = users_tails.model().model.eval()(x).sigmoid()[0, 1].item()
    assert found["probability"].xs("000001").tolist() == pytest.approx([expected] * 4, abs=1e-5)
    same = scores(done(tmp_path / "same", tail="sigmoid", output="probabilities"))
    np.testing.assert_allclose(found["probability"], same["probability"], rtol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("wrap", [torch.jit.script, lambda net: torch.jit.trace(net, torch.zeros(1, 3, 12, 12))])
def test_scripted_networks_give_the_same(wrap: Any) -> None:
    found = []
    for made in (tiny_net().eval(), wrap(tiny_net().eval())):
        classifier = Classifier("made", made, (0.5,) * 3, (0.5,) * 3, resize=12, crop=12)
        scorer = Scorer(classifier.on("cpu"), make_suite(SUITE, classifier.normalization))
        found.append(scorer.score("it", lambda: Example("it", lambda: image(5), 1)).rows)
    assert not any(row["error"] for rows_ in found for row in rows_)
    first, second = ([row["score"] for row in rows_] for rows_ in found)
    np.testing.assert_allclose(first, second, rtol=1e-5)


def test_of_several_labels_the_most_likely_is_explained() -> None:
    classifier = Classifier("labels", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), output="sigmoid")
    blue = Image.new("RGB", (8, 8), (0, 0, 255))
    done_ = explain_photo(photo_scorer(classifier.on("cpu"), ["Saliency"]), blue, "blue")
    assert done_.target == 2
    assert done_.probability == pytest.approx(torch.sigmoid(torch.tensor((1 - 0.406) / 0.225)).item(), abs=1e-6)


REFUSED = [
    ({"tail": "pair"}, "returned a tuple of a tensor"),
    ({"tail": "sigmoid"}, 'do not sum to 1.*declare output="probabilities" or "logits"'),
    ({"tail": "sigmoid", "modules": True}, 'declare output="probabilities" or "logits"'),
    ({"tail": "sigmoid of one"}, "gives one number in .0, 1. for each image"),
    ({"tail": "classes"}, "class numbers have no probability"),
    ({"tail": "segmentation"}, r"returned \(1, 3, 4, 4\) for one image; expected logits \(1, classes\), or declare"),
    ({"tail": "softmax", "output": "logits"}, 'output="logits", but they are in'),
    ({"tail": "logits", "output": "probabilities"}, 'output="probabilities", but they reach from'),
    ({"tail": "logits", "output": "logit"}, 'output="logit", but there are 3 columns'),
    ({"tail": "logits", "output": "log_probabilities"}, "their exponentials do not sum to 1"),
    ({"tail": "logit", "output": "logits"}, "whose softmax is always 1"),
    ({"tail": "logits", "output": "users_tails:first"}, "for one image|cannot read what tailed returned"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED, ids=lambda each: str(each) if isinstance(each, dict) else "")
def test_what_is_not_clear_is_refused_before_anything_is_written(
    options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        done(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_what_is_decided_is_said_once_and_kept_with_the_run(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="read as probabilities") as caught:
        run = done(tmp_path / "run", tail="softmax")
    assert len(caught) == 1
    assert run.identity["output"] == "probabilities"
    assert done(tmp_path / "plain", tail="logits").identity["output"] == "logits"
    declared = done(tmp_path / "declared", tail="pair", output="users_tails:first")
    assert declared.identity["output"] == "users_tails:first"
    assert "code of users_tails" in declared.identity


def test_a_declaration_that_reads_otherwise_is_another_run(tmp_path: Path) -> None:
    done(tmp_path / "run", tail="logits")
    with pytest.raises(InputError, match="holds a run with another model"):
        done(tmp_path / "run", tail="logits", output="sigmoid")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The model gives")
def test_workers_decide_alike(tmp_path: Path) -> None:
    for tail in ("softmax", "flat"):
        asked = config_of(SUITE, model={"type": "users_tails:model", "tail": tail})
        whole = run_of(tmp_path / tail, asked)
        shared = run_of(tmp_path / f"{tail}-2", asked, executor=in_processes(2))
        columns = ["image", "method", "metric", "score", "probability", "error"]
        pd.testing.assert_frame_equal(whole.scores()[columns], shared.scores()[columns])


def test_the_command_line_says_what_it_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    image(3).save("it.png")
    Path("suite.toml").write_text('methods = ["SG"]\nn_samples = 2\n[metrics.RCAP]\n')
    for command in (
        ["explain", "it.png", "--samples", "2"],
        ["run", "suite.toml", "--data", "tiny:photos", "--out", "run", "--set", "model.tail=softmax"],
        ["resume", "run"],
    ):
        model = [] if command[0] == "resume" else ["--model", "users_tails:model"]
        more = ["--set", "model.tail=softmax"] if command[0] == "explain" else []
        result = call(*command, *model, *more)
        assert result.exit_code == 0, result.output
        said = [line for line in result.stderr.splitlines() if "read as probabilities" in line]
        assert said == [
            'The model gives numbers in [0, 1] that sum to 1, read as probabilities; declare output="probabilities" if '
            "that is so."
        ]
    declared = "--set model.tail=softmax --set model.output=probabilities --samples 2 --out declared"
    quiet = call("explain", "it.png", "--model", "users_tails:model", *declared.split())
    assert quiet.exit_code == 0
    assert "read as" not in quiet.output
    assert Path("declared/scores.csv").read_text() == Path("captum-gag-out/scores.csv").read_text()


class Pooled(nn.Module):
    """Scores that are three numbers of an image; what is done to them decides what fails."""

    def __init__(self, tail: Any) -> None:
        super().__init__()
        self.tail = tail

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.tail(x.sin().mean((2, 3)) * 7, x)
        return scores


METRICS: dict[str, Any] = {
    "RCAP": {},
    "AOPC": {"perturb_baseline": "black", "n_steps": 4},
    "F": {"type": "Faithfulness", "n_pixels": 9},
}


def rows(
    tail: Any, *methods: str, metrics: Any = METRICS, target: Any = 1, mask: Any = None, **options: Any
) -> list[dict[str, Any]]:
    classifier = Classifier("pooled", Pooled(tail).eval(), (0.5,) * 3, (0.5,) * 3, resize=8, crop=8, **options)
    suite = {"methods": methods or ["Saliency"], "metrics": metrics, "displaced": ""}
    scorer = Scorer(classifier, make_suite(suite, classifier.normalization))
    return scorer.score("it", lambda: Example("it", lambda: image(5, (8, 8)), target, mask)).rows


def plainly(z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return z


def _nan_on_black(z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    dark = (x < -0.99).flatten(1).float().mean(1) > 0.02
    return torch.where(dark.unsqueeze(1), torch.nan, z)


def test_what_made_a_score_nan_is_said_as_it_is() -> None:
    good = rows(plainly)
    assert not any(row["error"] or np.isnan(row["score"]) for row in good)
    for row in rows(lambda z, x: z * torch.nan):
        assert np.isnan(row["score"])
        assert row["error"] == "pooled returned a NaN or an infinity for it"
    for row in rows(plainly, transform=lambda photo: torch.full((3, 8, 8), torch.nan)):
        assert row["error"] == "it has a NaN or an infinity in it once it is preprocessed"
    by_metric = {row["metric"]: row for row in rows(_nan_on_black)}
    for metric in ("RCAP", "AOPC"):
        assert np.isnan(by_metric[metric]["score"])
        assert "the model returned a NaN or an infinity" in by_metric[metric]["error"]
    # A constant map has no ranking, which is nobody's failure.
    constant = {row["metric"]: row for row in rows(plainly, "Constant")}
    assert np.isnan(constant["RCAP"]["score"])
    assert constant["RCAP"]["error"] == ""


def test_a_missing_mask_costs_what_needs_it_only() -> None:
    def missing() -> Image.Image:
        raise InputError("masks/it.png: No such file")

    metrics: dict[str, Any] = {"RCAP": {}, "MAE": {"type": "SegmentationMAE"}}
    found = rows(plainly, "SG", "Sobel", metrics=metrics, mask=missing)
    assert [(row["metric"], row["error"]) for row in found] == [
        ("RCAP", ""),
        ("MAE", "masks/it.png: No such file"),
    ] * 2


@pytest.mark.parametrize("target", ["cat", 1.5, torch.tensor([0.0, 1.0, 0.0]), [1]], ids=str)
def test_a_class_that_is_no_number_costs_its_own_image(target: Any) -> None:
    [row] = rows(plainly, "SG", metrics={"RCAP": {}}, target=target)
    assert row["target"] is None
    assert row["error"]


@pytest.mark.parametrize("folders", [2, 4])
def test_folders_numbered_by_order_are_no_other_models_classes(folders: int, tmp_path: Path) -> None:
    data = folder_of(tmp_path / "data", *(f"n0144076{number}/1.png" for number in range(folders)))
    asked = config_of(SUITE, data=data)
    said = f"its {folders} classes are numbered by the order of their names, and tiny has 3.*classes.csv"
    with pytest.raises(InputError, match=said):
        begin(tmp_path / "run", asked)
    assert not (tmp_path / "run").exists()
    lines = [f"{number},n0144076{number}" for number in range(folders)]
    (tmp_path / "data" / "classes.csv").write_text("\n".join(["class_index,wnid", *lines]))
    begin(tmp_path / "run", asked)


def test_classes_counted_from_one_are_refused(tmp_path: Path) -> None:
    data = folder_of(tmp_path / "data", *(f"n0144076{number}/1.png" for number in range(3)))
    lines = [f"{1 + number},n0144076{number}" for number in range(3)]
    (tmp_path / "data" / "classes.csv").write_text("\n".join(["class_index,wnid", *lines]))
    with pytest.raises(InputError, match="numbered from 1 to 3, and tiny has 0 to 2; number them from 0"):
        begin(tmp_path / "run", config_of(SUITE, data=data))


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        (["--set", "model.image_size=[10, 20]"], (3, 10, 20)),
        (["--set", "model.image_size=9"], (3, 9, 9)),
        (["--set", "model.channels=1", "--set", "model.mean=[0.5]", "--set", "model.std=[0.5]"], (1, 16, 16)),
    ],
    ids=str,
)
def test_any_size_and_one_channel_go_all_the_way(
    options: list[str], shape: tuple[int, int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image(3, (30, 20)).save("it.png")
    (tmp_path / "suite.toml").write_text(
        'methods = ["SG", "Sobel", "Grad-CAM"]\nn_samples = 2\n[metrics.RCAP]\n[metrics.SegmentationMAE]\n'
    )
    given = ["--model", "users_tails:any_size", *options]
    result = call("explain", "it.png", "--method", "SG", "--method", "Sobel", *given)
    assert result.exit_code == 0, result.output
    found = np.load("captum-gag-out/it-attributions.npz")
    assert found["SG"].shape == shape
    assert found["Sobel"].shape == (1, *shape[1:])
    run = [
        "run",
        "suite.toml",
        "--data",
        "tiny:photos",
        "--save-maps",
        "--set",
        "data.length=2",
        "--out",
        "run",
        *given,
    ]
    result = call(*run)
    assert result.exit_code == 0, result.output
    assert len(Run.load(Path("run")).scores()) == 2 * 4 * 2
    assert Run.load(Path("run")).maps("000001")["SG"].shape == shape[1:]
    result = call("report", "run")
    assert result.exit_code == 0, result.output
    assert "data:image/webp" in Path("run/report.html").read_text()
    assert json.loads(Path("run/run.json").read_text())["config"]["model"]["type"] == "users_tails:any_size"


def test_the_probe_is_black_white_and_noise_over_all_values() -> None:
    seen: list[torch.Tensor] = []

    class Watched(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return 5 * x.mean((2, 3))

    model = Watched().eval()
    classifier = Classifier("watched", model, mean=(0.0,) * 3, std=(1.0,) * 3, resize=(32, 32), crop=(32, 32))
    assert probed(classifier, model, torch.float32).classes == 3
    black, white, noise = seen
    assert (float(black.max()), float(white.min())) == (0.0, 1.0)
    # Of 3,072 values, uniform in 0 to 255: mean and standard deviation within six standard errors.
    assert (float(noise.min()), float(noise.max())) == (0.0, 1.0)
    assert float(noise.mean()) == pytest.approx(0.5, abs=6 * 0.29 / 3072**0.5)
    assert float(noise.std()) == pytest.approx((1 / 12) ** 0.5, abs=0.02)
