"""The templates of pages and notebook output, and the filters that they use."""

import re
from functools import cache
from typing import TYPE_CHECKING

from mapping.presentation.intervals import wilson
from mapping.presentation.quantities import duration, operations, percent, rounded, si

if TYPE_CHECKING:
    from jinja2 import Environment


WIDTH = 960  # [px] of a drawing, ours


def interval(fraction: float, count: int) -> str:
    """Format the 95 % interval of a fraction of so many images."""
    return " … ".join(percent(end) for end in wilson(fraction, count))


def headings(body: str) -> list[tuple[str, str]]:
    """Return (id, title) of the sections of a page, for its table of contents."""
    return re.findall(r'<section id="([\w-]+)">\s*<h2>([^<]*)</h2>', body)


@cache
def environment() -> "Environment":
    """Return the environment of the templates: text is escaped, and a missing name is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("mapping.presentation"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters.update(
        si=si,
        percent=percent,
        rounded=rounded,
        duration=duration,
        operations=operations,
        headings=headings,
        interval=interval,
    )
    return made
