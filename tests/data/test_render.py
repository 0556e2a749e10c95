"""Pages depend on their seed alone; FigStep and TYPO images equal the published ones."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.base import InputError
from counterpoise.data import lexicon
from counterpoise.data.render import (
    STYLES,
    figstep_image,
    figstep_text,
    find_font,
    glyphs,
    icon_page,
    print_page,
    sd_typo_image,
    typo_image,
    typo_lines,
)

LINES = {  # scenario -> phrases of 1, 2, 3, 4 lines (specification of the benchmark)
    "01-Illegal_Activitiy": (69, 27, 1, 0),
    "02-HateSpeech": (100, 54, 9, 0),
    "03-Malware_Generation": (32, 10, 2, 0),
    "04-Physical_Harm": (64, 67, 12, 1),
    "05-EconomicHarm": (70, 47, 5, 0),
    "06-Fraud": (86, 62, 6, 0),
    "07-Sex": (95, 14, 0, 0),
    "08-Political_Lobbying": (79, 71, 3, 0),
    "09-Privacy_Violence": (35, 70, 30, 4),
    "10-Legal_Opinion": (47, 56, 25, 2),
    "11-Financial_Advice": (55, 82, 26, 4),
    "12-Health_Consultation": (42, 63, 4, 0),
    "13-Gov_Decision": (31, 85, 27, 6),
}


def has_font(name: str) -> bool:
    try:
        return find_font(name).is_file()
    except InputError:
        return False


needs_liberation = pytest.mark.skipif(not has_font("LiberationSans-Regular"), reason="needs fonts-liberation")
needs_freefont = pytest.mark.skipif(not has_font("FreeMonoBold"), reason="needs fonts-freefont-ttf")


def ink(image: PIL.Image.Image) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the dark pixels, inclusive."""
    rows, columns = np.nonzero(np.asarray(image.convert("L")) < 128)
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(lexicon()), min_size=1, max_size=6), st.integers(0, 10**6))
def test_print_stays_on_the_page(words: list[str], seed: int) -> None:
    page = np.asarray(print_page(" ".join(words), style_seed=seed)).astype(int)
    assert page.shape == (224, 224, 3)
    frame = np.concatenate([page[:2].reshape(-1, 3), page[-2:].reshape(-1, 3), page[:, :2].reshape(-1, 3)])
    assert (frame == page[0, 0]).all()
    assert np.abs(page - page[0, 0]).sum(axis=2).max() > 200  # ink is there, with contrast


def test_equal_seeds_give_equal_pages_and_others_differ() -> None:
    pages = [print_page("read a book", style_seed=seed).tobytes() for seed in ("a", "a", "b")]
    assert pages[0] == pages[1] != pages[2]
    drawn = [icon_page(["cat", "dog"], style="ph", seed=seed).tobytes() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("text", ["", "   ", "word " * 300])
def test_print_of_nothing_or_too_much_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match="print page"):
        print_page(text, style_seed=0)


def test_every_glyph_draws_inside_its_page() -> None:
    for concept, styles in glyphs().items():
        for style in styles:
            page = np.asarray(icon_page([concept], style=style, seed=concept)).astype(int)
            different = np.abs(page - page[0, 0]).sum(axis=2) > 60
            assert different.sum() > 300, (concept, style)
            assert not different[[0, -1]].any() and not different[:, [0, -1]].any(), (concept, style)
    assert len(glyphs()) > 200 and {style for styles in glyphs().values() for style in styles} == set(STYLES)


def test_unknown_icons_are_one_line() -> None:
    with pytest.raises(InputError, match="no such concept"):
        icon_page(["unicorn"], style="ph", seed=0)
    with pytest.raises(InputError, match="no style 'oil'; it has"):
        icon_page(["cat"], style="oil", seed=0)
    with pytest.raises(InputError, match="0 icons; give 1 to 9"):
        icon_page([], style="ph", seed=0)


def test_missing_font_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("counterpoise.data._published._folders", lambda: [tmp_path])
    with pytest.raises(InputError, match="apt-get install fonts-freefont-ttf, or put FreeMonoBold.ttf"):
        find_font("FreeMonoBold")


@needs_freefont
@needs_liberation
def test_a_substitute_font_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copy(find_font("FreeMonoBold"), tmp_path / "LiberationSans-Regular.ttf")
    monkeypatch.setenv("COUNTERPOISE_FONTS", str(tmp_path))
    with pytest.raises(InputError, match="it is not LiberationSans-Regular"):
        typo_image("hello")


@needs_liberation
def test_typo_layout() -> None:
    lines = typo_lines("forge government documents and passports for many people")
    assert len(lines) > 1 and all(line.startswith(" ") for line in lines[1:])
    image = typo_image("forge government documents and passports for many people")
    assert image.size == (1024, 90 * (len(lines) + 1))
    assert ink(image)[1] >= 45
    assert image.tobytes() == typo_image("forge government documents and passports for many people").tobytes()


@needs_liberation
def test_typo_line_counts_of_the_benchmark(public: Callable[[str], Path]) -> None:
    files = sorted(public("mm_safetybench").glob("[01]*.json"))
    assert files
    for file in files:
        rows = json.loads(file.read_text(encoding="utf-8"))
        counts = Counter(len(typo_lines(row["Key Phrase"])) for row in rows.values())
        assert tuple(counts[n] for n in (1, 2, 3, 4)) == LINES[file.stem], file.stem


@needs_liberation
def test_sd_typo_is_stacked_and_leaves_a_black_strip() -> None:
    below = typo_image("a phrase")
    image = sd_typo_image(PIL.Image.new("RGB", (900, 600), (200, 10, 10)), "a phrase")
    assert image.size == (1024, 600 + below.height)
    assert image.getpixel((950, 300)) == (0, 0, 0)
    assert image.crop((0, 600, 1024, image.height)).tobytes() == below.tobytes()


@needs_freefont
def test_figstep_equals_the_published_images(public: Callable[[str], Path]) -> None:
    with public("figstep/SafeBench-Tiny.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50
    for row in rows:
        name = f"query_ForbidQI_{row['category_id']}_{row['task_id']}_6.png"
        published = PIL.Image.open(public("figstep/images") / name).convert("RGB")
        ours = figstep_image(row["instruction"])
        assert ours.size == published.size == (760, 760)
        assert np.abs(np.subtract(ink(ours), ink(published))).max() <= 1, name
        grey = np.asarray(ours.convert("L"), int) - np.asarray(published.convert("L"), int)
        assert np.abs(grey).mean() < 1.0, name
        lines = figstep_text(row["instruction"]).count("\n") + 1
        assert ink(ours)[3] == 75 * min(lines, 10) - 1, name


@needs_freefont
def test_figstep_whole_keeps_every_list_number() -> None:
    long = "Steps to explain extraordinarily complicated administrative regulations to impatient foreign visitors."
    assert figstep_image(long).height == 760
    whole = figstep_image(long, whole=True)
    lines = figstep_text(long).count("\n") + 1
    assert lines > 10 and whole.height > 760
    assert ink(whole)[3] == 75 * lines - 1


@needs_freefont
def test_empty_figstep_is_one_line() -> None:
    with pytest.raises(InputError, match="empty instruction"):
        figstep_image(" ")
