"""The report in a real browser: no request, no error, no sideways scrolling; folding and browsing by keyboard."""

import json
import re
from pathlib import Path

import pytest
from folders import evaluation, item, row, write

from counterpoise.base import InputError
from counterpoise.methods import Scale
from counterpoise.report import DoseCurve, DosePoint, Estimate, EvalFolder, load_curve, write_report
from counterpoise.report._svg import dose_picture

HOSTILE = '</script><script>alert(1)</script><img src=x onerror=alert(1)> & "quotes" \u2028'


def curve() -> DoseCurve:
    def point(fraction: float, amount: int, asr: float, over: float, split: str = "validation") -> DosePoint:
        values = {"asr": asr, "over_refusal": over, "capability_drop": 0.01}
        dose = {"fraction": fraction, "amount": amount} if amount else {}
        return DosePoint(dose, {k: Estimate(v, v - 0.01, v + 0.04, 120) for k, v in values.items()}, split)

    points = (
        point(0, 0, 0.8, 0.02),
        point(0.05, 700, 0.4, 0.03),
        point(0.1, 700, 0.06, 0.05),
        point(0.2, 700, 0.01, 0.3),
    )
    targets = {"asr": 0.12, "over_refusal": 0.1, "capability_drop": 0.06}
    return DoseCurve(points, targets, points[2], point(0.1, 700, 0.07, 0.05, "test"), "10 % is the smallest dose.", 3)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("report")
    before = evaluation(root / "before", {"text": 0.9, "print": 0.1, "picture": 0.2}, seed=1)
    after = evaluation(root / "after", {"text": 0.92, "print": 0.95, "picture": 0.85}, seed=2)
    for folder in (before, after):
        with (folder / "items.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(item(99, "text", True, None, answer=HOSTILE, prompt=HOSTILE, group=HOSTILE)) + "\n")
    run = {"model": "tiny", "seed": 0, "note": HOSTILE, "versions": {"torch": "x"}}
    return write_report(root / "report.html", EvalFolder(before), EvalFolder(after), curve(), run)


def test_nothing_in_the_file_points_outside(report):
    text = report.read_text(encoding="utf-8")
    data = re.search(r'id="data">(.*?)</script>', text, re.S)
    assert data and len(json.loads(data[1])["items"]) == 3 * 80 + 40 + 1
    outside = re.findall(
        r"(?:src|href|action|data)=[\"'](?!data:|#)[^\"']*|url\(|@import|https?://(?!www\.w3\.org)", text
    )
    assert outside == []
    assert "default-src 'none'" in text and HOSTILE not in text and "<img src=x" not in text


def test_a_single_evaluation_has_a_report_too(tmp_path):
    folder = EvalFolder(evaluation(tmp_path / "only", {"print": 0.5}, n=6))
    text = write_report(tmp_path / "report.html", folder, None, None, {}).read_text(encoding="utf-8")
    assert "What tiny does" in text and "Before" not in text.split('<script type="application/json"')[0]


def test_images_are_embedded_once(tmp_path):
    folder = EvalFolder(evaluation(tmp_path / "only", {"print": 0.5}, n=6))
    text = write_report(tmp_path / "report.html", folder, None, None, {}).read_text(encoding="utf-8")
    assert len(json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])["images"]) == 6


def test_unscored_rows_show_both_bounds_and_incomplete(tmp_path):
    line = row("asr", "print", 0.5, 10, n_unscored=10)
    folder = EvalFolder(write(tmp_path / "a", [line], [item(1, "print", True, 1.0)]))
    text = write_report(tmp_path / "report.html", folder, None, None, {}).read_text(encoding="utf-8")
    assert "25.0 to 75.0 if unscored counted either way" in text and "incomplete: over 10 % unscored" in text


def test_the_dose_curve_survives_its_file(tmp_path):
    curve().save(tmp_path / "dose.json")
    assert load_curve(tmp_path / "dose.json") == curve()


def test_a_dose_file_of_the_first_version_is_read(tmp_path):
    """Before methods had knobs of their own, a point was a fraction and an amount, 0 of it before any training."""
    numbers = {"asr": [0.5, 0.4, 0.6, 120]}
    first = [
        {"fraction": 0.0, "amount": 0, "estimates": numbers, "split": "validation", "seed": 0},
        {"fraction": 0.2, "amount": 700, "estimates": numbers, "split": "validation", "seed": 0},
    ]
    rest = {"targets": {"asr": 0.1}, "chosen": first[1], "confirmed": None, "message": "m", "trainings": 1}
    (tmp_path / "dose.json").write_text(json.dumps({"points": first, **rest}))
    found = load_curve(tmp_path / "dose.json")
    assert [point.dose for point in found.points] == [{}, {"fraction": 0.2, "amount": 700}]
    assert [knob.name for knob in found.knobs] == ["fraction", "amount"] and found.chosen == found.points[1]


def test_a_dose_file_of_a_later_version_is_refused(tmp_path):
    curve().save(tmp_path / "dose.json")
    text = (tmp_path / "dose.json").read_text().replace('"version": 2', '"version": 3')
    (tmp_path / "dose.json").write_text(text)
    with pytest.raises(InputError, match="version 3, of a newer|version 3 of a newer"):
        load_curve(tmp_path / "dose.json")


def test_the_picture_of_a_falling_knob_goes_from_weak_to_strong():
    knob = Scale("beta", "penalty beta", "number", "falling")
    points = [DosePoint({"beta": b}, {"asr": Estimate(b, b, b, 9)}) for b in (0.1, 0.4, 0.2)]
    drawn = DoseCurve((DosePoint({}, {"asr": Estimate(0.9, 0.9, 0.9, 9)}), *points), {}, knobs=(knob,))
    assert [point.dose.get("beta") for point in drawn.in_order("asr")] == [None, 0.4, 0.2, 0.1]
    picture = dose_picture("asr", drawn)
    assert ">penalty beta</text>" in picture
    assert re.search(r"base: 90.0.%; 0.4: 40.0.%; 0.2: 20.0.%; 0.1: 10.0.%", picture)


@pytest.fixture
def page(browser, report):
    context = browser.new_context(viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    shown = context.new_page()
    shown.troubles = []
    shown.on("console", lambda message: shown.troubles.append(message.text) if message.type != "log" else None)
    shown.on("pageerror", lambda error: shown.troubles.append(str(error)))
    shown.on("dialog", lambda dialog: (shown.troubles.append(f"dialog {dialog.message}"), dialog.dismiss()))
    shown.on(
        "request", lambda r: shown.troubles.append(r.url) if not r.url.startswith((report.as_uri(), "data:")) else None
    )
    shown.goto(report.as_uri())
    yield shown
    assert shown.troubles == []
    context.close()


def test_no_sideways_scrolling(page):
    for width in (320, 390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{wide} pixels too wide at {width}"


def test_every_picture_has_a_title_and_description(page):
    assert page.locator("svg[role=img]").count() == 3 + 3
    for svg in page.locator("svg").all():
        assert svg.locator("title").text_content() and svg.locator("desc").text_content()


def test_harmful_answers_are_folded_and_open_by_keyboard(page):
    page.locator("[name=side]").select_option("true")
    page.locator("[name=modality]").select_option("print")
    fold = page.locator(".item details").first
    assert not fold.locator(".said").is_visible()
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    assert fold.locator(".said").is_visible()


def test_browsing_pages_and_filters(page):
    assert page.locator(".item").count() == 20
    assert "281 of 281 items, page 1 of 15" in page.locator("#status").text_content()
    first = page.locator(".item .where").first.text_content()
    page.locator(".next").first.focus()
    page.keyboard.press("Enter")
    assert "page 2 of 15" in page.locator("#status").text_content()
    assert page.locator(".item .where").first.text_content() != first
    page.locator("[name=benchmark]").select_option("reading")
    assert "40 of 281" in page.locator("#status").text_content()
    page.locator("[name=benchmark]").select_option("")
    page.locator("[name=change]").select_option("now refused")
    assert page.locator(".item .badge:text-is('changed')").count() == page.locator(".item").count() > 0
    page.locator("[name=change]").select_option("")
    page.locator("[name=search]").fill("family-7-print-harmful")
    assert page.locator(".item").count() == 1 and page.locator(".item img").count() == 1
    page.wait_for_function("document.querySelector('.item img').complete")
    assert page.evaluate("document.querySelector('.item img').naturalWidth") == 224
    page.locator("[name=search]").fill("nothing has this text")
    assert "No item matches" in page.locator("#status").text_content()


def test_hostile_text_stays_text(page):
    page.locator("[name=search]").fill("onerror")
    assert page.locator(".item").count() == 1
    page.locator(".item details summary").first.click()
    assert "<script>alert(1)" in page.locator(".item .said").first.text_content()


def test_thousands_of_items_stay_fast(browser, tmp_path):
    items = [item(f, "text", True, float(f % 2)) for f in range(5000)]
    folder = EvalFolder(write(tmp_path / "many", [row("asr", "text", 0.5, 5000)], items))
    shown = browser.new_page()
    shown.goto(write_report(tmp_path / "report.html", folder, None, None, {}).as_uri())
    assert "5,000 of 5,000" in shown.locator("#status").text_content()
    turn = "document.querySelector('.next').click()"
    spent = shown.evaluate(f"(() => {{ const start = performance.now(); {turn}; return performance.now() - start }})()")
    assert spent < 500  # milliseconds; only twenty items are ever in the page
    shown.close()
