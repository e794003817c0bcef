"""The page of a run holds its numbers, takes nothing from outside at its word, and does with what is there."""

import json
import re
import shlex
import shutil
from dataclasses import asdict
from html.parser import HTMLParser

import pytest
from pandas.testing import assert_frame_equal
from scoring import call, config_of, run_of

from captum_gag.errors import InputError
from captum_gag.report.captions import headings
from captum_gag.report.page import write_page
from captum_gag.report.summary import summarised
from captum_gag.report.worst import worst
from captum_gag.runs.execution import begin
from captum_gag.runs.store import Run

from .conftest import CLOSING, HOSTILE, SUITE


class Page(HTMLParser):
    """What a browser would make of a file."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.scripts, self.text, self.inside = [], [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside.append(tag)
        if tag == "script":
            self.scripts.append([dict(attributes), ""])

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self.inside and self.inside[-1] == "script":
            self.scripts[-1][1] += data
        else:
            self.text.append(data)

    def data(self, name="data"):
        return next(json.loads(text) for attributes, text in self.scripts if attributes.get("id") == name)


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    return Page(write_page(run, tmp_path_factory.mktemp("page") / "report.html", n_bootstrap=50))


def test_the_page_holds_the_numbers_of_the_run(run, page):
    scores, data = run.scores(), page.data()
    assert data["methods"] == SUITE["methods"]
    for image, method, metric, score in scores[["image", "method", "metric", "score"]].itertuples(index=False):
        place = data["images"].index(image), data["methods"].index(method), data["metrics"].index(metric)
        shown = data["scores"][place[0]][place[1]][place[2]]
        assert shown == (None if score != score else pytest.approx(score, abs=1e-6))
    text = " ".join(" ".join(page.text).split())
    summary = summarised(scores, n_bootstrap=50)
    for verdict in summary.verdicts.to_dict("records"):
        assert f"{verdict['state']} {verdict['reason']}" in text
    direction, images = headings(summary.rows)["DAUC"]
    assert direction == "lower is better"
    assert f"{direction}, {images}" in text
    assert "g.png" in text, "what failed is named"


def test_nothing_from_outside_is_taken_for_code(page):
    assert [attributes for tag, attributes in page.tags if tag == "img"] == []
    assert not [attributes for tag, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    code = [text for attributes, text in page.scripts if attributes.get("type") != "application/json"]
    assert len(code) == 1
    assert "alert(" not in code[0]
    assert HOSTILE in page.data()["images"]
    assert page.data("image-0")["image"] == HOSTILE
    assert CLOSING in page.data()["metrics"]
    assert any(CLOSING in text for text in page.text)


def test_nothing_is_asked_of_the_network(page):
    addresses = [
        attributes.get(name) for _, attributes in page.tags for name in ("src", "href", "action") if name in attributes
    ]
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert not re.findall(r"@import|url\((?!#)", page.source)
    [policy] = [a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none'")


def test_ids_are_there_once_and_figures_have_words(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    groups = [one for one in ids if not re.fullmatch(r"[mpC][0-9a-f_]+|DejaVu.*", one)]
    assert len(groups) == len(set(groups))
    figures = [attributes for _, attributes in page.tags if attributes.get("role") == "img"]
    assert len(figures) >= 5
    assert all(attributes["aria-label"] for attributes in figures)


def test_the_command_repeats_the_run(run, tmp_path):
    page = Page(write_page(run, tmp_path / "report.html", n_bootstrap=50, paths=True))
    command = next(text for text in page.text if text.startswith("captum-gag run"))
    toml = next(text for text in page.text if text.startswith("title ="))
    (tmp_path / "suite.toml").write_text(toml)
    words = shlex.split(command)
    again = tmp_path / "again"
    words[words.index("suite.toml")], words[words.index("RUN")] = str(tmp_path / "suite.toml"), str(again)
    result = call(*words[1:])
    assert result.exit_code == 1, "one image is broken"
    drop = ["seconds", "run"]
    assert_frame_equal(Run.load(again).scores().drop(columns=drop), run.scores().drop(columns=drop))
    assert asdict(Run.load(again).config) == asdict(run.config)


def test_the_worst_images_of_the_best_explanations_lead_to_the_gallery(run, page):
    rows = worst(run.scores(), n=6)
    begin = next(place for place, (_, attributes) in enumerate(page.tags) if attributes.get("id") == "worst")
    own = page.tags[begin:]
    shown = [attributes for tag, attributes in own if tag == "a" and "data-method" in attributes]
    images = page.data()["images"]
    named = [(each["data-method"], images[int(each["data-image"])]) for each in shown]
    assert named == list(rows[["method", "image"]].itertuples(index=False, name=None))
    assert len([tag for tag, attributes in own if "data-thumbnail" in attributes]) == len(rows)


def test_fewer_images_than_there_are_leave_every_number_as_it_is(run, page, tmp_path):
    few = Page(write_page(run, tmp_path / "report.html", n_bootstrap=50, most=3))
    data, whole = few.data(), page.data()
    assert len(data["shown"]) == len(data["labels"]) == 3
    assert any("3 of 7 images are shown" in text for text in few.text)
    items = [few.data(f"image-{number}") for number in data["shown"]]
    assert [item["image"] for item in items] == [data["images"][number] for number in data["shown"]]
    assert all(item["why"] for item in items)
    assert (data["images"], data["scores"]) == (whole["images"], whole["scores"])
    assert not any("images are shown" in text for text in page.text)

    def tables(found):
        return found.source.split('id="scores"')[1].split('id="figures"')[0]

    assert tables(few) == tables(page)
    # All the worst are named, and those that are shown lead to the gallery.
    links = {attributes["data-image"] for tag, attributes in few.tags if tag == "a" and "data-image" in attributes}
    assert links <= set(map(str, data["shown"]))
    worst_images = set(worst(run.scores(), n=6)["image"])
    assert worst_images <= {text.strip() for text in few.text}


def test_a_run_without_maps_says_how_to_keep_them(copied, tmp_path):
    for file in (copied.directory / "maps").iterdir():
        file.unlink()
    page = Page(write_page(copied, tmp_path / "report.html", n_bootstrap=50))
    assert any("--save-maps" in text and "kept no maps" in text for text in page.text)
    assert page.data("image-1")["pictures"] == ""
    assert "data-thumbnail=" not in page.source
    assert "data-strip=" not in page.source


def test_a_run_of_an_earlier_version_says_that_it_has_no_photographs(copied, tmp_path):
    shutil.rmtree(copied.directory / "photographs")
    page = Page(write_page(copied, tmp_path / "report.html", n_bootstrap=50))
    assert any("kept no photographs" in text for text in page.text)
    assert not page.data()["photographs"]
    assert page.data("image-1")["pictures"]


def test_published_means_are_those_given_or_else_the_suites_own(reconfigured, tmp_path):
    published = {"paper": "huang-liu-2024", "table": 2, "source": "mine", "RCAP": {"SG": 0.321}}
    run = reconfigured(suite={**SUITE, "published": published})
    own = write_page(run, tmp_path / "own.html", n_bootstrap=50, most=1).read_text(encoding="utf-8")
    given = {"RCAP": {"SG": 0.654}}
    other = write_page(run, tmp_path / "given.html", n_bootstrap=50, most=1, published=given).read_text(
        encoding="utf-8"
    )
    assert [own.count(f"(published {mean}") > 0 for mean in ("0.321", "0.654", "0.438")] == [True, False, False]
    assert [other.count(f"(published {mean}") > 0 for mean in ("0.321", "0.654")] == [False, True]


def test_a_run_that_still_goes_on_is_shown_as_far_as_it_is(copied, tmp_path):
    for file in sorted((copied.directory / "scores").iterdir())[2:]:
        file.unlink()
    page = Page(write_page(copied, tmp_path / "report.html", n_bootstrap=50))
    assert any("2 of 7 images" in text for text in page.text)


def test_a_run_with_a_truth_answers_which_metric_to_take(tmp_path):
    half = {"label": "half", "type": "Truth", "transform": "misplaced", "strength": 0.5}
    metrics = {
        "Mass": {"type": "quantus:RelevanceMassAccuracy", "abs": True},
        "RCAP": {},
        "MAE": {"type": "SegmentationMAE"},
    }
    suite = {"methods": ["SG", "VG", "GAG-0", "Truth", half], "metrics": metrics, "truth": ["Mass"], "n_samples": 3}
    run = run_of(tmp_path / "run", config_of(suite))
    page = Page(write_page(run, tmp_path / "report.html", n_bootstrap=50))
    # MAE is given the segmentation, and Mass is the truth: neither is advised.
    advice = [
        text
        for text in page.text
        if re.match("It cannot be told whether a metric is valid: the nearest, RCAP, has", text)
    ]
    assert len(advice) == 1
    assert "check-marks" in page.source
    assert {"check-validity", "check-faults"} <= {
        attributes.get("id") for tag, attributes in page.tags if tag == "table"
    }


def test_random_orderings_alone_are_shown_unchecked(tmp_path):
    suite = {"methods": ["Random"], "metrics": {"Sparseness": {"type": "quantus:Sparseness"}}}
    run = run_of(tmp_path / "run", config_of(suite, limit=2))
    page = Page(write_page(run, tmp_path / "report.html", n_bootstrap=50))
    assert any("Not checked: there is no method to judge" in text for text in page.text)


def test_colours_stand_in_one_place_and_dark_has_all_that_light_has(page):
    style = page.source.partition("<style>")[2].partition("</style>")[0]
    light, dark, rest = style.strip().split("\n", 2)
    names = [re.findall(r"--([\w-]+): [^;]+;", line) for line in (light, dark)]
    assert names[0] == names[1]
    assert dark.startswith("@media screen and (prefers-color-scheme: dark)"), "paper stays white"
    assert not re.findall(r"#[0-9a-fA-F]{3,6}\b(?![^{]*\{)", rest)
    assert set(re.findall(r"var\(--([\w-]+)\)", rest)) <= {*names[0], "small", "large", "title", "space"}


def test_every_figure_is_a_file_of_the_format_asked_for(run, tmp_path):
    call("report", run.directory, "--out", tmp_path / "x.html", "--format", "svg")
    written = {path.stem: path.read_bytes()[:5] for path in (tmp_path / "figures").iterdir()}
    assert {"means", "heat-map", "details", "maps", "alpha"} <= set(written)
    assert set(written.values()) == {b"<?xml"}


def test_no_name_of_a_column_or_of_an_empty_value_is_shown(page):
    text = " ".join(page.text)
    assert not re.search(r"higher_is_better|rank_low|difference_high|flips|\bNaN\b|\bnan\b", text)
    # That of the gallery's button.
    assert len(re.findall(r"\bNone\b", text)) == 1
    assert not re.search(r"\bp = 0\.000\b|p = 0\b(?!\.)", text)


def test_the_command_writes_the_page_and_needs_a_run(run, tmp_path):
    result = call("report", str(run.directory), "--out", str(tmp_path / "x.html"))
    assert result.output.strip() == str(tmp_path / "x.html")
    assert (tmp_path / "x.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    few = call("report", str(run.directory), "--images=2", "--out", str(tmp_path / "x.html"))
    assert len(Page(tmp_path / "x.html").data()["shown"]) == 2, few.output
    empty, _ = begin(tmp_path / "new", config_of(SUITE))
    with pytest.raises(InputError, match=r"no image is (chosen|done) yet"):
        write_page(empty, tmp_path / "y.html")
