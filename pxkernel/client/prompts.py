"""Answers to what running code asks its user: ``input()``, ``getpass()`` and debuggers on engines (features MG-28).

A question appears in the notebook, labelled with the engine, while the call that it belongs to is waited for.
"""

from __future__ import annotations

import getpass
import json
import sys
from typing import Any

from ..protocol.content import content_of

#: What an input_reply says when there is no input.
END_OF_INPUT = "\x04"


def answer(engine: int, content: bytes) -> bytes:
    """Put a question to the user.

    Parameters
    ----------
    engine
        Who asks; the label of the question.
    content
        The content of a Jupyter ``input_request``, JSON.

    Returns
    -------
    bytes
        The content of an ``input_reply``, JSON.

    Raises
    ------
    KeyboardInterrupt
        The user has interrupted the question.
    """
    request: dict[str, Any] = content_of(content)
    ask = getpass.getpass if request.get("password") else input
    try:
        value = ask(f"[input:{engine}] {request.get('prompt', '')}")
    except EOFError:
        value = END_OF_INPUT
    except NotImplementedError:
        # IPython's StdinNotImplementedError.
        print(f"[input:{engine}] this front end cannot ask for input: the engine gets EOFError", file=sys.stderr)
        value = END_OF_INPUT
    return json.dumps({"value": value}).encode()
