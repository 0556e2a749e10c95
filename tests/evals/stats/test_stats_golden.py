"""Published numbers and textbook examples, to the printed digit."""

import math

import pytest

from counterpoise.evals.stats import (
    clopper_pearson,
    detectable_paired,
    detectable_unpaired,
    n_paired,
    n_unpaired,
    rogan_gladen,
    tango,
    wilson,
    zero_event_bound,
)

# n, Wald half width at 50 %, Wilson at 10 %, 0 events at most, paired change at 10 % and 20 % discordant
SIZES = [
    (100, 9.8, (5.5, 17.4), 3.6, (8.8, 12.4)),
    (110, 9.3, (5.7, 17.0), 3.3, None),
    (167, 7.6, (6.5, 15.7), 2.2, (6.8, 9.6)),
    (198, 7.0, (6.6, 15.1), 1.8, (6.3, 8.9)),
    (218, 6.6, (6.8, 14.8), 1.7, None),
    (250, 6.2, (6.9, 14.3), 1.5, (5.6, 7.9)),
    (300, 5.7, (7.1, 13.9), 1.2, (5.1, 7.2)),
    (313, 5.5, (7.1, 13.7), 1.2, (5.0, 7.1)),
    (442, 4.7, (7.5, 13.1), 0.8, (4.2, 5.9)),
    (500, 4.4, (7.7, 12.9), 0.7, (4.0, 5.6)),
    (900, 3.3, (8.2, 12.1), 0.4, (2.9, 4.2)),
    (1319, 2.7, (8.5, 11.7), 0.3, (2.4, 3.4)),
    (1680, 2.4, (8.7, 11.5), 0.2, (2.2, 3.1)),
    (4319, 1.5, (9.1, 10.9), 0.1, None),
]


@pytest.mark.parametrize(("n", "wald", "at_ten", "none", "paired"), SIZES)
def test_sample_size_table(n, wald, at_ten, none, paired):
    assert round(100 * 1.959964 * 0.5 / math.sqrt(n), 1) == wald
    ten = wilson(0.1 * n, n) if n % 10 == 0 else wilson(round(0.1 * n), n)  # the table counts whole items
    assert tuple(round(100 * end, 1) for end in ten) == at_ten
    assert round(100 * clopper_pearson(0, n).high, 1) == none
    if paired:
        assert tuple(round(100 * detectable_paired(n, psi), 1) for psi in (0.1, 0.2)) == paired


def test_largest_set_of_the_table():
    assert tuple(round(100 * end, 1) for end in wilson(1203, 12_032)) == (9.5, 10.5)
    assert round(100 * clopper_pearson(0, 12_032).high, 2) == 0.03
    assert [round(100 * detectable_paired(12_032, psi), 1) for psi in (0.1, 0.2)] == [0.8, 1.1]


@pytest.mark.parametrize(
    ("p1", "p2", "n"),
    [
        (50, 45, 1565), (50, 40, 388), (30, 20, 294), (20, 15, 906), (20, 10, 199), (10, 5, 435), (10, 8, 3213),
        (5, 2, 588), (5, 1, 285), (60, 58, 9493),
    ],
)  # fmt: skip
def test_unpaired_sizes(p1, p2, n):
    assert n_unpaired(p1 / 100, p2 / 100) == n


@pytest.mark.parametrize(
    ("psi", "d", "n"),
    [
        (10, 2, 1960), (10, 3, 870), (10, 5, 312), (20, 5, 626), (20, 10, 155), (30, 10, 234), (5, 2, 979),
        (5, 3, 434), (2, 1, 1568),
    ],
)  # fmt: skip
def test_paired_sizes(psi, d, n):
    assert n_paired(psi / 100, d / 100) == n


def test_clusters_multiply_the_size():
    assert n_paired(0.1, 0.05, design_effect=2) in (623, 624)
    assert detectable_paired(624, 0.1, design_effect=2) == pytest.approx(detectable_paired(312, 0.1))


def test_detectable_inverts_the_size():
    for p in (0.1, 0.7):
        d = detectable_unpaired(400, p)
        assert n_unpaired(p, p + d if p < 0.5 else p - d) == 400
    assert math.isnan(detectable_paired(5, 0.1))


def test_zero_of_442_is_below_point_nine():
    assert round(100 * wilson(0, 442).high, 1) == 0.9
    assert zero_event_bound(300) == pytest.approx(0.00994, abs=1e-5)


def test_tango_example():
    """Airway reactivity of 21 children before and after a transplant: 1 lost, 7 gained (Fagerland et al. 2014)."""
    assert tango(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_rogan_gladen_examples():
    """AdvBench keywords and the Llama-2-13B classifier on HarmBench images: 124 of 220 harmful by people."""
    keywords = rogan_gladen(0.927, 220, 0.976, 124, 0.135, 96, least_information=0)
    classifier = rogan_gladen(0.555, 220, 0.887, 124, 0.875, 96)
    assert (round(keywords.value, 2), round(keywords.se, 2)) == (0.56, 0.22)
    assert (round(classifier.value, 2), round(classifier.se, 2)) == (0.56, 0.05)
    with pytest.raises(ValueError, match="too little information"):
        rogan_gladen(0.927, 220, 0.976, 124, 0.135, 96)
