"""Templates of the report pages: HTML files beside the modules that fill them."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def label(name: str) -> str:
    """The name of a statistic for people: "users_without" as "users without"."""
    return name.replace("_", " ")


def number(value: object) -> str:
    """A statistic for people: 1234567 as "1,234,567", 0.123456 as "0.1235", anything else as its text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or value.is_integer():
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.1f}"


# Titles and ids of strangers come into pages: everything is escaped unless a template says otherwise. StrictUndefined,
# because a misspelled name would otherwise print as nothing.
_ENVIRONMENT = Environment(
    loader=PackageLoader("spotify_buddies.trainer", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ENVIRONMENT.filters |= {"label": label, "number": number}


def fill(template: str, **values: object) -> str:
    """A template as text; template: its path below spotify_buddies/trainer. The same values give the same text."""
    return _ENVIRONMENT.get_template(template).render(values)
