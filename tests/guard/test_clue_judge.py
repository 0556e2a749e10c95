"""The chain with a scorer that says what the test wrote: what is asked, in which order, and what becomes of it."""

import random
import time

import pytest
from PIL import Image as Picture

from counterpoise.base import InputError
from counterpoise.chat import Image
from counterpoise.guard.clue import (
    Box,
    Clue,
    Constants,
    Constitution,
    Found,
    Query,
    Rated,
    Reading,
    Scan,
    Scanned,
    Settings,
    combine,
    html,
    is_small,
    keep,
    parse_constitution,
    picture,
    read_central,
    read_rating,
    save_run,
    without,
)


def image(seed: int = 0, size: tuple[int, int] = (100, 100)) -> Image:
    colour = random.Random(seed).choices(range(256), k=3)
    return Image.from_pil(Picture.new("RGB", size, tuple(colour)), f"image {seed}")


def made(*rules: dict) -> Constitution:
    return parse_constitution({"rules": list(rules)}, "test")


CHAIN = {"id": "chain", "text": "a, b and c", "preconditions": ["a", "b", "c"], "central": ["[x]", "[y]", "[z]"]}


class Scripted:
    """M by content: alone, with the image, with the region removed (the image's source says so), with the crop."""

    id, tokens, prompts = "scripted", "none", "none"

    def __init__(
        self, shown: dict, *, prior=0.2, removed: dict | None = None, crop: dict | None = None, says: dict | None = None
    ):
        self.shown, self.prior = shown, prior
        self.removed, self.crop, self.says = removed or {}, crop or {}, says or {}
        self.read_queries: list[Query] = []
        self.reasoned: list[Query] = []

    def read(self, queries):
        self.read_queries += queries
        return [self._one(query) for query in queries]

    def _one(self, query: Query) -> Reading:
        if query.image is None:
            return Reading(self.prior, 1.0)
        for part, table in ((" without ", self.removed), (" at ", self.crop)):
            if part in query.image.source:
                value = table[query.content]
                break
        else:
            value = self.shown[query.content]
        return value if isinstance(value, Reading) else Reading(value, 1.0)

    def reason(self, queries):
        self.reasoned += queries
        return [self.says.get(query.content, Rated(None, "gibberish")) for query in queries]


class Boxes:
    """A detector with given answers; it counts."""

    id = "boxes"

    def __init__(self, **found: Found):
        self.found, self.calls = found, 0

    def find(self, image, words):
        self.calls += 1
        return [self.found.get(word) for word in words]


def judge(asker, *rules: dict, images=None, **more):
    return Clue(asker, made(*rules), **more).judge(images or [image()])


BOTH = pytest.mark.parametrize("batched", [False, True])


@BOTH
def test_all_visible_is_unsafe_and_names_everything(batched):
    [verdict] = judge(Scripted({"a": 0.95, "b": 0.95, "c": 0.95}), CHAIN, batched=batched)
    assert verdict.label == "unsafe" and verdict.violated == ("chain",)
    evidence = [group[0] for group in verdict.findings[0].chain]
    assert [(e.text, e.path, e.image.m, e.prior.m) for e in evidence] == [(c, "b", 0.95, 0.2) for c in "abc"]


@BOTH
def test_the_first_failed_precondition_ends_the_rule(batched):
    asker = Scripted({"a": 0.95, "b": 0.05, "c": 0.5})
    [verdict] = judge(asker, CHAIN, batched=batched)
    assert verdict.label == "safe" and not asker.reasoned
    assert [group[0].text for group in verdict.findings[0].chain] == ["a", "b"]
    if not batched:  # the naive order asks nothing about c; the batch asked ahead, for the price of a few tokens
        assert {query.content for query in asker.read_queries} == {"a", "b"}
        assert len(asker.read_queries) == 4


@BOTH
def test_reasoning_decides_what_probabilities_do_not(batched):
    shown = {"a": 0.5, "b": 0.5, "c": 0.5}
    yes, no = Rated(True, "I see it"), Rated(False, "no such thing")
    asker = Scripted(shown, says={"a": yes, "b": no, "c": yes})
    [verdict] = judge(asker, CHAIN, batched=batched)
    assert verdict.label == "safe" and [q.content for q in asker.reasoned] == ["a", "b"]  # c is never reasoned about
    assert [group[0].path for group in verdict.findings[0].chain] == ["d", "d"]
    [verdict] = judge(Scripted(shown, says=dict.fromkeys("abc", yes)), CHAIN, batched=batched)
    assert verdict.label == "unsafe" and verdict.findings[0].chain[0][0].rationale == "I see it"


def test_the_batch_spares_reasoning_that_cannot_matter():
    """c fails by its probability, so nobody needs to reason about a and b; the rule's answer is the same."""
    tables = {"a": 0.5, "b": 0.5, "c": 0.01}
    naive, batched = (Scripted(tables, says=dict.fromkeys("ab", Rated(True, ""))) for _ in range(2))
    [one], [other] = judge(naive, CHAIN, batched=False), judge(batched, CHAIN)
    assert one.label == other.label == "safe" and len(naive.reasoned) == 2 and not batched.reasoned


# Regions


BIG = Found(Box(10, 10, 60, 60), 0.9)
SMALL = Found(Box(10, 10, 19, 20), 0.9)  # 90 of 10,000 pixels
ONE = {"id": "one", "text": "a", "preconditions": ["a"], "central": ["[x]"]}


@BOTH
def test_removing_the_region_decides(batched):
    asker = Scripted({"a": 0.8}, prior=0.5, removed={"a": 0.1})
    [verdict] = judge(asker, ONE, detector=Boxes(x=BIG), batched=batched)
    evidence = verdict.findings[0].chain[0][0]
    assert (verdict.label, evidence.path, evidence.removed.m, evidence.cropped) == ("unsafe", "c", 0.1, False)
    assert evidence.found == BIG


@BOTH
@pytest.mark.parametrize(
    "found", [None, Found(BIG.box, 0.05), Found(Box(200, 200, 300, 300), 0.9), Found(Box(20, 20, 20, 40), 0.9)]
)
def test_without_a_confident_box_inside_the_image_step_c_is_skipped(found, batched):
    asker = Scripted({"a": 0.8}, prior=0.5)
    [verdict] = judge(asker, ONE, detector=Boxes(x=found), batched=batched)
    assert verdict.label == "unknown" and len(asker.reasoned) == 1
    assert all(q.image is None or "without" not in q.image.source for q in asker.read_queries)


@BOTH
def test_a_small_region_is_judged_from_its_crop(batched):
    asker = Scripted({"a": 0.5}, crop={"a": 0.95}, prior=0.2)
    [verdict] = judge(asker, ONE, detector=Boxes(x=SMALL), batched=batched)
    evidence = verdict.findings[0].chain[0][0]
    assert verdict.label == "unsafe" and evidence.cropped and evidence.path == "b" and evidence.image.m == 0.95
    # an undecided crop: step c compares the whole image with and without the region, and d looks at the crop
    asker = Scripted({"a": 0.9}, crop={"a": 0.5}, removed={"a": 0.2}, prior=0.5)
    [verdict] = judge(asker, ONE, detector=Boxes(x=SMALL), batched=batched)
    assert verdict.findings[0].chain[0][0].path == "c"
    asker = Scripted({"a": 0.6}, crop={"a": 0.5}, removed={"a": 0.5}, prior=0.5, says={"a": Rated(True, "")})
    [verdict] = judge(asker, ONE, detector=Boxes(x=SMALL), batched=batched)
    assert verdict.findings[0].chain[0][0].path == "d" and " at " in asker.reasoned[0].image.source


@pytest.mark.parametrize(("confidence", "cropped"), [(0.04, False), (0.05, False), (0.06, True)])
def test_the_crop_needs_confidence_too(confidence, cropped):
    asker = Scripted({"a": 0.5}, crop={"a": 0.5}, removed={"a": 0.5})
    [verdict] = judge(asker, ONE, detector=Boxes(x=Found(SMALL.box, confidence)))
    assert verdict.findings[0].chain[0][0].cropped is cropped


def test_small_is_less_than_a_hundredth_of_the_image():
    assert is_small(Box(0, 0, 9, 11), (100, 100), 0.01) and not is_small(Box(0, 0, 10, 10), (100, 100), 0.01)


def test_boxes_of_several_words():
    a, b = Found(Box(0, 0, 20, 20), 0.5), Found(Box(50, 50, 150, 90), 0.8)
    both, either = read_central("[a] and [b]"), read_central("[a] or [b]")
    assert combine(both, [a, b], 0.05, (100, 100)) == (Box(0, 0, 100, 90), 0.5)
    assert combine(either, [a, b], 0.05, (100, 100)) == (Box(50, 50, 100, 90), 0.8)
    assert combine(both, [a, None], 0.05, (100, 100)) is None
    assert combine(either, [a, None], 0.05, (100, 100)) == a


@pytest.mark.parametrize("fill", ["mean", "blur", "black"])
def test_removal_changes_the_region_and_nothing_else(fill):
    noise = Picture.effect_noise((60, 40), 90).convert("RGB")
    removed = without(Image.from_pil(noise), Box(10, 5, 30, 25), fill).pil()
    assert removed.size == noise.size
    outside = [(x, y) for x in range(60) for y in range(40) if not (10 <= x < 30 and 5 <= y < 25)]
    assert all(removed.getpixel(p) == noise.getpixel(p) for p in outside)
    assert removed.crop((10, 5, 30, 25)).tobytes() != noise.crop((10, 5, 30, 25)).tobytes()
    if fill == "black":
        assert removed.getpixel((15, 15)) == (0, 0, 0)
    with pytest.raises(InputError, match="unknown fill"):
        without(image(), Box(0, 0, 5, 5), "inpaint")


def test_boxes_are_in_pixels_of_the_upright_image():
    """An image that EXIF turns: 40 x 20 as stored, 20 x 40 as seen."""
    import io

    exif = Picture.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Picture.new("RGB", (40, 20), "white").save(buffer, "PNG", exif=exif)
    turned = Image.from_bytes(buffer.getvalue(), "turned")
    assert turned.pil().size == (20, 40)
    removed = without(turned, Box(0, 30, 20, 40), "black").pil()
    assert removed.size == (20, 40) and removed.getpixel((10, 35)) == (0, 0, 0) != removed.getpixel((10, 5))


# OR groups


EITHER = {"id": "or", "text": "a or b, and c", "preconditions": [{"any": ["a", "b"]}, "c"]}


@BOTH
@pytest.mark.parametrize(
    ("shown", "says", "label", "reasoned"),
    [
        ({"a": 0.01, "b": 0.95, "c": 0.95}, {}, "unsafe", 0),
        ({"a": 0.01, "b": 0.01, "c": 0.95}, {}, "safe", 0),
        ({"a": 0.5, "b": 0.95, "c": 0.95}, {}, "unsafe", 0),  # a stays open: b is enough
        ({"a": 0.5, "b": 0.01, "c": 0.95}, {"a": Rated(True, "")}, "unsafe", 1),
        ({"a": 0.5, "b": 0.5, "c": 0.95}, {"a": Rated(False, ""), "b": Rated(False, "")}, "safe", 2),
        ({"a": 0.5, "b": 0.5, "c": 0.95}, {"a": Rated(False, "")}, "unknown", 2),
    ],
)
def test_or_groups(shown, says, label, reasoned, batched):
    asker = Scripted(shown, says=says)
    [verdict] = judge(asker, EITHER, batched=batched)
    assert verdict.label == label and len(asker.reasoned) == reasoned


# What is not known


@BOTH
def test_unparsable_reasoning_is_unknown_unless_another_rule_is_violated(batched):
    asker = Scripted({"a": 0.5, "b": 0.95})
    other = {"id": "other", "text": "b", "preconditions": ["b"]}
    [verdict] = judge(asker, ONE, batched=batched)
    assert verdict.label == "unknown" and "undecided: one" in verdict.reason and verdict.violated == ()
    assert "no rating" in verdict.findings[0].chain[0][0].reason
    [verdict] = judge(asker, ONE, other, batched=batched)
    assert verdict.label == "unsafe" and verdict.violated == ("other",)


@BOTH
def test_too_little_mass_on_yes_and_no_decides_nothing(batched):
    sure = Reading(0.99, 0.4)
    [verdict] = judge(Scripted({"a": sure}), ONE, batched=batched)
    assert verdict.label == "unknown"
    [verdict] = judge(Scripted({"a": sure}, says={"a": Rated(False, "")}), ONE, batched=batched)
    assert verdict.label == "safe" and verdict.findings[0].chain[0][0].path == "d"
    loose = Settings(Constants(least_mass=0.3))
    [verdict] = judge(Scripted({"a": sure}), ONE, batched=batched, settings=loose)
    assert verdict.label == "unsafe"


@BOTH
def test_reasoning_can_be_switched_off(batched):
    asker = Scripted({"a": 0.5})
    [verdict] = judge(asker, ONE, batched=batched, settings=Settings(reasoning=False))
    assert verdict.label == "unknown" and not asker.reasoned
    assert "reasoning is off" in verdict.findings[0].chain[0][0].reason


@BOTH
def test_a_broken_image_is_unknown_and_the_others_go_on(batched):
    broken = Image.from_bytes(b"\x89PNG\r\n\x1a\nnothing", "broken.png")
    found = judge(Scripted({"a": 0.95}), ONE, images=[image(1), broken, image(2)], batched=batched)
    assert [v.label for v in found] == ["unsafe", "unknown", "unsafe"]
    assert "broken.png" in found[1].reason and not found[1].findings


class Slow(Scripted):
    def reason(self, queries):
        time.sleep(0.3)
        return super().reason(queries)


@BOTH
def test_a_time_limit_leaves_unknown(batched):
    says = dict.fromkeys("abc", Rated(True, ""))
    slow = Slow({"a": 0.5, "b": 0.5, "c": 0.5}, says=says)
    [verdict] = judge(slow, CHAIN, batched=batched, seconds=0.2)
    assert verdict.label == "unknown" and "chain" in verdict.reason
    assert verdict.findings[0].chain[-1][0].reason == "time limit" and len(slow.reasoned) == 1


def test_rules_without_preconditions_are_refused():
    with pytest.raises(InputError, match="rule r: no preconditions"):
        judge(Scripted({}), {"id": "r", "text": "x"})


# Batched and naive


def test_batched_equals_naive_on_random_chains():
    """300 random cases: chains, OR groups, regions, undecided and unreadable answers."""
    rng, texts = random.Random(0), [f"c{n}" for n in range(6)]
    labels = set()
    for _ in range(300):
        rules = []
        for number in range(rng.randint(1, 3)):
            parts = [
                rng.choice(texts) if rng.random() < 0.6 else {"any": rng.sample(texts, rng.randint(1, 3))}
                for _ in range(rng.randint(1, 3))
            ]
            flat = [t for part in parts for t in (part["any"] if isinstance(part, dict) else [part])]
            rules.append({"id": f"r{number}", "text": "x", "preconditions": parts, "central": [f"[{t}]" for t in flat]})
        tables = [{t: rng.choice([0.02, 0.5, 0.75, 0.97]) for t in texts} for _ in range(3)]
        says = {t: rng.choice([Rated(True, ""), Rated(False, ""), Rated(None, "")]) for t in texts}
        boxes = Boxes(**{t: rng.choice([BIG, SMALL]) for t in texts if rng.random() < 0.6})
        images = [image(n) for n in range(3)]
        naive, batched = (
            judge(
                Scripted(tables[0], prior=0.4, removed=tables[1], crop=tables[2], says=says),
                *rules,
                images=images,
                detector=boxes,
                batched=b,
            )
            for b in (False, True)
        )
        assert [(v.label, v.violated) for v in naive] == [(v.label, v.violated) for v in batched]
        labels |= {v.label for v in naive}
    assert labels == {"safe", "unsafe", "unknown"}


def test_one_batch_asks_for_all_rules_of_all_images():
    class Counted(Scripted):
        calls = 0

        def read(self, queries):
            self.calls += 1
            return super().read(queries)

    asker = Counted(dict.fromkeys("abc", 0.95))
    judge(asker, CHAIN, EITHER, ONE, images=[image(n) for n in range(4)], batched=True)
    assert asker.calls == 1


# The scan


class Table:
    id = "table"

    def __init__(self, *rows):
        self.rows = rows

    def similarity(self, images, texts):
        import numpy as np

        return np.array(self.rows[: len(images)], float)


RULES = [{"id": f"r{n}", "text": c, "preconditions": [c]} for n, c in enumerate("abc")]


@BOTH
def test_the_scan_leaves_rules_out_and_says_so(batched):
    asker = Scripted(dict.fromkeys("abc", 0.95))
    nan = float("nan")
    scan = Scan(Table([0.3, 0.1, 0.22], [0.1, 0.1, 0.1], [0.1, nan, 0.1]), 0.22)
    found = judge(asker, *RULES, images=[image(n) for n in range(3)], scan=scan, batched=batched)
    if batched:  # the table gives its first row to a single image
        assert [v.violated for v in found] == [("r0", "r2"), (), ("r1",)]
        assert found[1].label == "safe" and "no rule was judged" in found[1].reason and found[1].scan[0].kept is False
    assert found[0].scan[1] == Scanned("r1", 0.1, False)


def test_close_to_the_threshold_all_rules_are_judged():
    import numpy as np

    rules = made(*RULES).rules
    row = np.array([0.215, 0.1, 0.1])
    assert all(s.kept for s in keep(row, rules, 0.22, True))
    assert not any(s.kept for s in keep(row, rules, 0.22, False))
    assert [s.kept for s in keep(np.array([0.3, 0.1, 0.22]), rules, 0.22, True)] == [True, False, True]


# What is shown


def test_a_page_with_everything_escaped(tmp_path):
    nasty = '<script>alert(1)</script>"&'
    rule = {"id": "one", "text": nasty, "preconditions": [nasty], "central": ["[x]"]}
    asker = Scripted({nasty: 0.7}, removed={nasty: 0.4}, says={nasty: Rated(True, f"because {nasty}")})
    shown = [Image(source=nasty, data=image().data), Image.from_bytes(b"no image", nasty)]
    verdicts = judge(asker, rule, images=shown, detector=Boxes(x=BIG), scan=Scan(Table([0.5], [0.5]), 0.2))
    page = save_run(tmp_path, shown, verdicts, {"model": nasty})
    text = page.read_text()
    assert "<script" not in text and text.count("&lt;script&gt;") >= 5 and "default-src 'none'" in text
    assert "reasoned" in text and "confidence 0.90" in text and "because" in text
    files = sorted((tmp_path / "pictures").iterdir())
    assert [f.name for f in files] == ["0000.png", "0001.png"]
    import json

    saved = json.loads((tmp_path / "verdicts.json").read_text())["verdicts"][0]
    [[evidence]] = saved["findings"][0]["preconditions"]
    assert evidence["path"] == "d" and evidence["box"] == {"box": [10, 10, 60, 60], "confidence": 0.9}
    assert evidence["m_image"] == {"m": 0.7, "mass": 1.0} and evidence["m_removed"]["m"] == 0.4
    assert evidence["rationale"].startswith("because")


def test_the_picture_shows_the_region():
    [verdict] = judge(Scripted({"a": 0.8}, prior=0.5, removed={"a": 0.1}), ONE, detector=Boxes(x=BIG))
    with_box, base = picture(image(), verdict), picture(image(), verdict.__class__("image 0", "safe"))
    assert with_box.getpixel((10 + 32, 10 + 60)) != base.getpixel((10 + 32, 10 + 60))
    assert html([image()], [verdict], {}).count("data:image/png") == 1


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ('{"rating": "Yes", "rationale": "x"}', True),
        ('```json\n{"rating": "no", "rationale": "x"}\n```', False),
        ('{"rating": "Yes"}', True),
        ("Yes", None),
        ('{"rating": "Yes or No"}', None),
        ('{"rating": true}', None),
        ('{"rating": "Yes", "rat', None),
        ('["Yes"]', None),
        ("", None),
        ('The answer is {"rating": "Yes"}', None),
    ],
)
def test_ratings(text, yes):
    assert read_rating(text).yes is yes
