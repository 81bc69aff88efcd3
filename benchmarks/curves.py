"""Curves as an SVG file: both axes logarithmic, a panel beside the other, the same scale."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

Curves = Mapping[str, Sequence[tuple[float, float]]]

WIDTH, HEIGHT, MARGIN = 380, 320, 60
COLOURS = ("#444444", "#0072b2", "#d55e00", "#009e73")
"""Told apart by the colour-blind, too (Okabe and Ito 2008)."""


def draw(path: Path, panels: Mapping[str, Curves], across: str, up: str) -> None:
    """Writes the panels, title -> name -> points, with what is shown across and up as the axes' names."""
    points = [point for curves in panels.values() for curve in curves.values() for point in curve]
    powers = [_powers([point[axis] for point in points]) for axis in (0, 1)]

    def place(axis: int, value: float) -> float:
        low, high = powers[axis]
        share = (math.log10(value) - low) / (high - low)
        return share * WIDTH if axis == 0 else HEIGHT - share * HEIGHT

    parts = []
    for number, (title, curves) in enumerate(panels.items()):
        parts.append(f'<g transform="translate({MARGIN + number * (WIDTH + MARGIN)},{MARGIN // 2})">')
        parts.append(f'<text x="{WIDTH / 2}" y="-10" text-anchor="middle">{escape(title)}</text>')
        for power in range(powers[0][0], powers[0][1] + 1):
            x = place(0, 10**power)
            parts.append(f'<path d="M{x:.1f} 0V{HEIGHT}" stroke="#dddddd"/>')
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT + 16}" text-anchor="middle">{_short(power)}</text>')
        for power in range(powers[1][0], powers[1][1] + 1):
            y = place(1, 10**power)
            parts.append(f'<path d="M0 {y:.1f}H{WIDTH}" stroke="#dddddd"/>')
            parts.append(f'<text x="-6" y="{y + 4:.1f}" text-anchor="end">{10**power:,g}</text>')
        for colour, curve in zip(COLOURS, curves.values(), strict=False):
            at = [f"{place(0, x):.1f} {place(1, y):.1f}" for x, y in curve]
            parts.append(f'<path d="M{"L".join(at)}" fill="none" stroke="{colour}" stroke-width="2"/>')
            parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in map(str.split, at)]
        parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT + 34}" text-anchor="middle">{escape(across)}</text></g>')
    for row, (colour, name) in enumerate(zip(COLOURS, next(iter(panels.values())), strict=False)):
        text = f'<text x="{MARGIN + 10}" y="{MARGIN // 2 + 18 + 16 * row}" fill="{colour}">{escape(name)}</text>'
        parts.append(text)
    middle = HEIGHT / 2 + MARGIN / 2
    parts.append(f'<text transform="translate(14,{middle}) rotate(-90)" text-anchor="middle">{escape(up)}</text>')
    width, height = MARGIN + len(panels) * (WIDTH + MARGIN), HEIGHT + 1.5 * MARGIN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
    parts = [head + 'font-size="12"><rect width="100%" height="100%" fill="white"/>', *parts, "</svg>"]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _short(power: int) -> str:
    """100 thousand as 100k, 10 million as 10M."""
    thousands = max(min(power // 3, 3), 0)
    return f"{10 ** (power - 3 * thousands):g}{'kMG'[thousands - 1] if thousands else ''}"


def _powers(values: Sequence[float]) -> tuple[int, int]:
    """Of ten, that enclose the values; two that differ."""
    low = math.floor(math.log10(min(values)))
    return low, max(math.ceil(math.log10(max(values))), low + 1)
