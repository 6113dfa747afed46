"""Completion inside of ``%%px``, ``%px`` and ``%autopx``: an engine answers, because the names are there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from ..client.view import DirectView

#: How long an engine may take, in seconds: one that is busy answers later, and nobody waits for it at the keyboard.
TIMEOUT = 2.0

#: Finds who runs a text, a view and targets, and where the code for it begins there; None: it runs here.
Find = Callable[[str], tuple[DirectView, Any, int] | None]


def matcher(name: str, find: Find) -> Callable[[CompletionContext], SimpleMatcherResult]:
    """A matcher for ``shell.Completer.custom_matchers``; ``name`` tells it from others."""

    @context_matcher(identifier=name, priority=1000)
    def complete_on_engine(context: CompletionContext) -> SimpleMatcherResult:
        """Called by IPython when the user asks for completions."""
        lines = context.full_text.split("\n")
        cursor = sum(len(line) + 1 for line in lines[: context.cursor_line]) + context.cursor_position
        found = find(context.full_text)
        if found is None or cursor < found[2]:
            return {"completions": []}
        view, targets, start = found
        reply = _ask(view, targets, context.full_text[start:], cursor - start)
        kinds = {item.get("text"): item.get("type") for item in reply.get("metadata", {}).get(EXPERIMENTAL, ())}
        fragment = context.full_text[start + reply.get("cursor_start", 0) : cursor]
        return {
            "completions": [SimpleCompletion(text, type=kinds.get(text)) for text in reply.get("matches", ())],
            "matched_fragment": fragment,
            "suppress": True,
        }

    return complete_on_engine


#: Where IPython's kernel puts the kinds of completions.
EXPERIMENTAL = "_jupyter_types_experimental"


def _ask(view: DirectView, targets: Any, code: str, cursor: int) -> dict[str, Any]:
    """The content of the ``complete_reply`` of the first engine; empty if there is none in time."""
    try:
        engines, _ = view.client.resolve(view.targets if targets is None else targets)
        answer = view.client.ask_async("complete", engine=engines[0], code=code, cursor=cursor)
        _, payloads = answer.result(TIMEOUT)
    except Exception:
        # No engine, no cluster, no time: no reason to disturb somebody who types.
        return {}
    reply: dict[str, Any] = json.loads(bytes(payloads[0][0]))
    return reply
