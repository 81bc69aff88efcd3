"""Charts: places that are right, figures that are told, and values that are odd."""

import math
import re

import pytest

from tests.pages.html import SCRIPT, Page
from tfrec.evaluation import Estimate
from tfrec.pages import charts
from tfrec.pages.charts import Line, Row
from tfrec.pages.rendering import duration, number, percent, signed


def attributes(svg: str, tag: str, name: str) -> list[float]:
    return [float(found) for found in re.findall(rf'<{tag} [^>]*\b{name}="([^"]+)"', svg)]


def test_bars_are_as_long_as_their_values() -> None:
    svg = charts.bars("t", [Row("a", Estimate(0.2, 0.1, 0.3)), Row("b", Estimate(0.1))], number)
    Page(svg)
    long, short = attributes(svg, "rect", "width")
    assert long == pytest.approx(2 * short, rel=0.01)
    [whisker] = re.findall(r'class="whisker" d="M([\d.]+) [\d.]+H([\d.]+)', svg)
    [start, _] = attributes(svg, "rect", "x")
    # From .1 to .3, where the bar ends at .2.
    assert float(whisker[0]) == pytest.approx(start + long / 2, abs=0.2)
    assert float(whisker[1]) == pytest.approx(start + long * 1.5, abs=0.2)
    assert "<desc>a 0.2000, from 0.1000 to 0.3000; b 0.1000</desc>" in svg


def test_a_line_goes_through_its_points() -> None:
    svg = charts.lines("t", [Line("a", [(1, 0.0), (2, 1.0), (3, 0.5)])], "epoch", number)
    [path] = re.findall(r'points="([^"]+)"', svg)
    (x1, y1), (x2, y2), (x3, y3) = ([float(part) for part in point.split(",")] for point in path.split())
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2) and x1 < x2
    assert y2 < y3 < y1  # Down is more.
    assert y3 == pytest.approx((y1 + y2) / 2, abs=0.2)


@pytest.mark.parametrize("values", [[], [0.0], [5.0], [-3.0, -3.0], [math.nan, 1.0], [1e-9, 1e9], [math.inf, 2.0]])
def test_odd_values_make_no_odd_charts(values: list[float]) -> None:
    rows = [Row("a", Estimate(value, value, value)) for value in values]
    for svg in (
        charts.bars("t", rows, number),
        charts.dots("t", [("group", rows)], signed, reference=0.0),
        charts.lines("t", [Line("a", list(enumerate(values)))] if values else [], "x", number, is_whole=True),
        charts.columns("t", [(f"{place}", place) for place, _ in enumerate(values)], "x"),
    ):
        Page(svg)
        assert "nan" not in svg and "inf" not in svg


def test_labels_are_escaped_everywhere() -> None:
    row, line = Row(SCRIPT, Estimate(1.0, 0.5, 1.5)), Line(SCRIPT, [(0, 1), (1, 2)])
    for svg in (
        charts.bars(SCRIPT, [row], number),
        charts.dots(SCRIPT, [(SCRIPT, [row])], number),
        charts.lines(SCRIPT, [line], SCRIPT, number, marks=[(1, 2, SCRIPT, 0)]),
        charts.columns(SCRIPT, [(SCRIPT, 1)], SCRIPT),
    ):
        assert "script" not in Page(svg).tags


def test_a_path_is_cut_at_its_beginning() -> None:
    long = "a-folder-with-a-long-name/and-another/run"
    assert ">…" in charts.bars("t", [Row(long, Estimate(1.0))], number)
    assert "another/run<" in charts.bars("t", [Row(long, Estimate(1.0))], number)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (number(0.12071), "0.1207"),
        (number(169.13), "169.1"),
        (number(12345.6), "12,346"),
        (number(-0.5), "−0.5000"),
        (number(math.nan), "–"),
        (signed(0.5), "+0.5000"),
        (percent(0.0618), "6.2%"),
        (percent(0.0012), "0.12%"),
        (duration(4.25), "4.2 s"),
        (duration(200), "3 min 20 s"),
        (duration(7500), "2 h 5 min"),
    ],
)
def test_how_figures_are_written(written: str, expected: str) -> None:
    assert written == expected
