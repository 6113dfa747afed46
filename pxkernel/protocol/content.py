"""The content of a Jupyter message: JSON, and nearly always UTF-8."""

from __future__ import annotations

import json
from typing import Any


def content_of(frame: Any) -> Any:
    """What a frame says.

    A kernel whose user's text is no Unicode, such as the name of a file with bytes of its own, sends these bytes as they are:
    they become replacement characters, which can be printed.
    """
    return json.loads(bytes(frame).decode(errors="replace"))
