"""What the controller keeps of one task, and the fields under which clients see it (features HUB-04).

The core knows where a task is. An Entry has what the core must not see: the payload, the result, the output. It is the
record that ``db_query`` looks through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..kernels.channels import KernelMessage
from ..protocol.content import content_of
from ..protocol.times import seconds

#: What an entry costs beside its payloads, in bytes (measured, rounded up), and what one output costs beside its text.
OVERHEAD = 1500
OUTPUT_OVERHEAD = 400
#: The bytes of output that are kept for each task, so that other clients can read it.
OUTPUT_LIMIT = 1024 * 1024


@dataclass(slots=True)
class Entry:
    """One task, from its submission until the store forgets it.

    Times are in seconds since the epoch, those in its record as ``protocol.times`` says.
    """

    id: str
    client: str
    kind: str
    #: What the engine is told.
    options: dict[str, Any]
    #: The payload; None once it is not kept any more.
    request: Sequence[Any] | None
    #: Counts the submissions of all clients.
    number: int
    #: When it arrived here.
    submitted: float
    label: str | None = None
    #: What a balanced call asks for (``core.events.Terms``); None: it names its engines.
    terms: dict[str, Any] | None = None
    engine: int | None = None
    engine_uuid: str = ""
    #: What the engine reported (``protocol.messages.Finished``); None: there is no result yet.
    record: dict[str, Any] | None = None
    #: The bytes of the payload.
    request_size: int = 0
    #: The payload of the result; None once it is not kept any more.
    result: Sequence[Any] | None = ()
    #: Its bytes.
    result_size: int = 0
    #: The bytes of it that the budget of what nobody has yet counts (``spill``).
    held: int = 0
    #: When the result arrived here.
    received: float | None = None
    outputs: list[KernelMessage] = field(default_factory=list)
    output_size: int = 0
    #: Bytes of output that were not kept.
    dropped: int = 0
    #: All of its output is here.
    settled: bool = False
    #: Its client has the result from the engine.
    mailed: bool = False
    #: Its client has the result, or has left.
    delivered: bool = False
    #: It has been purged before it was in the store.
    purged: bool = False
    #: The id under which it was submitted again.
    resubmitted: str | None = None
    #: How many seconds it may run; None: any number.
    time_limit: float | None = None

    def add_output(self, message: KernelMessage) -> None:
        """Keep one output, or count what there is no room for."""
        cost = message.size + OUTPUT_OVERHEAD
        if self.dropped or self.output_size + cost > OUTPUT_LIMIT:
            self.dropped += message.size
        else:
            self.output_size += cost
            # Without its parent: a header of a kilobyte that would be the same in all of them.
            self.outputs.append(KernelMessage(message.engine, message.msg_type, {}, message.content, message.buffers))

    @property
    def size(self) -> int:
        """The bytes that it takes, roughly."""
        return OVERHEAD + self.output_size + self.request_size + self.result_size

    @property
    def code(self) -> str | None:
        """The source code of a cell."""
        if self.kind not in ("execute", "cell") or self.request is None:
            return None
        return bytes(self.request[0]).decode()

    def text(self, stream: str) -> str:
        """What it printed to "stdout" or "stderr"."""
        contents = self._contents("stream")
        return "".join(content["text"] for content in contents if content["name"] == stream)

    def execute_result(self) -> dict[str, Any] | None:
        """The content of the last ``execute_result``."""
        results = self._contents("execute_result")
        return results[-1] if results else None

    def _contents(self, msg_type: str) -> list[dict[str, Any]]:
        return [content_of(message.content) for message in self.outputs if message.msg_type == msg_type]

    def without_large_payloads(self, limit: int) -> Entry:
        """This entry without the payloads that have more than ``limit`` bytes."""
        changes: dict[str, Any] = {}
        if self.request_size > limit:
            changes.update(request=None, request_size=0)
        if self.result_size > limit:
            changes.update(result=None, result_size=0)
        return replace(self, **changes) if changes else self


def _completed(entry: Entry) -> float | None:
    if not entry.record:
        return None
    return seconds(entry.record, "completed") if "completed" in entry.record else entry.received


def _msg_type(entry: Entry) -> str:
    return "execute" if entry.kind in ("execute", "cell") else "apply"


def _status(entry: Entry) -> str | None:
    """As in the metadata of an AsyncResult: what has no result and was not aborted has failed."""
    status = (entry.record or {}).get("status")
    return status if status in (None, "ok", "aborted") else "error"


def _header(entry: Entry) -> dict[str, Any]:
    return {"msg_id": entry.id, "msg_type": f"{_msg_type(entry)}_request", "session": entry.client, "date": entry.submitted}


def _result_header(entry: Entry) -> dict[str, Any] | None:
    if entry.record is None:
        return None
    return {"msg_type": f"{_msg_type(entry)}_reply", "session": entry.engine_uuid, "date": entry.received}


def _result_metadata(entry: Entry) -> dict[str, Any] | None:
    if entry.record is None:
        return None
    known = {key: seconds(entry.record, key) for key in ("started", "completed")}
    return {**known, "status": _status(entry), "engine": entry.engine_uuid, "engine_id": entry.engine}


def _result_content(entry: Entry) -> dict[str, Any] | None:
    if entry.record is None:
        return None
    return {"status": _status(entry), **(entry.record.get("error") or {})}


#: The fields of a record. Those of PAYLOADS are frames and not JSON.
FIELDS: dict[str, Callable[[Entry], Any]] = {
    "msg_id": lambda entry: entry.id,
    "header": _header,
    "metadata": lambda entry: {"engine_id": entry.engine, "label": entry.label, "kind": entry.kind},
    "content": lambda entry: {} if entry.code is None else {"code": entry.code},
    "buffers": lambda entry: entry.request,
    "submitted": lambda entry: entry.submitted,
    "client_uuid": lambda entry: entry.client,
    "engine_uuid": lambda entry: entry.engine_uuid or None,
    "engine_id": lambda entry: entry.engine,
    "started": lambda entry: seconds(entry.record or {}, "started"),
    "completed": _completed,
    "received": lambda entry: entry.received,
    "resubmitted": lambda entry: entry.resubmitted,
    "result_header": _result_header,
    "result_metadata": _result_metadata,
    "result_content": _result_content,
    "result_buffers": lambda entry: entry.result,
    "queue": lambda entry: "mux" if entry.terms is None else "task",
    "kind": lambda entry: entry.kind,
    "status": _status,
    "execute_input": lambda entry: entry.code,
    "execute_result": Entry.execute_result,
    "error": lambda entry: (entry.record or {}).get("error"),
    "stdout": lambda entry: entry.text("stdout"),
    "stderr": lambda entry: entry.text("stderr"),
    "label": lambda entry: entry.label,
}
PAYLOADS = frozenset({"buffers", "result_buffers"})
