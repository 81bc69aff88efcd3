"""Charts as inline SVG: no script, colours from the page's style sheet, each with its figures as text.

Widths are units of the view box: a chart fills its column, a phone's or half a page.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tfrec.evaluation import Estimate, Reliability

WIDTH = 460
LETTER = 7.2
"""Of a label, on average."""
LONGEST_LABEL = 24
GREY = 9
"""The colour that says nothing: of what everything is compared with."""

Format = Callable[[float], str]


@dataclass(frozen=True)
class Row:
    """One estimate of a chart of estimates.

    Attributes:
        label: What it is of.
        estimate: The mean and, if there is one, the interval.
        colour: A number of the style sheet's palette; the mark's shape follows from it.
    """

    label: str
    estimate: Estimate
    colour: int = 0


@dataclass(frozen=True)
class Line:
    """A line through points, or a dashed one."""

    label: str
    points: Sequence[tuple[float, float]]
    colour: int = 0
    is_dashed: bool = False


def bars(title: str, rows: Sequence[Row], form: Format) -> Markup:
    """Horizontal bars from 0, with the intervals as whiskers and the means in figures."""
    left = _label_width(row.label for row in rows)
    right = WIDTH - 8 - LETTER * max((len(form(row.estimate.mean)) for row in rows), default=0)
    scale = _Scale.over([0.0, *_ends(rows)], left, right, 4)
    height = 30
    parts = [_grid(scale, 6, height * len(rows) + 6, form)]
    for place, row in enumerate(rows):
        middle = 6 + height * place + height / 2
        mean = row.estimate.mean
        parts.append(_label(row.label, left, middle))
        if not math.isfinite(mean):
            parts.append(_value(scale(0) + 6, middle, form(mean)))
            continue
        start, end = sorted((scale(0), scale(mean)))
        parts.append(
            Markup(
                '<g><title>{}</title><rect class="fill c{}" x="{:.1f}" y="{}" width="{:.1f}" height="16" rx="2"/>'
            ).format(_told(row, form), row.colour, start, middle - 8, max(end - start, 0.5))
        )
        parts.append(_whisker(row.estimate, scale, middle))
        parts.append(Markup("</g>"))
        at = max(end, scale(row.estimate.high) if row.estimate.high is not None else end) + 6
        parts.append(_value(at, middle, form(mean)))
    return _svg(title, _all_told(rows, form), 6 + height * len(rows) + 26, parts)


def dots(
    title: str,
    groups: Sequence[tuple[str, Sequence[Row]]],
    form: Format,
    reference: float | None = None,
    faint: Sequence[str] = (),
) -> Markup:
    """Means as dots with whiskers; those of a group below each other.

    Args:
        title: Of the chart.
        groups: Name and rows.
        form: Of the values.
        reference: Where a dashed line is drawn.
        faint: Names of groups that say little.
    """
    left = _label_width(name for name, _ in groups)
    every = [row for _, rows in groups for row in rows]
    scale = _Scale.over([*_ends(every), *([] if reference is None else [reference])], left, WIDTH - 22, 4)
    step, gap = 15, 14
    top = 8
    bottom = top + sum(step * len(rows) + gap for _, rows in groups)
    parts = [_grid(scale, top, bottom, form)]
    if reference is not None:
        parts.append(_upright("reference", scale(reference), top, bottom))
    y = float(top)
    for place, (name, rows) in enumerate(groups):
        height = step * len(rows) + gap
        if place % 2 and len(rows) > 1:
            parts.append(Markup('<rect class="band" x="0" y="{}" width="{}" height="{}"/>').format(y, WIDTH, height))
        parts.append(_label(name, left, y + height / 2))
        for number, row in enumerate(rows):
            middle = y + gap / 2 + step * number + step / 2
            if not math.isfinite(row.estimate.mean):
                parts.append(_value(left + 6, middle, form(row.estimate.mean)))
                continue
            parts += [
                Markup("<g{}><title>{}</title>").format(
                    Markup(' class="faint"') if name in faint else "", f"{name}: {_told(row, form)}"
                ),
                _whisker(row.estimate, scale, middle, row.colour),
                _mark(row.colour, scale(row.estimate.mean), middle),
                Markup("</g>"),
            ]
        y += height
    told = "; ".join(f"{name}: {_all_told(rows, form)}" for name, rows in groups)
    return _svg(title, told, bottom + 24, parts)


def lines(
    title: str,
    series: Sequence[Line],
    x_name: str,
    form: Format,
    x_form: Format = lambda value: f"{value:g}",
    marks: Sequence[tuple[float, float, str, int]] = (),
    is_unit: bool = False,
    is_whole: bool = False,
) -> Markup:
    """Lines over a common axis.

    Args:
        title: Of the chart.
        series: What is drawn.
        x_name: Of the axis below.
        form: Of the values.
        x_form: Of the axis below.
        marks: Points to mark: x, y, text, colour.
        is_unit: Both axes go from 0 to 1.
        is_whole: The axis below counts.
    """
    xs = [x for line in series for x, _ in line.points]
    ys = [y for line in series for _, y in line.points if math.isfinite(y)]
    height = 250
    # A mark's text stands above it.
    y_scale = _Scale.over([0.0, 1.0] if is_unit else ys or [0.0, 1.0], height - 42, 30 if marks else 14, 4)
    left = 15 + LETTER * max(len(form(tick)) for tick in y_scale.ticks)
    x_scale = _Scale.over([0.0, 1.0] if is_unit else xs or [0.0, 1.0], left, WIDTH - 20, 6, True, is_whole)
    parts = [_frame(x_scale, y_scale, left, height - 42, x_form, form, x_name)]
    for line in series:
        finite = [(x_scale(x), y_scale(y)) for x, y in line.points if math.isfinite(y)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in finite)
        dashed = " dashed" if line.is_dashed else ""
        parts.append(
            Markup('<polyline class="line c{}{}" points="{}"><title>{}</title></polyline>').format(
                line.colour, dashed, path, line.label
            )
        )
        if len(finite) == 1:
            parts.append(_mark(line.colour, *finite[0]))
    for x, y, text, colour in marks:
        anchor = "end" if x_scale(x) > WIDTH * 0.7 else "start" if x_scale(x) < WIDTH * 0.3 else "middle"
        parts.append(_mark(colour, x_scale(x), y_scale(y), 5.5))
        parts.append(
            Markup('<text class="figure" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
                x_scale(x), y_scale(y) - 11, anchor, text
            )
        )
    told = "; ".join(
        f"{line.label}: from {form(line.points[0][1])} to {form(line.points[-1][1])}" for line in series if line.points
    )
    told += "".join(f"; {text}: {form(y)} at {x_form(x)}" for x, y, text, _ in marks)
    return _svg(title, told, height, parts)


def columns(title: str, counts: Sequence[tuple[str, int]], x_name: str) -> Markup:
    """A histogram whose bars have names."""
    height, top = 210, 20
    scale = _Scale.over([0.0, *(float(count) for _, count in counts)], height - 42, top, 3)
    left = 15 + LETTER * max(len(_integer(tick)) for tick in scale.ticks)
    step = (WIDTH - left - 8) / max(len(counts), 1)
    parts = [_horizontals(scale, left, _integer)]
    for place, (name, count) in enumerate(counts):
        x = left + step * place
        parts.append(
            Markup(
                '<g><title>{}: {}</title><rect class="fill c0" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" '
                'rx="2"/></g>'
            ).format(name, _integer(count), x + 2, scale(count), step - 4, max(scale(0) - scale(count), 0))
        )
        # As many names as have room.
        if place % math.ceil(len(counts) * LETTER * (1 + max(len(each) for each, _ in counts)) / (WIDTH - left)) == 0:
            parts.append(
                Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(x + step / 2, height - 26, name)
            )
    parts.append(_axis_name(x_name, height - 6))
    return _svg(title, "; ".join(f"{name}: {_integer(count)}" for name, count in counts), height, parts)


def reliability_diagram(title: str, models: Sequence[Reliability], colours: Sequence[int], form: Format) -> Markup:
    """What was predicted against what happened, with intervals; below, how often what was predicted."""
    top = max(
        max(value for value in (*each.predicted, *(rate.high or rate.mean for rate in each.happened)))
        for each in models
    )
    height, bottom = 360, 318
    y_scale = _Scale.over([0.0, top], bottom, 12, 5)
    left = 15 + LETTER * max(len(form(tick)) for tick in y_scale.ticks)
    x_scale = _Scale(y_scale.ticks, left, WIDTH - 20)
    end = y_scale.ticks[-1]
    parts = [
        _frame(x_scale, y_scale, left, bottom, form, form, "predicted"),
        Markup('<line class="reference" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
            x_scale(0), y_scale(0), x_scale(end), y_scale(end)
        ),
    ]
    for place, (model, colour) in enumerate(zip(models, colours, strict=True)):
        points = list(zip(model.predicted, model.happened, model.sizes, strict=True))
        path = " ".join(f"{x_scale(x):.1f},{y_scale(rate.mean):.1f}" for x, rate, _ in points)
        aside = 3 * (place - (len(models) - 1) / 2)  # So that whiskers do not hide each other.
        parts.append(Markup('<polyline class="line thin c{}" points="{}"/>').format(colour, path))
        for x, rate, size in points:
            told = f"{model.name}: predicted {form(x)}, happened {form(rate.mean)}, {_integer(size)} impressions"
            parts.append(Markup("<g><title>{}</title>").format(told))
            if rate.low is not None and rate.high is not None:
                parts.append(
                    Markup('<line class="whisker c{}" x1="{x:.1f}" y1="{:.1f}" x2="{x:.1f}" y2="{:.1f}"/>').format(
                        colour, y_scale(rate.low), y_scale(rate.high), x=x_scale(x) + aside
                    )
                )
            parts += [_mark(colour, x_scale(x) + aside, y_scale(rate.mean), 3.5), Markup("</g>")]
    y = height
    for model, colour in zip(models, colours, strict=True):
        parts.append(_histogram(model, colour, x_scale, y))
        y += 76
    told = "; ".join(
        f"{each.name}: "
        + ", ".join(f"{form(x)} {form(rate.mean)}" for x, rate in zip(each.predicted, each.happened, strict=True))
        for each in models
    )
    return _svg(title, f"Predicted and happened. {told}", y + 4, parts)


def swatch(colour: int) -> Markup:
    """The mark of a colour, for a legend."""
    return Markup('<svg class="swatch" viewBox="-8 -8 16 16" aria-hidden="true">{}</svg>').format(
        _mark(colour, 0, 0, 5.5)
    )


def _histogram(model: Reliability, colour: int, x_scale: "_Scale", top: float) -> Markup:
    most = max(model.bars, default=0) or 1
    rects = [
        Markup(
            '<rect class="fill c{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
        ).format(
            colour,
            x_scale(low),
            top + 70 - 50 * count / most,
            max(x_scale(high) - x_scale(low) - 0.6, 0.4),
            50 * count / most,
            f"{model.name}: {_integer(count)} impressions between {low:.4g} and {high:.4g}",
        )
        for (low, high), count in zip(itertools.pairwise(model.edges), model.bars, strict=True)
    ]
    name = Markup('<text class="axis" x="{}" y="{}" text-anchor="end">{}</text>').format(
        WIDTH - 14, top + 13, model.name
    )
    base = Markup('<line class="grid" x1="{:.1f}" x2="{:.1f}" y1="{y}" y2="{y}"/>').format(
        x_scale(0), WIDTH - 14, y=top + 70
    )
    return Markup("").join([base, *rects, name])


class _Scale:
    """Values to places, between round ends."""

    def __init__(
        self, ticks: Sequence[float], start: float, stop: float, low: float = math.nan, high: float = math.nan
    ) -> None:
        self.ticks = list(ticks)
        self.low = ticks[0] if math.isnan(low) else low
        self.high = ticks[-1] if math.isnan(high) else high
        self.start, self.stop = start, stop

    @classmethod
    def over(
        cls,
        values: Sequence[float],
        start: float,
        stop: float,
        num_ticks: int,
        is_tight: bool = False,
        is_whole: bool = False,
    ) -> "_Scale":
        """Over the values, with about so many ticks at round numbers; `is_tight`: it ends where they end; `is_whole`:
        ticks are at whole numbers."""
        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        if high - low < 1e-12 * max(abs(low), abs(high), 1e-9):
            low, high = (low - abs(low) / 2 - 1e-9, high + abs(high) / 2 + 1e-9) if low else (0.0, 1.0)
        raw = (high - low) / num_ticks
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= raw * 0.999)
        if is_whole:
            step = math.ceil(step)
        if is_tight:
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            return cls([step * n for n in range(first, last + 1)] or [low], start, stop, low, high)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        return cls([round(step * n, 12) for n in range(first, last + 1)], start, stop)

    def __call__(self, value: float) -> float:
        return self.start + (self.stop - self.start) * (value - self.low) / ((self.high - self.low) or 1)


def _svg(title: str, description: str, height: float, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="chart" role="img" viewBox="0 0 {} {:.0f}"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(WIDTH, height, title, description, Markup("").join(parts))


def _grid(scale: _Scale, top: float, bottom: float, form: Format) -> Markup:
    return Markup("").join(
        _upright("grid", scale(tick), top, bottom)
        + Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(
            scale(tick), bottom + 16, _short(form(tick))
        )
        for tick in scale.ticks
    )


def _horizontals(scale: _Scale, left: float, form: Format) -> Markup:
    return Markup("").join(
        Markup('<line class="grid" x1="{:.1f}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>').format(
            left, WIDTH - 8, y=scale(tick)
        )
        + Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>').format(
            left - 5, scale(tick) + 4.5, _short(form(tick))
        )
        for tick in scale.ticks
    )


def _frame(
    x_scale: _Scale, y_scale: _Scale, left: float, bottom: float, x_form: Format, y_form: Format, x_name: str
) -> Markup:
    below = Markup("").join(
        Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(
            x_scale(tick), bottom + 17, _short(x_form(tick))
        )
        for tick in x_scale.ticks
    )
    return _horizontals(y_scale, left, y_form) + below + _axis_name(x_name, bottom + 35)


def _axis_name(name: str, y: float) -> Markup:
    return Markup('<text class="axis" x="{}" y="{}" text-anchor="end">{}</text>').format(WIDTH - 8, y, name)


def _upright(kind: str, x: float, top: float, bottom: float) -> Markup:
    return Markup('<line class="{}" x1="{x:.1f}" x2="{x:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(kind, top, bottom, x=x)


def _value(x: float, middle: float, text: str) -> Markup:
    return Markup('<text class="figure" x="{:.1f}" y="{:.1f}">{}</text>').format(x, middle + 4.5, text)


def _whisker(estimate: Estimate, scale: _Scale, y: float, colour: int | None = None) -> Markup:
    if estimate.low is None or estimate.high is None or not math.isfinite(estimate.low + estimate.high):
        return Markup("")
    low, high = scale(estimate.low), scale(estimate.high)
    path = f"M{low:.1f} {y:.1f}H{high:.1f}M{low:.1f} {y - 4:.1f}v8M{high:.1f} {y - 4:.1f}v8"
    return Markup('<path class="whisker{}" d="{}"/>').format("" if colour is None else f" c{colour}", path)


def _mark(colour: int, x: float, y: float, size: float = 4.5) -> Markup:
    """Each colour has a shape of its own, so that it can be told without it."""
    shape = colour % 4
    if shape == 0:
        return Markup('<circle class="fill c{}" cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(colour, x, y, size)
    points = {
        1: [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        2: [(0, -1.2), (1.1, 0.9), (-1.1, 0.9)],
        3: [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    }[shape]
    path = " ".join(f"{x + size * right:.1f},{y + size * down:.1f}" for right, down in points)
    return Markup('<polygon class="fill c{}" points="{}"/>').format(colour, path)


def _label(text: str, right: float, middle: float) -> Markup:
    shown = text
    if len(text) > LONGEST_LABEL:  # The end of a path says more than its beginning.
        shown = f"…{text[1 - LONGEST_LABEL :]}" if "/" in text else f"{text[: LONGEST_LABEL - 1]}…"
    return Markup('<text class="label" x="{:.1f}" y="{:.1f}" text-anchor="end">{}<title>{}</title></text>').format(
        right - 8, middle + 4.5, shown, text
    )


def _label_width(labels: Iterable[str]) -> float:
    return 14 + LETTER * max((min(len(label), LONGEST_LABEL) for label in labels), default=0)


def _ends(rows: Sequence[Row]) -> list[float]:
    return [value for row in rows for value in row.estimate if value is not None and math.isfinite(value)]


def _told(row: Row, form: Format) -> str:
    interval = "" if row.estimate.low is None else f", from {form(row.estimate.low)} to {form(row.estimate.high or 0)}"
    return f"{row.label} {form(row.estimate.mean)}{interval}"


def _all_told(rows: Sequence[Row], form: Format) -> str:
    return "; ".join(_told(row, form) for row in rows)


def _short(text: str) -> str:
    """0.0500 on an axis is 0.05."""
    return text.rstrip("0").rstrip(".") if "." in text and text[-1].isdigit() else text


def _integer(value: float) -> str:
    return f"{value:,.0f}"
