"""A flame graph as an SVG file: how often each stack was seen, callers below what they called."""

import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

Stacks = Mapping[tuple[str, ...], int]
"""Frames, the outermost first -> how often they were seen."""

WIDTH, ROW, LEAST = 1200.0, 17, 0.001
"""In pixels, a row's height too; and the least share that is drawn."""


def draw_flames(path: Path, title: str, stacks: Stacks) -> None:
    """Writes the graph; a frame's name and share show where the mouse rests on it.

    Args:
        path: The SVG file.
        title: Its headline.
        stacks: What was seen.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    for stack, count in stacks.items():
        for depth in range(len(stack) + 1):
            counts[stack[:depth]] += count
    total, width = counts[()], WIDTH / max(counts[()], 1)
    places, used = {(): 0.0}, dict.fromkeys(counts, 0)
    drawn = []
    for frames in sorted(counts, key=lambda frames: (len(frames), frames)):
        if frames:
            caller = frames[:-1]
            if caller not in places or counts[frames] < LEAST * total:
                continue
            places[frames] = places[caller] + width * used[caller]
            used[caller] += counts[frames]
            drawn.append(frames)
    height = (max(map(len, drawn), default=0) + 3) * ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:g}" height="{height}" font-family="monospace" '
        f'font-size="11"><rect width="100%" height="100%" fill="white"/><text x="6" y="14">{escape(title)}</text>'
    ]
    for frames in drawn:
        x, across = places[frames], width * counts[frames]
        y = height - (len(frames) + 1) * ROW
        name = escape(frames[-1])
        told = f"{name}: {counts[frames] / total:.1%}"
        colour = f"hsl({zlib.crc32(frames[-1].encode()) % 50}, 85%, 68%)"
        parts.append(f'<g><title>{told}</title><rect x="{x:.1f}" y="{y}" width="{across:.1f}" height="{ROW - 1}"')
        letters = int(across / 6.7) - 1
        text = escape(frames[-1][:letters]) if letters > 2 else ""
        parts.append(f' fill="{colour}"/><text x="{x + 3:.1f}" y="{y + 12}">{text}</text></g>')
    path.write_text("".join([*parts, "</svg>\n"]), encoding="utf-8")
