"""Templates to pages, and how figures are written there."""

import json
import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import jinja2

from tfrec.evaluation import Estimate
from tfrec.pages import charts

MINUTE, HOUR = 60, 3600


def render(template: str, **context: Any) -> str:
    """A page. Whatever is no Markup is escaped: a title may hold anything."""
    return _environment().get_template(template).render(**context)


def number(value: float | None) -> str:
    """Four digits after the point, fewer of large numbers: .1207 as 0.1207, 169.13 as 169.1."""
    if value is None or not math.isfinite(value):
        return "–"
    digits = 4 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:,.{digits}f}".replace("-", "−")


def signed(value: float) -> str:
    """The same, with a sign."""
    return f"{'+' if value > 0 else ''}{number(value)}"


def interval(estimate: Estimate, form: Any = number) -> str:
    """`0.104 to 0.137`, or nothing where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{form(estimate.low)} to {form(estimate.high)}"


def percent(value: float) -> str:
    """`6.2 %`; two digits below one per cent."""
    return f"{value:.2%}" if abs(value) < 0.01 else f"{value:.1%}"


def percent_axis(top: float) -> Callable[[float], str]:
    """Per cent with as many digits as an axis up to `top` needs."""
    digits = 0 if top > 0.1 else 1 if top > 0.01 else 2
    return lambda value: f"{value:.{digits}%}"


def fact(name: str, value: float) -> str:
    """A figure by what it is called: shares and rates in per cent, counts whole."""
    if any(word in name for word in ("rate", "density", "sparsity", "interactions of")):
        return percent(value)
    return f"{value:,.0f}" if float(value).is_integer() else number(value)


def duration(seconds: float) -> str:
    """`4.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min {seconds % MINUTE:.0f} s"
    return f"{seconds // HOUR:.0f} h {seconds % HOUR // MINUTE:.0f} min"


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names, as `--set` takes them."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tfrec.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "json": partial(json.dumps, ensure_ascii=False),
        "number": number,
        "signed": signed,
        "interval": interval,
        "percent": percent,
        "duration": duration,
    }
    environment.globals |= {"swatch": charts.swatch, "fact": fact, "signed": signed}
    return environment
