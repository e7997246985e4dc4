"""The templates of pages and notebook output, and the filters they use."""

from functools import cache
from typing import TYPE_CHECKING

from mapping.presentation.quantities import percent, si

if TYPE_CHECKING:
    from jinja2 import Environment


WIDTH = 960  # [px] of a drawing, ours


@cache
def environment() -> "Environment":
    """Return the templates' environment: text is escaped, and a missing name is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("mapping.presentation"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters.update(si=si, percent=percent)
    return made
