"""The user's hooks around each piece of code, ``get_ipython().events``."""

from __future__ import annotations

from typing import Any


def trigger(shell: Any, event: str) -> None:
    """Have IPython call the functions that are registered for an event of a task.

    It shows the error of a function and goes on, unless that is a SystemExit or the like, which would leave the engine busy
    with the task for ever, or end it.
    """
    try:
        shell.events.trigger(event)
    except BaseException as error:
        print(f"Error in a callback for {event}:")
        shell.showtraceback((type(error), error, error.__traceback__))
