"""Figures of a study: intervals, ticks and texts that can be read."""

import itertools

import numpy as np
import pytest

from mapping.presentation.intervals import wilson
from mapping.studies.plots import plot_response, plot_tornado, study_figure
from mapping.studies.results import HEAD, METRICS, TAIL, Results, effects, half_width

IMAGES = 200


def table(values, seeds=1, accuracy=lambda value, seed: 0.9, name="adc.bits"):
    """A one-parameter grid of IMAGES images each."""
    columns = (*HEAD, name, *METRICS, *TAIL)
    rows = [
        dict.fromkeys(columns)
        | {"point": at, "seed": seed, name: value, "images": IMAGES, "accuracy_chip": accuracy(value, seed)}
        for at, value in enumerate(values)
        for seed in range(seeds)
    ]
    return Results(columns, tuple(rows))


def bars(ax):
    """Ends (low, high) of the error bars, from the left."""
    (lines,) = ax.containers[0][2]
    return [(low, high) for (_, low), (_, high) in lines.get_segments()]


def texts(ax, figure):
    """Boxes of the texts at the ticks of the axis below, in pixels."""
    figure.canvas.draw()
    return [text.get_window_extent() for text in ax.get_xticklabels() if text.get_text()]


def test_response__of_one_seed_has_binomial_intervals():
    ax = plot_response(table((4, 6, 8), accuracy=lambda bits, _: 0.1 * bits), "adc.bits")
    for (low, high), accuracy in zip(bars(ax), (0.4, 0.6, 0.8), strict=True):
        assert (low, high) == pytest.approx([100.0 * each for each in wilson(accuracy, IMAGES)])


def test_response__of_seeds_has_students_intervals():
    ax = plot_response(table((4, 8), 3, lambda bits, seed: 0.1 * bits + 0.01 * seed), "adc.bits")
    width = 100.0 * half_width([0.4, 0.41, 0.42])
    assert bars(ax)[0] == pytest.approx((41.0 - width, 41.0 + width))


@pytest.mark.parametrize("seeds", [1, 3])
def test_response__ends_at_100_percent(seeds):
    ax = plot_response(table((4, 8), seeds, lambda bits, seed: 1.0 - 0.03 * seed * (bits == 8)), "adc.bits")
    assert ax.get_ylim()[1] <= 100.0
    assert all(0.0 <= low <= high <= 100.0 + 1e-9 for low, high in bars(ax))


@pytest.mark.parametrize("values", [(4, 5), (4, 5, 6, 8), (1, 2, 4, 8, 16, 64), tuple(range(1, 41)), (1, 2, 3, 13)])
def test_response__whole_numbers_have_whole_ticks(values):
    ax = plot_response(table(values), "adc.bits")
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    shown = [place for place in ax.get_xticks() if low <= place <= high]
    assert all(place == round(place) for place in shown)
    assert len(shown) >= 2


@pytest.mark.parametrize(
    "values",
    [
        ("adaptive2d", "two_terminal", "isaac"),
        ("a-long-name-of-a-chip.toml", "another-long-name-of-a-chip.toml", "third.toml", "the fourth of my chips"),
        (4, 5, 6, 8, 12),
        (0.001, 0.01, 0.0125, 0.5, 1.0),
    ],
)
def test_response__texts_of_ticks_do_not_overlap(values):
    figure = study_figure(table(values))
    ax = figure.axes[1]
    boxes = texts(ax, figure)
    assert len(boxes) >= 2
    if all(text.get_rotation() == 0.0 for text in ax.get_xticklabels()):
        assert all(a.x1 <= b.x0 for a, b in itertools.pairwise(boxes))
    else:  # turned texts lie side by side: their right ends are apart by more than a line's height
        assert all(b.x1 - a.x1 > 14.0 for a, b in itertools.pairwise(boxes))


def test_tornado__texts_do_not_overlap():
    """All levels are worse than the reference of the grid, or better: their labels are at different ends."""
    found = effects(table((4, 6, 8, 10), accuracy=lambda bits, _: 0.09 * bits))
    ax = plot_tornado(found)
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 2
    assert not boxes[0].overlaps(boxes[1])
    one = found[0].__class__(found[0].parameter, found[0].metric, 0.95, tuple(
        level.__class__(level.label, level.at, level.mean, level.change - 0.6, None, 1) for level in found[0].levels
    ))  # fmt: skip
    ax = plot_tornado([one])
    assert [text.get_text() for text in ax.texts] == ["4"]
    np.testing.assert_allclose([patch.get_width() for patch in ax.patches], [100.0 * one.levels[0].change])
