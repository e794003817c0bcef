"""``captum-gag explain`` and ``demo`` on files of every kind: what they take, say, write and give to machines."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scoring import call
from tiny import image, write_birds_and_dogs, write_image
from typer.testing import CliRunner, Result

from captum_gag.cli import app
from captum_gag.cli.explain import how_to_read
from captum_gag.data import images
from captum_gag.models import catalogue
from captum_gag.runs.suite_file import SuiteFile, labels_of, read_suite

*COMPARED, DISPLACED = labels_of(SuiteFile(**read_suite("compare")))[0]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(Path("photos/a.png"), 1, (40, 20))
    write_image(Path("photos/deep/b.png"), 2)
    Path("photos/broken.png").write_text("no image")


def explain(*arguments: str, lines: str = "") -> Result:
    given = ["explain", *arguments, "--samples", "2", "--device", "cpu"]
    return CliRunner().invoke(app, given if "--model" in given else [*given, "--model", "tiny:model"], input=lines)


def rows(*arguments: str, lines: str = "") -> list[dict[str, object]]:
    return list(json.loads(explain(*arguments, "--json", lines=lines).stdout))


def scores(directory: str = "captum-gag-out") -> list[dict[str, str]]:
    with Path(directory, "scores.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_good_files_are_done_and_bad_ones_named() -> None:
    photo = image(3, (30, 24))
    photo.save("good.png")
    modes = {"cmyk.jpg": "CMYK", "gray.png": "L", "rgba.png": "RGBA", "palette.gif": "P"}
    for name, mode in modes.items():
        photo.convert(mode).save(name)
    write_image(Path("single.png"), size=(1, 1))
    write_image(Path("big.jpg"), size=(3000, 2000))
    Path("cut.jpg").write_bytes(Path("big.jpg").read_bytes()[:5000])
    Path("text.jpg").write_text("a letter")
    Path("empty.png").touch()
    good = ["good.png", *modes, "single.png", "big.jpg"]
    bad = ["cut.jpg", "text.jpg", "empty.png", "missing.png"]
    assert explain(*bad).exit_code == 1
    assert not Path("captum-gag-out/scores.csv").exists()
    result = explain(*bad[:2], *good, *bad[2:])
    assert result.exit_code == 1
    skipped = [line for line in result.output.splitlines() if line.startswith("skipped ")]
    assert [line.split(":")[0] for line in skipped] == [f"skipped {name}" for name in bad]
    stems = [Path(name).stem for name in good]
    assert list(dict.fromkeys(row["image"] for row in scores())) == stems
    for stem in stems:
        with Image.open(f"captum-gag-out/{stem}-explanation.png") as drawn:
            assert drawn.format == "PNG"
        assert Path(f"captum-gag-out/{stem}-attributions.npz").is_file()
        assert f"{stem}-explanation.png" in result.output
    assert len(list(Path("captum-gag-out").iterdir())) == (2 + len(COMPARED)) * len(good) + 1


def test_a_turned_file_is_explained_like_the_upright_one() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = image(3, (30, 24))
    photo.save("upright.png")
    photo.transpose(Image.Transpose.ROTATE_90).save("turned.png", exif=exif)
    assert explain("upright.png", "turned.png").exit_code == 0
    upright, turned = (np.load(f"captum-gag-out/{name}-attributions.npz") for name in ("upright", "turned"))
    left, top, right, bottom = upright["box"]
    assert (upright["box"] == turned["box"]).all()
    assert right - left == pytest.approx(bottom - top, abs=1)
    assert 0 <= left < right <= photo.width
    assert 0 <= top < bottom <= photo.height
    assert np.abs(upright["GAG-85"]).max() > 0
    for method in COMPARED:
        np.testing.assert_array_equal(upright[method], turned[method])


def test_the_box_of_a_large_jpeg_is_in_pixels_of_the_file() -> None:
    # It is decoded at half of its size.
    image(3, (4200, 4100)).save("large.jpg", quality=50)
    assert explain("large.jpg").exit_code == 0
    left, top, right, bottom = np.load("captum-gag-out/large-attributions.npz")["box"]
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((2100, 2050), abs=2)
    assert 2 * max(right - left, bottom - top) > 4100


def test_files_of_one_name_and_the_users_own_are_kept() -> None:
    image(3).save("a.png")
    before = Path("a.png").read_bytes()
    assert explain("a.png", "photos/a.png", "--out", ".").exit_code == 0
    assert Path("a.png").read_bytes() == before
    first, second = np.load("a-attributions.npz"), np.load("a-2-attributions.npz")
    assert np.abs(first["IG"] - second["IG"]).max() > 0


def test_a_folder_is_explained_again_without_what_was_drawn_into_it() -> None:
    Path("photos/broken.png").unlink()
    Path("photos/deep/above").symlink_to("..")
    asked = (".", "--method", "SG")
    assert explain(*asked).exit_code == 0
    before = [row["path"] for row in scores()]
    assert before == ["photos/a.png"] * 2 + ["photos/deep/b.png"] * 2
    result = explain(*asked)
    assert ".: 4 of 6 images were drawn by captum-gag, and are left out" in result.stderr
    assert [row["path"] for row in scores()] == before


def test_names_of_any_kind_are_explained_and_steer_nothing() -> None:
    names = ["\x1b[31mred\x1b[0m", "=1+1", "two\nlines", "[bold]x", "$\\frac$", "写真" * 40, "b" * 240, "\udcff"]
    for name in names:
        write_image(Path(f"odd/{name}.png"), 1)
    result = explain("odd", "--method", "SG")
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    assert len({row["image"] for row in scores()}) == len(names)
    assert not [row for row in scores() for cell in row.values() if cell.startswith("=") or not cell.isprintable()]
    assert all(path.name.isprintable() for path in Path("captum-gag-out").iterdir())


def test_options_reach_the_job_and_the_same_give_the_same_files() -> None:
    options = ("photos/a.png", "--target", "2")
    for seed, out in (("7", "new/deep"), ("7", "again"), ("8", "other")):
        assert explain(*options, "--seed", seed, "--out", out).exit_code == 0
    found, other = (np.load(f"{out}/a-attributions.npz") for out in ("new/deep", "other"))
    assert found["target"].tolist() == 2
    assert {(row["method"], row["target"]) for row in scores("new/deep")} == {
        (method, "2") for method in [*COMPARED, DISPLACED]
    }
    assert np.abs(found["GAG-85"] - other["GAG-85"]).max() > 0
    np.testing.assert_array_equal(found["IG"], other["IG"])
    for name in ("a-explanation.png", "scores.csv"):
        assert Path("new/deep", name).read_bytes() == Path("again", name).read_bytes()


def test_methods_by_name_and_their_options() -> None:
    assert explain("photos/a.png", "--method", "gag-70", "--method", "Guided IG", "--method", "Sobel").exit_code == 0
    assert [row["method"] for row in scores()] == ["gag-70", "Guided IG", "Sobel", "gag-70 displaced"]
    found = np.load("captum-gag-out/a-attributions.npz")
    assert (found["gag-70"].shape, found["Sobel"].shape) == ((3, 12, 12), (1, 12, 12))
    window = ["--method", "captum:Occlusion", "--set", "sliding_window_shapes=[3, 4, 4]", "--set", "strides=[3, 4, 4]"]
    assert explain("photos/a.png", *window).exit_code == 0
    occluded = np.load("captum-gag-out/a-attributions.npz")["captum:Occlusion"]
    assert len(np.unique(occluded[0])) <= 9
    assert explain("photos/a.png", "--method", "GAG", "--method", "SG", "--set", "percentile=40").exit_code == 0
    assert explain("photos/a.png", "--method", "GAG-40", "--out", "named").exit_code == 0
    found = np.load("captum-gag-out/a-attributions.npz")
    np.testing.assert_array_equal(found["GAG"], np.load("named/a-attributions.npz")["GAG-40"])
    assert "SG" in found


def test_what_is_done_is_kept_when_the_run_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    read = images.read_image

    def dies_at_the_second(path: Path) -> Image.Image:
        if path.stem == "b":
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(images, "read_image", dies_at_the_second)
    result = explain("photos/a.png", "photos/deep/b.png", "--method", "Saliency")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        130,
        "captum-gag: interrupted; what is written is kept",
    )
    assert {row["image"] for row in scores()} == {"a"}


def test_demo_explains_its_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = catalogue.model
    monkeypatch.setattr(images, "demo_images", lambda: {"one": image(0, (30, 24)), "two": image(1, (1, 1))})
    monkeypatch.setattr(catalogue, "model", lambda spec: model("tiny:model"))
    result = call("demo")
    assert result.exit_code == 0
    kinds = (*COMPARED, "explanation")
    pictures = {f"{name}-{kind}.png" for name in ("one", "two") for kind in kinds}
    assert {path.name for path in Path("captum-gag-demo").iterdir()} == {"scores.csv", *pictures}
    assert [tuple(row)[:4] for row in scores("captum-gag-demo")] == [("image", "method", "metric", "score")] * 16
    assert "Occlusion" in result.output
    assert "displaced" not in result.output
    assert "GAG-85 has the highest\non " in result.output


def test_how_to_read_counts_by_hand() -> None:
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


def test_folders_and_standard_input_with_path_and_size_for_machines() -> None:
    result = explain("photos", "--json", "--method", "SG")
    assert result.exit_code == 1
    assert "skipped photos/broken.png" in result.stderr
    found = [(each["image"], each["path"], each["width"], each["height"]) for each in json.loads(result.stdout)][::2]
    assert found == [("a", "photos/a.png", 40, 20), ("b", "photos/deep/b.png", 14, 14)]
    assert [each["path"] for each in scores()] == ["photos/a.png"] * 2 + ["photos/deep/b.png"] * 2
    assert [each["path"] for each in rows("-", "--method", "Sobel", lines="photos/deep\n")] == ["photos/deep/b.png"]


def test_a_failing_method_costs_its_own_cells() -> None:
    result = explain("photos/a.png", "--json", "--method", "SG", "--method", "Grad-CAM:nowhere")
    assert result.exit_code == 1
    assert [(each["method"], each["score"] is None, bool(each["error"])) for each in json.loads(result.stdout)] == [
        ("SG", False, False),
        ("Grad-CAM:nowhere", True, True),
        ("SG displaced", False, False),
    ]
    result = explain("photos/a.png", "--method", "Grad-CAM:nowhere")
    # Not once more for the moved map that is not there either.
    assert result.stderr.count("failed: ") == 1


def test_names_of_classes_are_the_files_that_is_given_or_lies_beside() -> None:
    asked = ("photos/a.png", "--method", "Sobel")
    [row] = rows(*asked)
    assert row["label"] == f"class {row['target']}"
    Path("photos/classes.csv").write_text("class_index,name\n0,ant\n1,bee\n2,cow\n")
    [row] = rows(*asked)
    assert row["label"] == ["ant", "bee", "cow"][int(str(row["target"]))]
    Path("photos/classes.csv").write_text("class_index,name\n0,ant\n7,bee\n")
    assert "photos/classes.csv names 8 classes, and tiny has 3; expected a name for each" in explain(*asked).stderr
    Path("photos/classes.csv").write_text("class_index,name\n0,ant\n")
    assert rows(*asked)[0]["label"] in ("ant", "class 1", "class 2")
    Path("names.txt").write_text("eins\nzwei\ndrei\n")
    [row] = rows(*asked, "--labels", "names.txt")
    assert row["label"] == ["eins", "zwei", "drei"][int(str(row["target"]))]
    for names in ("eins\nzwei\n", "nichts\neins\nzwei\ndrei\n"):
        Path("names.txt").write_text(names)
        result = explain(*asked, "--labels", "names.txt")
        assert result.exit_code == 2
        assert "classes, and tiny has 3; expected a name for each" in result.stderr


def test_a_class_that_the_model_is_not_sure_of_is_said() -> None:
    results = [explain("photos/a.png", "--json", "--method", "SG", "--target", target) for target in "012"]
    probabilities = [json.loads(result.stdout)[0]["probability"] for result in results]
    assert sum(probabilities) == pytest.approx(1)
    assert ["not sure: a: " in result.stderr for result in results] == [each < 0.5 for each in probabilities]


def test_maps_are_images_by_file_and_method_as_large_as_the_photograph() -> None:
    assert explain("photos/a.png", "--method", "SG", "--method", "GAG-7.5", "--overlay").exit_code == 0
    out = Path("captum-gag-out")
    assert sorted(path.name for path in out.glob("*.png")) == ["a-GAG-7-5.png", "a-SG.png", "a-explanation.png"]
    with Image.open(out / "a-SG.png") as drawn, Image.open("photos/a.png") as photo:
        assert drawn.size == photo.size == (40, 20)
        # The network sees the middle; beside it is the photograph, in grey.
        assert np.asarray(drawn)[:, 0, 0].tolist() == np.asarray(photo.convert("L"))[:, 0].tolist()
        assert (np.ptp(np.asarray(drawn).astype(int), axis=2)[:, 15:25] > 0).any()


def test_a_photograph_of_which_rcap_sees_nothing_is_said() -> None:
    write_birds_and_dogs(Path("both"), 1)
    result = explain("both", "--model", "tiny:two_classes", "--method", "VG", "--method", "Sobel", "--json")
    assert result.exit_code == 0, result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("cannot tell")]
    told = "VG scores 0.917, and 0.900 moved by half the image; dog has a probability of 0.90 on a black image"
    assert line == f"cannot tell: 0-2: RCAP does not see where a map points: {told}"
    known = {(row["image"], row["method"]): row for row in json.loads(result.stdout)}
    assert {(row["control"], row["base"]) for (_, name), row in known.items() if name == "VG displaced"} == {
        ("displaced", "VG")
    }
    assert [known[image, "Sobel"]["baseline_probability"] for image in ("0", "0-2")] == pytest.approx([0.1, 0.9])
    assert "VG displaced" not in np.load("captum-gag-out/0-2-attributions.npz")
    # A control alone has no displaced map, and the class is on black as it was.
    result = explain("both/dog", "--model", "tiny:two_classes", "--method", "Sobel")
    assert result.stderr.splitlines()[0].endswith("points: dog has a probability of 0.90 on a black image")
