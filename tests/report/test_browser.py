"""The page in a real browser: sorting, filtering, picking; by keyboard; on a phone; no error, no request."""

import re
import shutil

import numpy as np
import pytest
from playwright.sync_api import expect, sync_playwright

from captum_gag.report.page import write_page
from captum_gag.report.score_page import MISSING
from captum_gag.report.tables import comparison

from .conftest import HOSTILE

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def path(run, tmp_path_factory):
    return write_page(run, tmp_path_factory.mktemp("page") / "report.html", n_bootstrap=50)


@pytest.fixture(params=[(1280, 900, "light"), (390, 844, "dark")], ids=["desktop", "phone"])
def page(browser, path, request):
    """The page, which by the end has said nothing on the console and asked for nothing."""
    width, height, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("#maps canvas")
    yield page
    page.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]


def _column(page, table, number):
    cells = page.locator(f"#{table} tbody tr:not([hidden])").all()
    return [cell.locator("th, td").nth(number).inner_text() for cell in cells]


def _numbers(texts):
    return [float(text.split()[0].rstrip("*")) for text in texts]


def test_tables_sort_down_and_up(page):
    button = page.locator("#means thead button").nth(1)
    button.click()
    first = _numbers(_column(page, "means", 1))
    assert first == sorted(first, reverse=True)
    assert page.locator("#means th").nth(1).get_attribute("aria-sort") == "descending"
    button.press("Enter")
    assert _numbers(_column(page, "means", 1)) == sorted(first)
    page.locator("#means thead button").nth(0).click()
    assert page.locator("#means th").nth(1).get_attribute("aria-sort") is None


def test_tables_filter_and_say_how_many_rows_are_left(page):
    page.get_by_text("All numbers", exact=True).first.click()
    page.locator("[data-filter=numbers]").fill("dauc")
    assert set(_column(page, "numbers", 0)) == {"DAUC"}
    assert page.locator("[data-count=numbers]").inner_text() == "6 of 24 rows"


def test_scores_of_each_image_sort_filter_and_change_metric(page):
    page.get_by_text("Scores of each image").first.click()
    # The page draws the table when it has loaded.
    page.locator("#cells tbody tr").first.wait_for()
    assert page.locator("#cells tbody tr").count() == 7
    page.locator("#cells-metric").select_option("DAUC")
    page.locator("#cells thead button").nth(2).click()
    shown = _column(page, "cells", 2)
    known = [text for text in shown if text != MISSING]
    assert _numbers(known) == sorted(_numbers(known), reverse=True)
    assert shown[len(known) :] == [MISSING, MISSING], "what is missing is last"
    page.locator("#cells-filter").fill("<SCRIPT>")
    assert _column(page, "cells", 0) == [HOSTILE]
    assert page.locator("#cells-count").inner_text() == "1 of 1 images"


def test_picking_images_and_methods_draws_their_maps(page):
    assert page.locator("#maps figure").count() == 7, "photograph, slider, five methods"
    assert page.locator("#image option").first.inner_text().startswith(HOSTILE)
    before = page.locator("#maps canvas").nth(2).evaluate("canvas => canvas.toDataURL()")
    page.locator("#next").click()
    expect(page.locator("#picked")).to_contain_text("b.png")
    canvas = page.locator("#maps canvas").nth(2)
    assert canvas.evaluate("canvas => canvas.toDataURL()") != before
    assert canvas.get_attribute("aria-label").startswith("Map of GAG-85: RCAP ")
    page.locator("#none").click()
    expect(page.locator("#maps figure")).to_have_count(2)
    page.get_by_label("SG^sharp").check()
    expect(page.locator("#maps figure")).to_have_count(3)
    assert page.locator("#curves polyline").count() == 3


def test_maps_are_coloured_and_laid_over_the_photograph(page):
    canvas = page.locator("#maps canvas").nth(4)
    reddest = """canvas => {
        const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return Math.max(...data.filter((_, i) => i % 4 === 0).map((red, i) => red - data[4 * i + 2]));
    }"""
    assert canvas.evaluate(reddest) > 50, "inferno is no grey"
    grey = """canvas => {
        const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return Math.min(...data.filter((_, i) => i % 4 === 2));
    }"""
    assert canvas.evaluate(grey) < 10, "black where there is no saliency"
    page.get_by_label("Maps over the photograph").check()
    expect(canvas).to_have_attribute("aria-label", re.compile(r"Map of SG over the photograph: RCAP 0\.\d+"))
    assert canvas.evaluate(grey) > 10, "the photograph shows through"


def test_an_image_without_maps_and_a_name_that_no_image_has(page):
    page.locator("#find").fill("g.png")
    expect(page.locator("#picked")).to_have_text("g.png")
    assert page.locator("#maps canvas").count() == 0
    assert f"RCAP {MISSING}" in page.locator("#maps").inner_text()
    page.locator("#find").fill("no such image")
    expect(page.locator("#picked")).to_have_text("No image is called so.")
    assert page.locator("#next").is_disabled()


def test_a_badly_explained_image_is_drawn_and_leads_to_its_maps(page):
    canvas = page.locator("#worst [data-thumbnail]").last
    expect(canvas).to_have_attribute("width", re.compile(r"\d+"))
    # Read once, since Chromium says on the console what is read twice.
    halves = """canvas => {
        const {data, width} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const sums = [0, 0];
        data.forEach((value, i) => { if (i % 4 < 3) sums[(i / 4) % width < width / 2 ? 0 : 1] += value; });
        return sums;
    }"""
    photograph, drawn = canvas.evaluate(halves)
    assert photograph > 0
    assert drawn > 0
    page.locator("#none").click()
    page.locator("#worst summary").last.click()
    link = page.locator("#worst [data-image]").last
    name, method = link.inner_text(), link.get_attribute("data-method")
    link.click()
    expect(page.locator("#picked")).to_contain_text(name.strip())
    expect(page.get_by_label(method, exact=True)).to_be_checked()
    assert f"Map of {method}: " in page.locator("#maps canvas").last.get_attribute("aria-label")


def test_a_disagreement_leads_to_its_image(page):
    page.locator("#disagreement summary").click()
    link = page.locator("#disagreement [data-image]").first
    name = link.inner_text()
    link.click()
    expect(page.locator("#picked")).to_contain_text(name)


def test_the_keyboard_reaches_what_the_mouse_does(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    page.locator("#image").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#picked")).to_contain_text("b.png")
    unnamed = "[...document.querySelectorAll('input, select')].filter(each => each.labels.length === 0).length"
    assert page.evaluate(unnamed) == 0


def test_the_slider_redraws_gags_map(page, run):
    slider = page.get_by_label("GAG, percentile p")
    expect(slider).to_have_value("85")
    canvas = page.locator("#maps canvas").nth(1)
    drawn = """async p => {
        const item = JSON.parse(document.getElementById("image-0").textContent);
        return [...guided(await partsOf(item.guide), p)];
    }"""
    for method, percentile in (("GAG-85", 85), ("GAG-0", 0)):
        found = np.array(page.evaluate(drawn, percentile)).reshape(12, 12)
        np.testing.assert_allclose(found / found.max(), run.maps(HOSTILE)[method], atol=0.01)
    before = canvas.evaluate("canvas => canvas.toDataURL()")
    slider.press("Home")
    expect(canvas).to_have_attribute("aria-label", "Map of GAG at percentile 0")
    assert canvas.evaluate("canvas => canvas.toDataURL()") != before
    page.locator("#next").click()
    expect(page.locator("#picked")).to_contain_text("b.png")
    expect(page.get_by_label("GAG, percentile p")).to_have_value("0")


def test_the_page_opens_with_the_best_maps_beside_the_control(page, run):
    rows = comparison(run.scores(), n_bootstrap=50)
    [best] = rows.loc[rows["best"] & rows["metric"].eq("RCAP"), "method"]
    assert "no vote" in page.locator(".answer").inner_text()
    expect(page.locator(".means svg")).to_be_visible()
    assert page.locator(".cards .state").first.inner_text() == "cannot tell"
    for row in page.locator("[data-strip]").all():
        canvases = row.locator("canvas")
        expect(canvases.last).to_have_attribute("width", "256")
        assert canvases.nth(1).get_attribute("aria-label") == f"Map of {best}"
        assert "Random" in row.locator(".control").inner_text()
        assert row.locator("figure").count() == 4


def test_a_method_has_one_line_everywhere(page):
    strokes = """[...document.querySelectorAll("main :not(.answer) > .key")].map(key => [
        key.parentElement.textContent.trim(), key.firstElementChild.getAttribute("stroke"),
        key.firstElementChild.getAttribute("stroke-dasharray")])"""
    lines = {}
    for text, *line in page.evaluate(strokes):
        for method in ("GAG-85", "GAG-0", "Random"):
            if text.startswith(method):
                lines.setdefault(method, set()).add(tuple(line))
    assert {method: len(found) for method, found in lines.items()} == {"GAG-85": 1, "GAG-0": 1, "Random": 1}
    of_chart = page.locator("#curves polyline").first
    assert (of_chart.get_attribute("stroke"), of_chart.get_attribute("stroke-dasharray")) in lines["GAG-85"]
    drawn = page.locator("#figures figure svg").last.inner_html().lower()
    assert next(iter(lines["GAG-85"]))[0].lower() in drawn


def test_the_page_is_no_wider_than_the_screen(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    if page.viewport_size["width"] < 400:
        wider = """[...document.querySelectorAll("main *")].filter(each => !each.closest("svg, select")
            && each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display !== "inline"
            && each.clientWidth > 0).map(each => each.outerHTML.slice(0, 200))"""
        assert page.evaluate(wider) == []


def test_words_stand_out_from_what_is_behind_them(page):
    """By WCAG's contrast, of ink and quiet words on the page's own paper, in light and in dark."""
    colours = page.evaluate("""["--ink", "--quiet", "--link", "--paper"].map(name =>
        getComputedStyle(document.documentElement).getPropertyValue(name).trim())""")
    *words, paper = map(luminance, colours)
    assert all((max(each, paper) + 0.05) / (min(each, paper) + 0.05) >= 4.5 for each in words)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == f"rgb{rgb(colours[-1])}"


def rgb(colour):
    digits = colour.removeprefix("#")
    whole = digits if len(digits) == 6 else "".join(2 * each for each in digits)
    return tuple(int(whole[place : place + 2], 16) for place in (0, 2, 4))


def luminance(colour):
    shares = [each / 255 for each in rgb(colour)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in shares]
    return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_on_paper_there_is_neither_navigation_nor_dark(page):
    page.emulate_media(media="print")
    expect(page.locator("nav")).to_be_hidden()
    expect(page.locator("#find")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    expect(page.locator(".cards").first).to_be_visible()


def test_few_rows_have_no_filter_and_errors_are_whole(page):
    assert page.locator("[data-filter=failures]").count() == 0
    error = page.locator("#failures td.text").first
    assert error.evaluate("cell => cell.scrollWidth <= cell.clientWidth + 1")
    assert error.evaluate("cell => getComputedStyle(cell).whiteSpace") == "normal"
