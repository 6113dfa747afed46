"""What clients submit: looked at, written into the book, and told as the core is to know it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from ..core.events import Submitted
from ..errors import ProtocolError
from ..protocol import sharing
from ..protocol.messages import Submit
from .book import Book
from .terms import Reader

#: A balanced call names no engine.
ENGINE_IDS = (int, type(None))


class Intake:
    """Takes calls on.

    Parameters
    ----------
    book
        Where they are written down.
    """

    def __init__(self, book: Book):
        self._book = book
        self._terms = Reader()

    def calls(self, client: str, message: Submit) -> Iterator[Submitted]:
        """The calls of a message, one by one: each is in the book when it is here.

        Raises
        ------
        ProtocolError
            The next one makes no sense.
        """
        for (kind, options, targets, *terms), payload in zip(message.calls, message.payloads, strict=True):
            self._check(client, targets)
            if sharing.is_shared(payload):
                with contextlib.suppress(ProtocolError, OSError):
                    # Else the engine may still be able to open it, or it tells the client why not.
                    payload = sharing.take(payload)
            yield self.call(client, kind, options, payload, targets, *terms)

    def _check(self, client: str, targets: Sequence[tuple[str, int | None]]) -> None:
        names = [task for task, _ in targets]
        why = self._book.refuses(client, names) if names else "it has no tasks"
        for _, engine in targets:
            if type(engine) not in ENGINE_IDS:
                why = f"{engine!r} is no engine"
        if why is not None:
            raise ProtocolError(f"a call of client {client} that cannot be: {why}")

    def call(
        self,
        client: str,
        kind: str,
        options: dict[str, Any],
        payload: Sequence[Any],
        targets: Sequence[tuple[str, int | None]],
        terms: dict[str, Any] | None = None,
    ) -> Submitted:
        """One call that makes sense, now in the book.

        Raises
        ------
        ProtocolError
            Its terms do not.
        """
        asked = None if terms is None else self._terms.read(terms)
        limit = options.get("time_limit") or 0.0
        size = self._book.submitted(client, kind, options, payload, targets, terms)
        return Submitted(client, kind, size, targets, asked, limit)
