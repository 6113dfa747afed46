"""``%autopx``: every cell goes to the engines until it is switched off.

It is an input transformer: the cell is rewritten into a call of a magic before IPython compiles it, so that history,
completeness checks and events stay as they are for any other cell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class AutoPx:
    """The transformer of one set of magics.

    Parameters
    ----------
    shell
        The IPython shell.
    magic
        The name of the cell magic that cells are rewritten into, and of the magic that switches this off.
    """

    def __init__(self, shell: Any, magic: str, switch: str):
        self._shell = shell
        self._magic = magic
        self._switch = switch
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

    def _transform(self, lines: list[str]) -> list[str]:
        """Called by IPython for every cell that it is about to run."""
        first = next((line.strip() for line in lines if line.strip()), "")
        word = first.removeprefix("%").split(" ")[0] if first else ""
        if not first or word in (self._switch, self._magic) or first.startswith(f"%%{self._magic}"):
            return lines
        return [f"get_ipython().run_cell_magic({self._magic!r}, '', {''.join(lines)!r})\n"]
