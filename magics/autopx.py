"""``%autopx``: every cell goes to the engines until it is switched off.

It is an input transformer: the cell is rewritten into a call of a magic before IPython compiles it, so that history,
completeness checks and events stay as they are for any other cell.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any


class AutoPx:
    """The transformer of one set of magics.

    Parameters
    ----------
    shell
        The IPython shell.
    magic
        The name of the cell magic that cells are rewritten into.
    own
        The names of the magics that stay here: ``%autopx`` itself and its relatives.
    """

    def __init__(self, shell: Any, magic: str, own: Collection[str]):
        self._shell = shell
        self._magic = magic
        self._own = own
        # IPython skips it when it asks whether the input is complete: the answer is about what the user typed.
        self._transform.__func__.has_side_effects = True  # type: ignore[attr-defined]
        self._active: Callable[[list[str]], list[str]] | None = None

    @property
    def enabled(self) -> bool:
        return self._active is not None

    def enable(self) -> None:
        self._active = self._transform
        self._shell.input_transformers_cleanup.append(self._active)

    def disable(self) -> None:
        if self._active is not None:
            self._shell.input_transformers_cleanup.remove(self._active)
            self._active = None

    def sends(self, lines: list[str]) -> bool:
        """Whether a cell goes to the engines: all do while it is enabled, but the magics that stay here."""
        first = next((line.strip() for line in lines if line.strip()), "")
        word = first.split(" ")[0]
        own = word.lstrip("%") in self._own and (word.startswith("%") or len(lines) == 1 and word == first)
        return self.enabled and bool(first) and not own

    def _transform(self, lines: list[str]) -> list[str]:
        """Called by IPython for every cell that it is about to run."""
        if not self.sends(lines):
            return lines
        return [f"get_ipython().run_cell_magic({self._magic!r}, '', {''.join(lines)!r})\n"]
