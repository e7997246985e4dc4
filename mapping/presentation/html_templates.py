"""The templates of pages and notebook output, and the filters that they use."""

from functools import cache
from typing import TYPE_CHECKING

from mapping.presentation.quantities import duration, percent, rounded, si

if TYPE_CHECKING:
    from jinja2 import Environment


WIDTH = 960  # [px] of a drawing, ours


@cache
def environment() -> "Environment":
    """Return the environment of the templates: text is escaped, and a missing name is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("mapping.presentation"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters.update(si=si, percent=percent, rounded=rounded, duration=duration)
    return made
