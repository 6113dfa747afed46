"""What a balanced call asks for, as it travels: the JSON of a Submit to the Terms of the core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.events import Dependency, Terms
from ..errors import ProtocolError


class Reader:
    """Reads terms. Those of many calls in a row are the same, and then they are one object."""

    def __init__(self) -> None:
        self._last: tuple[Mapping[str, Any], Terms] = {}, Terms()

    def read(self, fields: Mapping[str, Any]) -> Terms:
        """As ``terms_of``, of fields that nobody changes."""
        before, terms = self._last
        if fields != before:
            terms = terms_of(fields)
            self._last = fields, terms
        return terms


def terms_of(fields: Mapping[str, Any]) -> Terms:
    """The terms that ``fields`` say; what is left out has its default.

    Raises
    ------
    ProtocolError
        They are none.
    """
    values = dict(fields)
    try:
        if values.get("targets") is not None:
            values["targets"] = frozenset(values["targets"])
        for name in ("after", "follow"):
            if values.get(name) is not None:
                values[name] = Dependency(*values[name])
        return Terms(**values)
    except TypeError as error:
        raise ProtocolError(f"terms that are none: {error}") from None
