"""A run loses nothing, repeats nothing, mixes nothing, and gives the same numbers whoever works."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import pickle
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import safetensors.torch
import tiny
import torch
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal
from scoring import config_of, folder_of, quiet
from scoring import run_of as done
from tiny import image, net, write_image

from captum_gag.errors import InputError
from captum_gag.report.tables import failures
from captum_gag.runs.config import Config
from captum_gag.runs.execution import begin, execute
from captum_gag.runs.executors import Bench, Chunk, Done, Executor, device_of, in_processes, on_ray
from captum_gag.runs.identity import differences, identity, versions
from captum_gag.runs.photographs import decoded, encoded
from captum_gag.runs.store import Run

SUITE = {
    "methods": [
        "GAG-85",
        "SG",
        {"type": "SG", "n_samples": 4, "label": "SG of 4"},
        {"of": "SG", "transform": "sharpen", "label": "SG sharp"},
        {"type": "Random", "seed": 3, "label": "random"},
    ],
    "metrics": {
        "RCAP": {"lower_bound": 50, "interval": 25},
        "AOPC": {"steps": [2, 5], "n_steps": 5},
        "MAE": {"type": "SegmentationMAE"},
        "Sparseness": {"type": "quantus:Sparseness"},
    },
    "n_samples": 6,
}
SOBEL = {"methods": ["Sobel"], "metrics": {"RCAP": {}}}


def config(**options: Any) -> Config:
    # The six images are three chunks, to share out and to be interrupted between.
    return config_of(**{"suite": SUITE, "batch_size": 2, **options})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return done(tmp_path_factory.mktemp("whole") / "run", config())


def numbers(run: Run) -> pd.DataFrame:
    return run.scores().drop(columns=["seconds", "run"])


def test_maps_are_kept_when_asked_for(tmp_path: Path, whole: Run) -> None:
    run = done(tmp_path / "run", config(save_maps=True, data={"type": "tiny:photos", "length": 2}))
    assert set(run.maps("000001")) == set(whole.scores()["method"])
    assert run.maps("000001")["SG"].shape == (12, 12)
    assert run.maps("000002") == {}
    first, _ = sorted((run.directory / "maps").iterdir())
    assert safetensors.torch.load_file(first)["SG"].max() == 1


def test_shards_and_resuming_make_the_whole(tmp_path: Path, whole: Run) -> None:
    run, _ = begin(tmp_path / "run", config())
    assert execute(run, shard=(2, 2), say=quiet) == 2
    assert run.scores()["image"].unique().tolist() == ["000002", "000003"]
    said: list[str] = []
    assert execute(Run.load(run.directory), say=said.append) == 4
    assert said == ["2 of 6 images are done already"]
    assert execute(run, say=quiet) == 0
    assert_frame_equal(numbers(run), numbers(whole), check_exact=True)


def test_another_config_never_mixes_into_a_run(whole: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds a run with another seed; give --out another directory"):
        begin(whole.directory, config(seed=1))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not empty and holds no run"):
        begin(tmp_path, config())
    with pytest.raises(InputError, match="holds no run; expected a directory that captum-gag run made"):
        Run.load(tmp_path)


def test_what_changes_no_number_lets_a_run_go_on(tmp_path: Path, whole: Run) -> None:
    run, bench = begin(tmp_path / "run", config(threads=2))
    assert execute(run, bench=bench, shard=(1, 3), say=quiet) == 2
    mark, said = run.digest, []
    run, bench = begin(tmp_path / "run", config(save_maps=True, device="cpu:0"))
    assert execute(run, bench=bench, shard=(1, 3), say=said.append) == 2
    assert said == [
        "2 of 2 images are done already",
        "2 of them have no maps, which now are to be kept, and are scored again",
    ]
    # It stays so when the run goes on, and what is done is not done again.
    again = Run.load(run.directory)
    assert (again.digest, asdict(again.config)) == (mark, asdict(config(save_maps=True, device="cpu:0")))
    assert (execute(again, say=quiet), execute(again, say=quiet)) == (4, 0)
    assert all(run.maps(image) for image in run.scores()["image"].unique())
    assert_frame_equal(numbers(run), numbers(whole))


def test_only_a_broken_image_is_tried_again(tmp_path: Path) -> None:
    run = done(tmp_path / "run", config(suite=SOBEL, data={"type": "tiny:bad_items"}, save_maps=True))
    scores = run.scores()
    broken = scores.groupby("image")["error"].agg(lambda errors: (errors != "").all())
    assert 0 < broken.sum() < len(broken)
    assert execute(run, say=quiet) == broken.sum()
    assert_frame_equal(run.scores().drop(columns="seconds"), scores.drop(columns="seconds"))


FOLDER = ("a/1.png", "a/2.png", "b/1.png")


def of_folder(place: Path, **options: Any) -> Config:
    model = {"type": "tiny:two_classes"}
    return config(suite=SOBEL, data=folder_of(place, *FOLDER), model=model, **{"batch_size": 1, **options})


def with_before(image: str, act: Callable[[], object]) -> Executor:
    """Do something before an image is scored."""

    def executor(bench: Bench, chunks: Iterable[Chunk]) -> Generator[list[Done], None, None]:
        for chunk in chunks:
            if chunk == (image,):
                act()
            yield bench.do(chunk)

    return executor


def test_an_outage_is_not_final(tmp_path: Path) -> None:
    run, bench = begin(tmp_path / "run", of_folder(tmp_path / "data"))
    data, away = tmp_path / "data", tmp_path / "away"
    execute(run, with_before("a/2.png", lambda: data.rename(away)), bench=bench, say=quiet)
    lost = run.scores().groupby("image")["error"].agg(lambda errors: (errors != "").all())
    assert lost.tolist() == [False, True, True]
    away.rename(data)
    assert execute(run, say=quiet) == 2
    assert (run.scores()["error"] == "").all()
    assert execute(run, say=quiet) == 0


def test_what_has_no_confidence_is_named_and_tried_again(tmp_path: Path) -> None:
    asked, lines = of_folder(tmp_path / "data", confidence=1e-6), list[str]()
    broken = tmp_path / "data" / "a" / "2.png"
    content = broken.read_bytes()
    broken.write_bytes(b"")
    (tmp_path / "data" / "a" / "notes.docx").touch()
    run, bench = begin(tmp_path / "run", asked)
    execute(run, bench=bench, say=lines.append)
    assert any(line.startswith("2 left out, first a/2.png: ") for line in lines)
    assert run.left_out()[["image", "failed"]].to_numpy().tolist() == [["a/2.png", True], ["a/notes.docx", False]]
    broken.write_bytes(content)
    assert execute(run, say=quiet) == 0
    before = set(run.scores()["image"])
    assert execute(run, failed=True, say=quiet) == 1
    assert set(run.scores()["image"]) == before | {"a/2.png"}
    assert run.left_out()["image"].tolist() == ["a/notes.docx"]


def test_a_photograph_that_is_replaced_while_the_run_goes_on_is_noticed(tmp_path: Path) -> None:
    run, bench = begin(tmp_path / "run", of_folder(tmp_path / "data"))
    replaced = with_before("a/2.png", lambda: write_image(tmp_path / "data" / "a" / "2.png", 7))
    with pytest.raises(InputError, match=r"a/2\.png was replaced while the run went on"):
        execute(run, replaced, bench=bench, say=quiet)
    assert set(run.scores()["image"]) == {"a/1.png"}


OWN_DATA = """
import random
from captum_gag.data.datasets import Example, ImageData
from captum_gag.options import declared
from tiny import image

FIRST, SHUFFLES = 1, False

@declared
class Own(ImageData):
    def list_names(self):
        return [str(number) for number in range(4)]

    def __getitem__(self, index):
        seed = random.randrange(1000) if SHUFFLES else FIRST + index
        return Example(self.names[index], lambda: image(seed), index % 2)
"""


def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> Any:
    (tmp_path / f"{module}.py").write_text(OWN_DATA)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module(module)


def test_an_own_data_set_that_shows_other_photographs_under_old_names_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = own_data(tmp_path, monkeypatch, "own_data_shifted")
    run = done(tmp_path / "run", config(suite=SOBEL, data={"type": "own_data_shifted:Own"}))
    assert execute(run, say=quiet) == 0
    # A photograph that sorts first moves all others to the next name.
    monkeypatch.setattr(module, "FIRST", 0)
    with pytest.raises(InputError, match="4 photographs have changed since the run began"):
        execute(run, say=quiet)


@pytest.mark.parametrize("save_maps", [False, True])
def test_an_own_data_set_that_draws_at_random_is_refused(
    save_maps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"own_data_shuffled_{save_maps}".lower()
    monkeypatch.setattr(own_data(tmp_path, monkeypatch, name), "SHUFFLES", True)
    with pytest.raises(InputError, match="its data set gives another example each time"):
        done(tmp_path / "run", config(suite=SOBEL, data={"type": f"{name}:Own"}, save_maps=save_maps))


def test_modules_that_an_own_module_imports_are_in_the_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "own_net"
    (package / "deep").mkdir(parents=True)
    for name, text in {
        "__init__": "",
        "entry": "import numpy, json\nfrom . import helper\ndef model():\n    from own_net.deep import late\n",
        "helper": "import own_net.entry\nSCALE = 1",
        "deep/__init__": "",
        "deep/late": "",
        "unused": "",
    }.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("own_net.entry")
    before = identity([], "own_net.entry:model")
    own = {name.removeprefix("code of ") for name in before if name.startswith("code of")}
    assert own == {"own_net", "own_net.entry", "own_net.helper", "own_net.deep", "own_net.deep.late"}
    (package / "helper.py").write_text("SCALE = 2")
    assert differences(before, identity([], "own_net.entry:model")) == ["code of own_net.helper"]


def test_a_shard_without_work_says_so(tmp_path: Path) -> None:
    run, bench = begin(tmp_path / "run", config(suite=SOBEL))
    said: list[str] = []
    assert execute(run, bench=bench, shard=(100, 100), say=said.append) == 0
    assert any(line.startswith("shard 100/100 has nothing to do") for line in said)


def test_failed_cells_are_tried_again_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = {"methods": ["Sobel", "tiny:own_method"], "metrics": {"RCAP": {}}}
    with monkeypatch.context() as patch:
        patch.setattr("tiny.own_method", lambda *arguments: 1 / 0)
        run = done(tmp_path / "run", config(suite=suite))
    assert set(run.scores().query("error != ''")["method"]) == {"tiny:own_method"}
    assert execute(run, say=quiet) == 0
    assert execute(run, failed=True, say=quiet) == 6
    assert (run.scores()["error"] == "").all()


def test_pixels_tell_items_that_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = done(tmp_path / "run", config(suite=SOBEL))
    item = tiny.Photos.__getitem__
    # As if a file that sorts first had been added.
    monkeypatch.setattr(tiny.Photos, "__getitem__", lambda self, index: item(self, max(0, index - 1)))
    with pytest.raises(InputError, match="5 photographs have changed"):
        execute(run, say=quiet)


def test_a_run_that_another_began_meanwhile_is_not_mixed_up(tmp_path: Path) -> None:
    (late, bench), (other, _) = begin(tmp_path / "run", config(seed=1)), begin(tmp_path / "run", config())
    execute(other, shard=(1, 3), say=quiet)
    with pytest.raises(InputError, match="holds a run with another seed"):
        execute(late, bench=bench, say=quiet)
    assert Run.load(tmp_path / "run").config.seed == 0


def test_runs_of_before_keep_their_records(tmp_path: Path, whole: Run) -> None:
    place = shutil.copytree(whole.directory, tmp_path / "run")
    stored = json.loads((place / "run.json").read_text())
    assert stored.pop("digest") == whole.digest
    (place / "run.json").write_text(json.dumps(stored))
    assert execute(Run.load(place), say=quiet) == 0


def test_confidence_decides_which_images_and_is_stored(tmp_path: Path, whole: Run) -> None:
    probabilities = whole.scores().groupby("image")["probability"].first()
    threshold = probabilities.sort_values().iloc[2]
    run = done(tmp_path / "run", config(confidence=float(threshold)))
    expected = probabilities.index[probabilities > threshold].tolist()
    assert run.scores()["image"].unique().tolist() == expected
    assert pd.read_parquet(run.directory / "selection.parquet")["image"].tolist() == expected
    with pytest.raises(InputError, match="no image of the data set has a confidence above 1"):
        done(tmp_path / "none", config(confidence=1.0))


def photographs(place: Path, names: str = "abc") -> dict[str, Any]:
    """Make a folder of one photograph per class, and return its spec."""
    return folder_of(place, *(f"{name}/1.png" for name in names))


def test_a_broken_image_and_a_failing_method_cost_their_own_cells_only(tmp_path: Path) -> None:
    data = photographs(tmp_path / "data")
    (tmp_path / "data" / "b" / "1.png").write_bytes(b"no image")
    suite = {
        "methods": ["SG", "Grad-CAM:nowhere", "Random"],
        "metrics": {"RCAP": {}, "MAE": {"type": "SegmentationMAE"}, "Complexity": {"type": "quantus:Complexity"}},
    }
    scores = done(tmp_path / "run", config(suite=suite, data=data)).scores()
    # Without segmentations there is nothing that MAE could say; the broken image does not know whether it has one.
    assert len(scores) == 2 * 3 * 2 + 3 * 3
    failed = failures(scores)
    assert failed["method"].tolist() == ["Grad-CAM:nowhere", "all methods"]
    assert failed["cells"].tolist() == [4, 9]
    assert "no layer 'nowhere'" in failed["error"][0]
    assert failed["error"][1] == "1.png: not an image that Pillow can read"
    fine = scores[(scores["image"] != "b/1.png") & (scores["method"] != "Grad-CAM:nowhere")]
    assert fine["score"].notna().all()


@pytest.mark.parametrize("confidence", [0.0, 0.01])
def test_one_bad_item_costs_its_own_cells(tmp_path: Path, confidence: float) -> None:
    """Of six items one raises when it is read, and on another the model fails."""
    asked = config(
        suite=SOBEL, data={"type": "tiny:bad_items"}, model={"type": "tiny:fails_on_dark"}, confidence=confidence
    )
    scores = done(tmp_path / "run", asked).scores().set_index("image")
    fine = scores[scores["error"] == ""]
    assert list(fine.index) == ["000000", "000001", "000003", "000005"]
    assert fine["score"].notna().all()
    if confidence == 0:
        assert "item 2 is broken" in scores.loc["000002", "error"]
        assert "too dark" in scores.loc["000004", "error"]


def test_a_class_that_the_model_does_not_have_is_said_of_its_image(tmp_path: Path) -> None:
    data = photographs(tmp_path / "data", "abcd")
    (tmp_path / "data" / "classes.csv").write_text("class_index,name\n0,a\n1,b\n2,c\n3,d\n")
    scores = done(tmp_path / "run", config(suite=SOBEL, data=data)).scores()
    assert scores["score"].notna().tolist() == [True, True, True, False]
    assert "d/1.png is of class 3, tiny has 0 to 2; put a classes.csv" in scores["error"].iloc[-1]


def patients(place: Path) -> dict[str, Any]:
    """Two photographs of one patient, and two of nobody known."""
    folder_of(place / "images", *(f"ISIC_{number}.png" for number in range(4)))
    rows = "ISIC_0,bkl,p\xe9\nISIC_1,nv,p\xe9\nISIC_2,mel,\nISIC_3,nv,\n"
    (place / "train.csv").write_text(f"image_name,dx,group\n{rows}", encoding="latin-1")
    return {"type": "isic", "root": str(place)}


def in_folders(place: Path) -> dict[str, Any]:
    return photographs(place, "abc")


def in_named_folders(place: Path) -> dict[str, Any]:
    data = photographs(place, "abc")
    (place / "classes.csv").write_text("class_index,wnid,name\n0,a,ant\n1,b,bee\n2,c,\n")
    return data


@pytest.mark.parametrize(
    ("data", "model", "labels", "groups"),
    [
        (patients, "tiny:model", ["bkl", "nv", "mel", "nv"], [r"p\xe9", r"p\xe9", "", ""]),
        (patients, "tiny:named_model", ["cat", "cow", "dog", "cow"], [r"p\xe9", r"p\xe9", "", ""]),
        (in_folders, "tiny:model", ["a", "b", "c"], [""] * 3),
        (in_named_folders, "tiny:model", ["ant", "bee", "c"], [""] * 3),
        (lambda _: {"type": "tiny:Squares"}, "tiny:model", ["class 0", "class 1", "class 2"] * 3, ["series 0"] * 4),
        (lambda _: {"type": "tiny:named_items"}, "tiny:model", ["ant", "bee", "fly", "ant"], ["", "0", "1", "1"]),
    ],
)
def test_records_name_the_class_and_the_group(
    tmp_path: Path, data: Any, model: str, labels: list[str], groups: list[str]
) -> None:
    run = done(tmp_path / "run", config(suite=SOBEL, data=data(tmp_path / "photographs"), model={"type": model}))
    scores = run.scores()
    assert scores["label"].tolist() == labels[: len(scores)]
    assert scores["group"].tolist()[: len(groups)] == groups
    # The predicted class has its name too, of the same names.
    pairs = {*zip(scores["target"], scores["label"], strict=True)}
    predicted = {*zip(scores["predicted"], scores["predicted_label"], strict=True)}
    assert len(dict([*pairs, *predicted])) == len(pairs | predicted)


def test_photographs_are_kept_as_the_model_saw_them(tmp_path: Path) -> None:
    run = done(tmp_path / "run", config(suite=SOBEL, save_maps=True))
    bench = Bench.open(run.config)
    for example in bench.data:
        kept = run.photograph(example.name)
        assert kept is not None
        x = bench.scorer.classifier.preprocess(example.photo())
        assert_array_equal(kept.photo, (255 * bench.scorer.classifier.to_rgb(x)).round().permute(1, 2, 0).numpy())
        assert_array_equal(kept.mask, 255 * bench.scorer.classifier.preprocess_mask(example.mask())[0].numpy())
    file = next((run.directory / "photographs").iterdir())
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="is damaged"):
        assert sum(run.photograph(name) is None for name in bench.data.names) == 1
    assert execute(run, say=quiet) == 0, "what only a page shows is worth no image scored again"


def test_a_large_photograph_is_kept_small() -> None:
    files = encoded(torch.rand(3, 300, 448), torch.ones(1, 1, 300, 448))
    kept = decoded(files)
    assert kept is not None
    assert kept.mask is not None
    assert (kept.photo.size, kept.mask.size) == ((224, 150), (224, 150))


def test_what_cannot_be_shown_costs_the_photograph_alone(tmp_path: Path) -> None:
    """A preprocessing of the user's own, two channels of which mean and std say nothing."""
    suite = {"methods": ["SG"], "metrics": {"Sparseness": {"type": "quantus:Sparseness"}}}
    run = done(tmp_path / "run", config(suite=suite, model={"type": "tiny:two_channels"}, save_maps=True))
    assert run.scores()["score"].notna().all()
    assert [run.photograph(image) for image in run.chosen()["image"]] == [None] * 6


def test_the_file_names_need_not_be_unicode(tmp_path: Path) -> None:
    image(1).save(tmp_path / "good.png")
    os.replace(tmp_path / "good.png", os.fsencode(tmp_path) + b"/bad\xff.png")
    image(2).save(tmp_path / "good.png")
    scores = done(tmp_path.parent / "run", config(suite=SOBEL, data=folder_of(tmp_path))).scores()
    assert scores["image"].tolist() == [r"bad\xff.png", "good.png"]
    assert scores["score"].notna().all()


def weights(place: Path, more: float = 0.0) -> None:
    torch.save({name: value + more for name, value in net().state_dict().items()}, place / "weights.pth")


class TestIdentity:
    """A run is known by the content of what it is made of, not by paths and names."""

    @pytest.fixture
    def asked(self, tmp_path: Path) -> Config:
        weights(tmp_path)
        model = {"type": "tiny:model", "weights": str(tmp_path / "weights.pth")}
        return config(suite=SOBEL, model=model, data=photographs(tmp_path / "data"))

    @pytest.mark.parametrize(
        ("change", "message", "changed"),
        [
            (lambda place: weights(place, 0.1), "this has changed: weights. Mixed .*--recompute", [True] * 3),
            (
                lambda place: (place / "data" / "classes.csv").write_text("class_index,name\n2,a\n1,b\n0,c\n"),
                "this has changed: classes .*classes.csv",
                [True, False, True],
            ),
            (
                lambda place: image(99).save(place / "data" / "b" / "1.png"),
                "1 photographs have changed .* first b/1.png",
                [False, True, False],
            ),
        ],
    )
    def test_what_has_changed_is_named_and_computed_again(
        self, asked: Config, tmp_path: Path, change: Any, message: str, changed: list[bool]
    ) -> None:
        run = done(tmp_path / "run", asked)
        before = numbers(run)
        change(tmp_path)
        with pytest.raises(InputError, match=message):
            execute(Run.load(run.directory), say=quiet)
        again = 1 if "photographs" in message else 3
        assert execute(Run.load(run.directory), recompute=True, say=quiet) == again
        after = numbers(Run.load(run.directory))
        assert after["image"].is_unique
        assert (after["score"] != before["score"]).tolist() == changed
        assert execute(Run.load(run.directory), say=quiet) == 0

    def test_a_photograph_touched_or_copied_is_the_same(self, asked: Config, tmp_path: Path) -> None:
        run = done(tmp_path / "run", asked)
        place = tmp_path / "data" / "b" / "1.png"
        content = place.read_bytes()
        place.unlink()
        place.write_bytes(content)
        assert execute(Run.load(run.directory), say=quiet) == 0

    def test_package_versions(self, asked: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        now = versions()
        with monkeypatch.context() as patch:
            before = {name: number for name, number in now.items() if name != "numpy"} | {"torch": "1.0", "gone": "3"}
            patch.setattr("captum_gag.runs.identity.versions", lambda: before)
            run = done(tmp_path / "run", asked)
        said = (("torch", "1.0", now["torch"]), ("gone", "3", "none"), ("numpy", "none", now["numpy"]))
        expected = ", ".join(f"version of {name} ({one}, now {other})" for name, one, other in said)
        with pytest.raises(InputError, match=re.escape(expected)):
            execute(Run.load(run.directory), say=quiet)
        assert execute(Run.load(run.directory), recompute=True, say=quiet) == 3

    def test_a_folder_added_that_moves_the_classes(self, asked: Config, tmp_path: Path) -> None:
        run = done(tmp_path / "run", asked)
        assert numbers(run)["target"].tolist() == [0, 1, 2]
        photographs(tmp_path / "data", "B")
        shutil.rmtree(tmp_path / "data" / "c")
        with pytest.raises(InputError, match="3 photographs have changed"):
            execute(Run.load(run.directory), say=quiet)
        assert execute(Run.load(run.directory), recompute=True, say=quiet) == 3
        found = numbers(Run.load(run.directory))
        assert dict(zip(found["image"], found["target"], strict=True)) == {"B/1.png": 0, "a/1.png": 1, "b/1.png": 2}

    def test_a_photograph_that_is_gone(self, asked: Config, tmp_path: Path) -> None:
        run = done(tmp_path / "run", asked)
        (tmp_path / "data" / "c" / "1.png").unlink()
        image(5).save(tmp_path / "data" / "c" / "2.png")
        with pytest.raises(InputError, match=r"have changed since the run began, or are gone, first c/1.png"):
            execute(run, say=quiet)

    def test_a_deleted_selection_counts_no_image_twice(self, asked: Config, tmp_path: Path) -> None:
        run = done(tmp_path / "run", asked)
        before = numbers(run)
        image(7).save(tmp_path / "data" / "a" / "0.png")
        (run.directory / "selection.parquet").unlink()
        assert execute(Run.load(run.directory), say=quiet) == 1
        after = numbers(Run.load(run.directory))
        assert after["image"].tolist() == ["a/0.png", "a/1.png", "b/1.png", "c/1.png"]
        assert_frame_equal(after.iloc[1:].reset_index(drop=True), before)


def test_nothing_is_read_before_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    item = tiny.Photos.__getitem__
    monkeypatch.setattr(tiny.Photos, "__getitem__", lambda self, index: read.append(index) or item(self, index))
    parsed: list[str] = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda text, **options: parsed.append(text) or loads(text, **options))
    run, bench = begin(tmp_path / "run", config(suite=SOBEL))
    assert read == []
    execute(run, bench=bench, say=quiet)
    # Once to know each by its pixels, since it is no file, and once to score it.
    assert read == [*range(6), *range(6)]
    assert sum('"schema"' in str(text) for text in parsed) <= 1


def test_what_travels_to_a_worker_is_small(tmp_path: Path) -> None:
    """The data set of 12 MB travels as its name."""
    bench = Bench.open(config(suite=SOBEL, data={"type": "tiny:large_photos"}))
    assert len(pickle.dumps((bench.config, bench.data.names[0]))) < 2000


@pytest.mark.parametrize("batch_size", [1, None])
def test_when_memory_runs_out_smaller_batches_give_the_same_numbers(
    batch_size: int | None, tmp_path: Path, whole: Run
) -> None:
    asked = config(model={"type": "tiny:small_memory"}, batch_size=batch_size)
    scores, expected = done(tmp_path / "run", asked).scores(), whole.scores()
    assert (scores["error"] == "").all()
    assert scores["score"].to_numpy() == pytest.approx(expected["score"].to_numpy(), rel=1e-4, abs=1e-5)


@pytest.mark.slow
def test_several_processes_give_the_same_numbers_bit_for_bit(tmp_path: Path, whole: Run) -> None:
    assert_frame_equal(numbers(done(tmp_path / "run", config(), executor=in_processes(2))), numbers(whole))


@pytest.mark.slow
def test_a_worker_that_cannot_open_the_data_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_ONLY_IN", str(os.getpid()))
    with pytest.raises(InputError, match=r"^a worker cannot open what the run needs: .*only there\W*$"):
        done(tmp_path / "run", config(suite=SOBEL, data={"type": "tiny:only_in_one_process"}), executor=in_processes(2))


@pytest.mark.slow
def test_a_worker_with_another_model_is_refused(tmp_path: Path) -> None:
    """A model whose weights are drawn anew in each process would mix what cannot be mixed."""
    with pytest.raises(InputError, match="not what it is where the run began: weights"):
        done(tmp_path / "run", config(suite=SOBEL, model={"type": "tiny:random_model"}), executor=in_processes(2))


@pytest.mark.slow
def test_descriptors_and_shared_memory_stay_flat(tmp_path: Path) -> None:
    """Of 60 images with 5 maps each, none leaves a descriptor or a segment behind, kept or not."""
    run, bench = begin(tmp_path / "run", config(data={"type": "tiny:sixty_photos"}, save_maps=True))
    open_files: list[int] = []
    keep = run.keep

    def counted(*arguments: Any) -> None:
        keep(*arguments)
        open_files.append(psutil.Process().num_fds() + len(list(Path("/dev/shm").glob("torch_*"))))

    run.keep = counted  # type: ignore[method-assign]
    execute(run, in_processes(2), bench=bench, say=quiet)
    assert len(open_files) == 60
    assert max(open_files[30:]) <= max(open_files[5:20]) + 2


def go_on(directory: Path, asked: Config) -> None:
    torch.set_num_threads(1)
    run, bench = begin(directory, asked)
    execute(run, bench=bench, say=quiet)


@pytest.mark.slow
def test_killed_at_ten_random_moments_the_table_is_the_uninterrupted_one(tmp_path: Path) -> None:
    asked = config(suite={**SUITE, "n_samples": 10}, data={"type": "tiny:many_photos"})
    expected = numbers(done(tmp_path / "whole", asked))
    directory = tmp_path / "run"
    # What imports torch once is the server; the children that are killed are forks of it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["captum_gag.runs.execution", "quantus"])
    moments = random.Random(0)
    finished: list[Path] = []
    for _ in range(10):
        before = len(finished)
        process = context.Process(target=go_on, args=(directory, asked))
        process.start()
        # What matters are moments at which it works.
        while len(finished) == before and process.is_alive():
            time.sleep(0.002)
            finished = list((directory / "scores").glob("[0-9a-f]*.parquet"))
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "it was done before it could be killed"
        finished = list((directory / "scores").glob("[0-9a-f]*.parquet"))
    go_on(directory, asked)
    assert_frame_equal(numbers(Run.load(directory)), expected)
    assert expected["image"].nunique() == 200


@pytest.fixture
def ray() -> Any:
    ray = pytest.importorskip("ray")
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()
    del os.environ["PYTHONPATH"]


@pytest.mark.slow
def test_ray_gives_the_same_numbers_bit_for_bit_even_when_a_worker_is_killed(
    tmp_path: Path, whole: Run, ray: Any
) -> None:
    killed: list[psutil.Process] = []

    def kill_one(*arguments: Any) -> None:
        keep(*arguments)
        if not killed:
            below = psutil.Process().children(recursive=True)
            killed.append(next(each for each in below if "ray::RayWorker" in "".join(each.cmdline()[:1])))
            killed[0].kill()

    run, bench = begin(tmp_path / "run", config())
    keep, run.keep = run.keep, kill_one  # type: ignore[method-assign]
    execute(run, on_ray(2), bench=bench, say=quiet)
    assert killed
    assert_frame_equal(numbers(run), numbers(whole))
    with pytest.raises(InputError, match="5 workers need 5 CPUs, the cluster has 2"):
        done(tmp_path / "many", config(), executor=on_ray(5))


def test_shards_that_do_not_exist_are_refused(whole: Run) -> None:
    with pytest.raises(InputError, match="shard 3/2 does not exist"):
        execute(whole, shard=(3, 2), say=quiet)


def test_processes_take_turns_at_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device_of("cuda", number) for number in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert [device_of(device, 1) for device in ("cuda:0", "cpu", "mps")] == ["cuda:0", "cpu", "mps"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device_of("cuda", 1) == "cuda"


def test_two_shards_can_begin_a_run_together(tmp_path: Path) -> None:
    (tmp_path / ".run.json.7").write_text("{")
    (first, _), (second, _) = begin(tmp_path, config()), begin(tmp_path, config())
    execute(first, shard=(1, 2), say=quiet)
    execute(second, shard=(2, 2), say=quiet)
    assert first.scores()["image"].nunique() == 6
    (tmp_path / "run.json").unlink()
    with pytest.raises(InputError, match="is not empty and holds no run"):
        begin(tmp_path, config())
