"""The report in a real browser: no request, no error, no sideways scrolling; folding and browsing by keyboard."""

import json
import random
import re
from pathlib import Path

import PIL.Image
import pytest
from folders import evaluation, item, row, write

from counterpoise.base import InputError, sha256_bytes
from counterpoise.cli import main
from counterpoise.methods import Scale
from counterpoise.report import DoseCurve, DosePoint, Estimate, EvalFolder, files_beside, load_curve, write_report
from counterpoise.report._sections import single
from counterpoise.report._svg import dose_picture, interval_picture

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


@pytest.mark.parametrize("paired", [True, False])
def test_every_text_of_a_report_is_escaped(browser, tmp_path, paired):
    """Names and reasons come from files that others wrote, and answers from a model that may want to be a page."""
    texts = dict.fromkeys(("model", "run", "benchmark", "revision", "split", "scorer"), HOSTILE)
    texts |= {"reasons": {HOSTILE: 1}, "n_unscored": 1}
    rows = [row(metric, HOSTILE, 0.5, 2, **texts) for metric in ("asr", "over_refusal", "accuracy", HOSTILE)]
    fields = ("prompt", "answer", "reasoning", "problem", "finish", "cluster", "group", "split", "benchmark")
    same = dict.fromkeys(fields, HOSTILE)
    items = [
        item(n, HOSTILE, (True, False, None)[n % 3], 1.0, **same, id=f"{n} {HOSTILE}", scores={HOSTILE: float(n % 2)})
        for n in range(6)
    ]
    before = EvalFolder(write(tmp_path / "before", rows, items))
    after = EvalFolder(write(tmp_path / "after", rows, items)) if paired else None
    point = DosePoint({"beta": 0.1}, {HOSTILE: Estimate(0.5, 0.4, 0.6, 9)})
    dose = DoseCurve((point,), {HOSTILE: 0.1}, point, point, HOSTILE, 1, knobs=(Scale("beta", HOSTILE),))
    page = write_report(tmp_path / "report.html", before, after, dose, {"model": HOSTILE, HOSTILE: HOSTILE})
    text = page.read_text(encoding="utf-8")
    assert text.count("<script") == 2 and "<img src=x" not in text and "<script>alert" not in text
    shown, troubles = browser.new_page(), []
    shown.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
    shown.on("pageerror", lambda error: troubles.append(str(error)))
    shown.goto(page.as_uri())
    assert shown.locator(".item").count() == 6 and shown.locator("img[src=x]").count() == 0 and troubles == []
    assert HOSTILE.split("\u2028")[0].strip() in " ".join(
        shown.locator("#scorecard td.scorer").first.text_content().split()
    )
    shown.close()


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


@pytest.mark.parametrize(
    ("value", "low", "first"), [(0.1, 0.0, "0"), (0.1, -0.2, "−25"), (-0.1, -0.3, "−50"), (0, -0.9, "−100")]
)
def test_no_interval_leaves_its_picture(value, low, first):
    line = row("discrimination", "print", value, 10, ci_low=low, ci_high=0.9)
    picture = interval_picture("t", [single(line)], single=True)
    ends = [float(each) for each in re.findall(r'<line class="after" x1="([\d.-]+)"', picture)]
    assert len(ends) == 1 and 0 <= ends[0] < 340
    assert re.findall(r'class="tick"[^>]*>([^<]+)<', picture)[0] == first


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


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """10,000 transcripts of a run, 30 MB of text, and more images than a page can hold."""
    root = tmp_path_factory.mktemp("large") / "run"
    rng = random.Random(0)
    texts = [" ".join(f"word{rng.randrange(500)}" for _ in range(150)) for _ in range(50)]
    before, after = root / "before", root / "after"
    pictures = [noise(before, rng) for _ in range(120)]
    for folder, chance in ((before, 0.1), (after, 0.9)):
        rng, items, refused = random.Random(1), [], 0
        for n in range(10_000):
            harmful, modality = n % 2 == 0, "pair" if n == 9_998 else "print"  # one is of a rare kind
            score = float(rng.random() < chance)
            refused += int(harmful and score)
            answer = f"{'needle ' if n == 9_999 else ''}{HOSTILE} {n} {texts[n % 50]}"
            images = [pictures[n % len(pictures)]]
            items.append(item(n, modality, harmful, score, images=images, answer=answer, group=HOSTILE))
        write(folder, [row("asr", "all", 1 - refused / 5000, 5000)], items)
    return write_report(root / "report.html", EvalFolder(before), EvalFolder(after), None, {"note": HOSTILE})


def noise(folder: Path, rng: random.Random) -> str:
    """An image that no format makes small."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    pixels = rng.randbytes(256 * 256 * 3)
    sha = sha256_bytes(pixels)
    PIL.Image.frombytes("RGB", (256, 256), pixels).save(folder / "images" / f"{sha}.png", compress_level=1)
    return sha


def test_ten_thousand_transcripts_make_a_small_page_and_a_folder(large):
    files = sorted(files_beside(large).iterdir())
    assert large.stat().st_size < 8_000_000 and all(file.stat().st_size < 8_000_000 for file in files)
    text = large.read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    seen = [json.loads(file.read_text(encoding="utf-8").split(",", 2)[2].removesuffix(");\n")) for file in files]
    places = [item["n"] for part in [data, *seen] for item in part["items"]]
    assert sorted(places) == list(range(10_000)) and data["parts"] == [f"report_files/{file.name}" for file in files]
    assert large.stat().st_size > 6_000_000 and len(data["items"]) > 500  # the room is used
    assert any(item["m"] == "pair" for item in data["items"])  # of each kind some, also of one that is rare
    kinds = [uri.partition(":")[0] == "data" for uri in data["images"].values()]
    assert sum(kinds) > 20 and not all(kinds)
    assert all((large.parent / uri).is_file() for uri in data["images"].values() if not uri.startswith("data:"))
    assert HOSTILE not in "".join([text, *(file.read_text(encoding="utf-8") for file in files)])


def test_the_other_transcripts_come_from_the_folder(browser, large):
    context = browser.new_context(viewport={"width": 1100, "height": 900}, reduced_motion="reduce")
    shown, troubles = context.new_page(), []
    shown.on("console", lambda message: troubles.append(message.text) if message.type != "log" else None)
    shown.on("pageerror", lambda error: troubles.append(str(error)))
    shown.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
    shown.on("request", lambda r: troubles.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    shown.goto(large.as_uri())
    assert "of 10,000 items are in this page" in shown.locator("#more").text_content()
    shown.locator("[name=search]").fill("needle")
    shown.locator("#more button").click()
    shown.locator("#more", has_text="All 10,000 items are loaded").wait_for(timeout=30_000)
    assert "1 of 10,000 items" in shown.locator("#status").text_content()
    shown.locator(".item").first.scroll_into_view_if_needed()
    assert "<script>alert(1)" in shown.locator(".item .said").first.text_content()
    shown.locator("[name=search]").fill("")
    ids = [each.split(" · ")[-1] for each in shown.locator(".item .where").all_text_contents()]
    assert ids[:2] == ["family-0-print-harmful", "family-1-print-benign"]  # in the order of the items
    for _ in range(5):
        shown.locator(".next").first.click()
    files = shown.locator(".item img[src^='before/images/']").all()[:3]  # in the evaluation's folder
    assert len(files) == 3
    for image in files:
        image.scroll_into_view_if_needed()
        image.evaluate("image => image.decode()")
        assert image.evaluate("image => image.naturalWidth") == 256
    assert troubles == []
    context.close()


def test_a_page_without_its_folder_says_so(browser, large, tmp_path):
    alone = tmp_path / "alone.html"
    alone.write_bytes(large.read_bytes())
    other = tmp_path / "report_files"
    shown = browser.new_page()
    shown.goto(alone.as_uri())
    shown.locator("#more button").click()
    shown.locator("#more span", has_text="not found").wait_for(timeout=30_000)
    other.mkdir()
    text = (files_beside(large) / "transcripts-001.js").read_text(encoding="utf-8")
    (other / "transcripts-001.js").write_text(
        text.replace('counterpoiseTranscripts("', 'counterpoiseTranscripts("x', 1)
    )
    shown.locator("#more button").click()
    shown.locator("#more span", has_text="belongs to another report").wait_for(timeout=30_000)
    assert "of 10,000" not in shown.locator("#status").text_content()  # what was not loaded is not counted
    shown.close()


def test_files_of_an_earlier_report_go_and_others_stay(tmp_path):
    folder = EvalFolder(evaluation(tmp_path / "e", {"text": 0.5}, n=3))
    beside = files_beside(tmp_path / "report.html")
    beside.mkdir()
    for name in ("transcripts-001.js", "transcripts-002.js", "mine.txt"):
        (beside / name).write_text("old")
    write_report(tmp_path / "report.html", folder, None, None, {})
    assert [file.name for file in beside.iterdir()] == ["mine.txt"]
    (beside / "mine.txt").unlink()
    write_report(tmp_path / "report.html", folder, None, None, {})
    assert not beside.exists()


def test_a_page_elsewhere_shows_no_image_from_outside_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("counterpoise.report._html.PAGE", 1)  # room for nothing
    folder = EvalFolder(evaluation(tmp_path / "e", {"print": 0.5}, n=6))
    page = write_report(tmp_path / "other" / "report.html", folder, None, None, {})
    texts = [file.read_text(encoding="utf-8") for file in (page, *files_beside(page).iterdir())]
    assert "6 images are not shown" in texts[0] and len(texts) == 2
    assert not any(".png" in text or "file:" in text or "../" in text for text in texts)


def test_the_command_names_what_belongs_to_the_page_and_force_clears_it(tmp_path, monkeypatch, capsys):
    from counterpoise.runs._record import PARTS

    monkeypatch.setattr("counterpoise.report._html.PAGE", 1)
    folder = evaluation(tmp_path / "e", {"text": 0.5}, n=3)
    assert main(["report", str(folder)]) == 0
    assert f"{folder / 'report_files'} belongs to it" in capsys.readouterr().out
    assert files_beside(Path("report.html")).name in PARTS
    monkeypatch.undo()
    assert main(["report", str(folder)]) == 0
    assert "belongs to it" not in capsys.readouterr().out and not (folder / "report_files").exists()


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
