"""The command line on files of every kind, with a model small enough to be fast."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from typer.testing import CliRunner, Result

from captum_gag.cli import app

MODULE = """
import torch
from torch import nn
from captum_gag.models import Classifier

def tiny():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5))
    return Classifier("tiny", net, resize=20, crop=16)
"""


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "tiny_module", raising=False)
    (tmp_path / "tiny_module.py").write_text(MODULE)


def photo(width: int = 30, height: int = 24) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def explain(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", *arguments, "--model", "tiny_module:tiny", "--samples", "3"])


def scores(directory: str = "captum-gag-out") -> list[dict[str, str]]:
    with Path(directory, "scores.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_good_files_are_done_and_bad_ones_named() -> None:
    photo().save("good.png")
    photo().convert("CMYK").save("cmyk.jpg")
    photo().convert("L").save("gray.png")
    photo().convert("RGBA").save("rgba.png")
    photo().convert("P").save("palette.gif")
    photo(1, 1).save("single.png")
    photo(3000, 2000).save("big.jpg")
    Path("cut.jpg").write_bytes(Path("big.jpg").read_bytes()[:5000])
    Path("text.jpg").write_text("a letter")
    Path("empty.png").touch()
    good = ["good.png", "cmyk.jpg", "gray.png", "rgba.png", "palette.gif", "single.png", "big.jpg"]
    bad = ["cut.jpg", "text.jpg", "empty.png", "missing.png"]
    result = explain(*bad[:2], *good, *bad[2:])
    assert result.exit_code == 1
    skipped = [line for line in result.output.splitlines() if line.startswith("skipped ")]
    assert [line.split(":")[0] for line in skipped] == [f"skipped {name}" for name in bad]
    stems = [Path(name).stem for name in good]
    assert list(dict.fromkeys(row["image"] for row in scores())) == stems
    for stem in stems:
        with Image.open(f"captum-gag-out/{stem}-explanation.png") as image:
            assert image.format == "PNG"
        assert Path(f"captum-gag-out/{stem}-attributions.npz").is_file()
        assert f"{stem}-explanation.png" in result.output
    assert len(list(Path("captum-gag-out").iterdir())) == (2 + 4) * len(good) + 1


def test_a_turned_file_is_explained_like_the_upright_one() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo().save("upright.png")
    photo().transpose(Image.Transpose.ROTATE_90).save("turned.png", exif=exif)
    assert explain("upright.png", "turned.png").exit_code == 0
    upright, turned = (np.load(f"captum-gag-out/{name}-attributions.npz") for name in ("upright", "turned"))
    left, top, right, bottom = upright["box"]
    assert (upright["box"] == turned["box"]).all()
    assert right - left == pytest.approx(bottom - top, abs=1)
    assert 0 <= left < right <= photo().width
    assert 0 <= top < bottom <= photo().height
    for method in ("GAG-85", "Saliency", "SmoothGrad", "VarGrad (Captum)"):
        assert np.abs(upright[method]).max() > 0
        np.testing.assert_array_equal(upright[method], turned[method])


def test_files_of_one_name_and_the_users_own_are_kept() -> None:
    Path("a").mkdir()
    photo().save("cat.png")
    photo().convert("L").save("a/cat.png")
    before = Path("cat.png").read_bytes()
    assert explain("cat.png", "a/cat.png", "--out", ".").exit_code == 0
    assert Path("cat.png").read_bytes() == before
    first, second = np.load("cat-attributions.npz"), np.load("cat-2-attributions.npz")
    assert np.abs(first["Saliency"] - second["Saliency"]).max() > 0


def test_options_reach_the_job() -> None:
    photo().save("it.png")
    options = ("--target", "3", "--format", "safetensors", "--out", "new/deep")
    result = explain("it.png", *options, "--seed", "7")
    assert result.exit_code == 0
    found = load_file("new/deep/it-attributions.safetensors")
    assert found["target"].tolist() == 3
    assert {row["method"] for row in scores("new/deep")} == {"GAG-85", "Saliency", "SmoothGrad", "VarGrad (Captum)"}
    assert {row["target"] for row in scores("new/deep")} == {"3"}
    explain("it.png", *options, "--seed", "8", "--out", "other")
    other = load_file("other/it-attributions.safetensors")
    assert np.abs(found["GAG-85"] - other["GAG-85"]).max() > 0
    np.testing.assert_array_equal(found["Saliency"], other["Saliency"])


def test_methods_by_name() -> None:
    photo().save("it.png")
    assert explain("it.png", "--method", "gag-70", "--method", "Guided IG", "--method", "Sobel").exit_code == 0
    assert [row["method"] for row in scores()] == ["gag-70", "Guided IG", "Sobel"]
    found = np.load("captum-gag-out/it-attributions.npz")
    assert found["gag-70"].shape == (3, 16, 16)
    assert found["Sobel"].shape == (1, 16, 16)


def test_options_of_methods_are_set() -> None:
    photo().save("it.png")
    window = ["--method", "captum:Occlusion", "--set", "sliding_window_shapes=[3, 4, 4]", "--set", "strides=[3, 4, 4]"]
    assert explain("it.png", *window).exit_code == 0
    occluded = np.load("captum-gag-out/it-attributions.npz")["captum:Occlusion"]
    assert len(np.unique(occluded[0])) <= 16
    assert explain("it.png", "--method", "GAG", "--method", "SG", "--set", "percentile=40").exit_code == 0
    assert explain("it.png", "--method", "GAG-40", "--out", "named").exit_code == 0
    found = np.load("captum-gag-out/it-attributions.npz")
    np.testing.assert_array_equal(found["GAG"], np.load("named/it-attributions.npz")["GAG-40"])
    assert "SG" in found


def test_a_class_that_is_none_of_the_models_is_said() -> None:
    photo().save("it.png")
    result = explain("it.png", "--target", "5")
    assert result.exit_code == 1
    assert "skipped it is of class 5, tiny has 0 to 4" in result.output


def test_a_method_that_fails_is_said_and_the_others_are_done() -> None:
    photo().save("it.png")
    result = explain("it.png", "--method", "Grad-CAM:nowhere", "--method", "SG")
    assert result.exit_code == 1
    assert "failed: Grad-CAM:nowhere on it: " in result.output
    assert [row["method"] for row in scores() if row["score"] != "nan"] == ["SG"]


def test_what_is_done_is_kept_when_the_run_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    from captum_gag.data import images

    read = images.read_image
    for name in ("first", "second"):
        photo().save(f"{name}.png")

    def dies_at_the_second(path: Path) -> Image.Image:
        if path.stem == "second":
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(images, "read_image", dies_at_the_second)
    explain("first.png", "second.png", "--method", "Saliency")
    assert [row["image"] for row in scores()] == ["first"]


def test_the_same_command_gives_the_same_files() -> None:
    photo().save("it.png")
    explain("it.png", "--out", "one")
    explain("it.png", "--out", "two")
    for name in ("it-explanation.png", "scores.csv"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--samples", "1"], "--samples.* 2"),
        (["--seed", "-1"], "--seed.* 0"),
        (["--target", "cat"], "--target"),
        (["--bogus"], "--bogus.*; see .* explain --help"),
        (["--method", "SGG"], "'SGG'.*SG"),
        (["--method", "SG", "--set", "percentil=70"], "none of the methods has an option 'percentil'"),
        (["--method", "GAG", "--set", "guide=mine"], "guide is 'mine', expected 'paper'"),
        (["--method", "captum:Occlusion"], "needs sliding_window_shapes"),
        (["--set", "percentile=70"], "--set KEY=VALUE is for --method"),
        (["--method", "SG", "--set", "percentile=70"], "none of the methods has an option 'percentile'"),
        (["--format", "zip"], "'--format': 'zip' is not one of 'npz', 'safetensors'"),
        (["--set", "data.split=train"], "--set data.split=... must be model.KEY=VALUE or KEY=VALUE"),
        (["--set", "model"], "option 'model' must be KEY=VALUE"),
        (["--overlay", "--labels"], "'--labels' requires an argument; see captum-gag --help"),
        (["--device", "abacus"], "device 'abacus'"),
        (["--weights", "none.pth"], "none.pth"),
        (["--model", "resnet19"], "resnet18"),
        (["--out", "it.png"], "it.png"),
    ],
)
def test_a_wrong_option_is_one_line_and_status_two(arguments: list[str], reason: str) -> None:
    photo().save("it.png")
    defaults = ["--model", "tiny_module:tiny", "--samples", "2"]
    result = CliRunner().invoke(app, ["explain", "it.png", *defaults, *arguments])
    assert result.exit_code == 2
    errors = [line for line in result.output.splitlines() if line.startswith("captum-gag: ")]
    assert len(errors) == 1
    assert result.output.splitlines()[-1] == errors[0]
    assert re.search(reason, errors[0])
    assert not list(Path.cwd().glob("captum-gag-out/*"))


def test_only_bad_files_leave_no_table() -> None:
    assert explain("missing.png").exit_code == 1
    assert not Path("captum-gag-out/scores.csv").exists()


def test_demo_explains_its_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    from captum_gag.data import images
    from captum_gag.models import catalogue

    model = catalogue.model
    monkeypatch.setattr(images, "demo_images", lambda: {"one": photo(), "two": photo(1, 1)})
    monkeypatch.setattr(catalogue, "model", lambda spec: model("tiny_module:tiny"))
    monkeypatch.syspath_prepend(Path.cwd())
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 0
    kinds = ("GAG-85", "Saliency", "SmoothGrad", "VarGrad-Captum-", "explanation")
    pictures = {f"{name}-{kind}.png" for name in ("one", "two") for kind in kinds}
    assert {path.name for path in Path("captum-gag-demo").iterdir()} == {"scores.csv", *pictures}
    assert [tuple(row)[:4] for row in scores("captum-gag-demo")] == [("image", "method", "metric", "score")] * 8
    assert "VarGrad" in result.output
    assert "GAG-85 has the highest\non " in result.output


def test_how_to_read_counts_by_hand() -> None:
    from captum_gag.cli.explain import how_to_read

    # By photograph: the probability, and the scores of A and B.
    found = {"a": (0.9, 0.4, 0.3), "b": (0.5, 0.1, 0.2), "c": (0.49, 0.3, 0.1)}
    rows = [
        {"image": name, "method": method, "probability": probability, "score": score}
        for name, (probability, *of_both) in found.items()
        for method, score in zip("AB", of_both, strict=True)
    ]
    told = "on 1 of the 2 of which the model is sure, and on {} of the 1 of which the model is not sure."
    assert f"A has the highest\n{told.format(1)}" in how_to_read(rows, "A")
    assert f"B has the highest\n{told.format(0)}" in how_to_read(rows, "B")
    assert "sure of lowers" in how_to_read(rows[:4], "A")
    assert "not sure." not in how_to_read(rows[:4], "A")


def test_help_names_every_option_without_loading_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from captum_gag.cli import app\n"
        "print(CliRunner().invoke(app, ['explain', '--help']).output)\n"
        "sys.exit(bool({'torch', 'captum', 'quantus', 'matplotlib', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for option in ("model", "weights", "target", "set", "samples", "seed", "out", "format", "device"):
        assert f"--{option}" in done.stdout


def test_version_is_the_packages() -> None:
    from importlib.metadata import version

    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output.strip()) == (0, f"captum-gag {version('captum-gag')}")
