"""A run loses nothing, repeats nothing, and gives the same numbers however it was interrupted and whoever works."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import quantus
import safetensors.torch
import torch
from pandas.testing import assert_frame_equal
from tiny import image

from captum_gag.attr import saliency_map
from captum_gag.attr.catalogue import method
from captum_gag.errors import InputError
from captum_gag.metrics import aopc, rcap
from captum_gag.models.loading import load_classifier
from captum_gag.runs.executors import device_of, in_processes, on_ray
from captum_gag.runs.running import execute, failures
from captum_gag.runs.store import Config, Run

SUITE = {
    "methods": ["GAG-85", "SG", {"name": "SG", "n_samples": 4, "label": "SG of 4"}, "SG^sharp", "Random:3"],
    "metrics": {
        "RCAP": {"type": "RCAP", "lower_bound": 50, "interval": 25},
        "AOPC": {"type": "AOPC", "lengths": [2, 5]},
        "MAE": {"type": "SegmentationMAE"},
        "Sparseness": {"type": "quantus:Sparseness"},
    },
    "n_samples": 6,
}
CONFIG = Config(suite=SUITE, model="tiny:model", data="tiny:photos", device="cpu", threads=1)
TIMES = ["duration"]


def done(directory, config=CONFIG, **options):
    run = Run.create(directory, config)
    execute(run, say=lambda text: None, **options)
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return done(tmp_path_factory.mktemp("whole") / "run")


def numbers(run):
    return run.scores().drop(columns=TIMES)


def test_rows_hold_what_the_functions_give(whole):
    scores = whole.scores()
    classifier = load_classifier("tiny:model", device="cpu")
    metrics = ["RCAP", "AOPC L=2", "AOPC L=5", "MAE", "Sparseness"]
    assert scores["image"].unique().tolist() == [f"{k:06d}" for k in range(6)]
    assert list(scores["metric"].unique()) == metrics
    assert len(scores) == 6 * 5 * 5
    assert (scores["error"] == "").all()
    example = scores[(scores["image"] == "000002")].set_index(["method", "metric"])["score"]
    from captum_gag.data.datasets import load_dataset

    x = classifier.preprocess(load_dataset("tiny:photos")[2].photo())[None]
    attribution = method("SG").attribute(classifier.model, x, 2, n_samples=4)
    options = {"normalization": classifier.normalization}
    expected = rcap(classifier.model, x, attribution, 2, interval=25, **options)
    assert example["SG of 4", "RCAP"] == pytest.approx(expected.item(), abs=1e-6)
    expected = aopc(classifier.model, x, attribution, 2, n_steps=5, **options)
    assert example["SG of 4", "AOPC L=5"] == pytest.approx(expected.item(), abs=1e-6)
    mask = torch.zeros(12, 12)
    mask[:, :6] = 1
    expected = (saliency_map(attribution)[0] - mask).abs().mean()
    assert example["SG of 4", "MAE"] == pytest.approx(expected.item(), abs=1e-6)


def test_what_made_a_row_is_in_it(whole):
    scores = whole.scores()
    assert (scores["seed"] == 0).all()
    assert scores["probability"].between(0, 1).all()
    assert scores.groupby("metric")["higher_is_better"].first().to_dict()["MAE"] == False  # noqa: E712
    # One hash per method and metric, and SG's differ by its samples.
    assert scores.groupby(["method", "metric"])["parameters"].nunique().eq(1).all()
    assert scores[scores["method"].isin(["SG", "SG of 4"])]["parameters"].nunique() == 8
    assert "captum-gag 0.1.0" in scores["versions"].iloc[0]
    assert json.loads((whole.directory / "run.json").read_text())["versions"]["torch"] == version("torch")


def test_maps_are_kept_when_asked_for(tmp_path, whole):
    run = done(tmp_path / "run", replace(CONFIG, save_maps=True, limit=2))
    maps = safetensors.torch.load_file(run.directory / "maps" / "000001.safetensors")
    assert set(maps) == set(whole.scores()["method"])
    assert maps["SG"].shape == (12, 12)
    assert len(list((run.directory / "maps").iterdir())) == 2


def test_shards_and_resuming_make_the_whole(tmp_path, whole):
    run = Run.create(tmp_path / "run", CONFIG)
    assert execute(run, shard=(2, 2), say=lambda text: None) == 3
    assert run.scores()["image"].unique().tolist() == ["000001", "000003", "000005"]
    said = []
    assert execute(Run.load(run.directory), say=said.append) == 3
    assert said == ["3 of 6 images are done already"]
    assert execute(run, say=lambda text: None) == 0
    assert_frame_equal(numbers(run), numbers(whole))


def test_another_config_never_mixes_into_a_run(whole, tmp_path):
    with pytest.raises(InputError, match="holds a run with another seed; give --out another directory"):
        Run.create(whole.directory, replace(CONFIG, seed=1))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not empty and holds no run"):
        Run.create(tmp_path, CONFIG)
    with pytest.raises(InputError, match="holds no run; expected a directory that captum-gag run made"):
        Run.load(tmp_path)


def test_confidence_decides_which_images_and_is_stored(tmp_path, whole):
    probabilities = whole.scores().groupby("image")["probability"].first()
    threshold = probabilities.sort_values().iloc[2]
    run = done(tmp_path / "run", replace(CONFIG, confidence=float(threshold)))
    expected = probabilities.index[probabilities > threshold].tolist()
    assert run.scores()["image"].unique().tolist() == expected
    assert pd.read_parquet(run.directory / "selection.parquet")["image"].tolist() == expected
    with pytest.raises(InputError, match="no image of tiny:photos has a confidence above 1"):
        done(tmp_path / "none", replace(CONFIG, confidence=1.0))


def test_a_broken_image_and_a_failing_method_cost_their_own_cells_only(tmp_path):
    folder = tmp_path / "data"
    for label in ("a", "b", "c"):
        (folder / label).mkdir(parents=True)
        image(ord(label)).save(folder / label / "1.png")
    (folder / "b" / "1.png").write_bytes(b"no image")
    suite = {
        "methods": ["SG", "Grad-CAM:nowhere", "Random"],
        "metrics": {"RCAP": {}, "MAE": {"type": "SegmentationMAE"}, "Complexity": {"type": "quantus:Complexity"}},
    }
    run = done(tmp_path / "run", replace(CONFIG, suite=suite, data=str(folder)))
    scores = run.scores()
    # Without segmentations there is nothing that MAE could say; the broken image does not know whether it has one.
    assert len(scores) == 2 * 3 * 2 + 3 * 3
    failed = failures(scores)
    assert failed["method"].tolist() == ["Grad-CAM:nowhere", "all methods"]
    assert failed["cells"].tolist() == [4, 9]
    assert failed["error"][0].startswith("The model has no layer 'nowhere'")
    assert failed["error"][1].endswith("b/1.png: not an image that Pillow can read")
    fine = scores[(scores["image"] != "b/1.png") & (scores["method"] != "Grad-CAM:nowhere")]
    assert fine["score"].notna().all()


def test_a_class_that_the_model_does_not_have_is_said_of_its_image(tmp_path):
    for label in "abcd":
        (tmp_path / "data" / label).mkdir(parents=True)
        image(ord(label)).save(tmp_path / "data" / label / "1.png")
    suite = {"methods": ["Sobel"], "metrics": {"RCAP": {}}}
    scores = done(tmp_path / "run", replace(CONFIG, suite=suite, data=str(tmp_path / "data"))).scores()
    assert scores["score"].notna().tolist() == [True, True, True, False]
    assert "d/1.png is of class 3, tiny has 0 to 2; put a classes.csv" in scores["error"].iloc[-1]


def test_a_data_set_that_has_changed_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("1.png", "2.png"):
        image(1).save(tmp_path / "data" / name)
    config = replace(CONFIG, suite={"methods": ["Sobel"], "metrics": {"RCAP": {}}}, data=str(tmp_path / "data"))
    run = done(tmp_path / "run", config)
    (tmp_path / "data" / "2.png").unlink()
    with pytest.raises(InputError, match=r"has changed since the run began; 2\.png is not where it was"):
        execute(run, say=lambda text: None)


def test_when_memory_runs_out_smaller_passes_give_the_same_numbers(tmp_path, whole):
    run = done(tmp_path / "run", replace(CONFIG, model="tiny:small_memory"))
    scores, expected = run.scores(), whole.scores()
    assert (scores["error"] == "").all()
    np.testing.assert_allclose(scores["score"], expected["score"], rtol=1e-4, atol=1e-5)


def test_several_processes_give_the_same_numbers_bit_for_bit(tmp_path, whole):
    assert_frame_equal(numbers(done(tmp_path / "run", engine=in_processes(2))), numbers(whole))


def start(directory):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "captum_gag.cli", "resume", str(directory)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_killed_at_ten_random_moments_the_table_is_the_uninterrupted_one(tmp_path):
    config = replace(CONFIG, suite={**SUITE, "n_samples": 40}, data="tiny:many_photos")
    expected = numbers(done(tmp_path / "whole", config))
    run = Run.create(tmp_path / "run", config)
    moments = random.Random(0)
    finished = []
    for _ in range(10):
        before = len(finished)
        process = start(run.directory)
        # Importing takes seconds; what matters are moments at which it works.
        while len(finished) == before and process.poll() is None:
            time.sleep(0.002)
            finished = list((run.directory / "scores").glob("[0-9]*.parquet"))
        time.sleep(moments.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it was done before it could be killed"
        finished = list((run.directory / "scores").glob("[0-9]*.parquet"))
    # One map of these random images is constant, which Quantus refuses: that cell fails, and the exit status says so.
    assert start(run.directory).wait() == int((expected["error"] != "").any())
    assert_frame_equal(numbers(Run.load(run.directory)), expected)
    assert expected["image"].nunique() == 200


@pytest.fixture
def ray():
    ray = pytest.importorskip("ray")
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()
    del os.environ["PYTHONPATH"]


def test_ray_gives_the_same_numbers_bit_for_bit_even_when_a_worker_is_killed(tmp_path, whole, ray):
    killed = []

    def kill_one(index, rows, maps):
        keep(index, rows, maps)
        if not killed:
            workers = (process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"])
            killed.append(next(each for each in workers if "ray::RayScorer" in each.info["cmdline"][0]))
            killed[0].kill()

    run = Run.create(tmp_path / "run", CONFIG)
    keep, run.keep = run.keep, kill_one
    execute(run, on_ray(2), say=lambda text: None)
    assert killed
    assert_frame_equal(numbers(run), numbers(whole))
    with pytest.raises(InputError, match="5 workers need 5 CPUs, the cluster has 2"):
        done(tmp_path / "many", engine=on_ray(5))


def test_shards_that_do_not_exist_are_refused(whole):
    with pytest.raises(InputError, match="shard 3/2 does not exist"):
        execute(whole, shard=(3, 2), say=lambda text: None)


def test_processes_take_turns_at_the_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device_of("cuda", number) for number in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert [device_of(device, 1) for device in ("cuda:0", "cpu", "mps")] == ["cuda:0", "cpu", "mps"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device_of("cuda", 1) == "cuda"


def test_two_shards_can_begin_a_run_together(tmp_path):
    (tmp_path / ".run.json.7").write_text("{")
    first, second = Run.create(tmp_path, CONFIG), Run.create(tmp_path, CONFIG)
    execute(first, shard=(1, 2), say=lambda text: None)
    execute(second, shard=(2, 2), say=lambda text: None)
    assert first.scores()["image"].nunique() == 6
    (tmp_path / "run.json").unlink()
    with pytest.raises(InputError, match="is not empty and holds no run"):
        Run.create(tmp_path, CONFIG)


def test_methods_and_metrics_of_ones_own_run_beside_the_others(tmp_path):
    suite = {
        "methods": ["SG", "tiny:own_method", {"name": "tiny:own_method", "n_samples": 4, "label": "own of 4"}],
        "metrics": {"own": {"type": "tiny:OwnCurve"}, "IAUC": {"type": "Insertion", "perturb_baseline": "mean"}},
        "n_samples": 2,
    }
    suite["metrics"]["IAUC"]["n_steps"] = 4
    scores = done(tmp_path / "run", replace(CONFIG, suite=suite)).scores()
    assert list(scores["method"].unique()) == ["SG", "tiny:own_method", "own of 4"]
    assert set(scores["error"]) == {""}
    own, same = (scores[scores["metric"] == name]["score"].to_numpy() for name in ("own", "IAUC"))
    np.testing.assert_array_equal(own, same)
    assert all(scores.groupby("method")["parameters"].nunique() == 2)


def test_metrics_of_quantus_are_given_one_value_per_pixel(tmp_path):
    suite = {"methods": ["SG"], "metrics": {"Rank": {"type": "quantus:RelevanceRankAccuracy"}}, "n_samples": 3}
    run = done(tmp_path / "run", replace(CONFIG, suite=suite, limit=1))
    scorer = run.config.scorer()
    [(_, example)] = run.selection(scorer, print)
    x = scorer.classifier.preprocess(example.photo())[None]
    attributions = method("SG").attribute(scorer.model, x, example.target, 3, 0).sum(1, keepdim=True)
    mask = scorer.classifier.preprocess_mask(example.mask())[None]
    expected = quantus.RelevanceRankAccuracy(disable_warnings=True)(
        model=scorer.model,
        x_batch=x.numpy(),
        y_batch=np.array([example.target]),
        a_batch=attributions.numpy(),
        s_batch=mask.numpy(),
    )
    assert run.scores()["score"].tolist() == expected
    assert run.scores()["error"].tolist() == [""]


def test_gradients_that_fail_are_tried_once_for_all_methods_that_share_them(tmp_path, monkeypatch):
    tried = []

    def failing(methods, *_):
        tried.append([each.name for each in methods])
        raise RuntimeError("no gradients")

    monkeypatch.setattr("captum_gag.runs.scorer.attribute_together", failing)
    suite = {"methods": ["GAG-85", "Random", "SG", "GAG-0"], "metrics": {"RCAP": {"type": "RCAP"}}, "n_samples": 3}
    scores = done(tmp_path / "run", replace(CONFIG, suite=suite, limit=1)).scores()
    assert tried == [["GAG-85", "SG", "GAG-0"]]
    assert scores["error"].tolist() == ["RuntimeError: no gradients", "", *["RuntimeError: no gradients"] * 2]
