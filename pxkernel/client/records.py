"""What is known of one call on one engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from ..errors import (
    DependencyTimeout,
    EngineError,
    ImpossibleDependency,
    InvalidDependency,
    PxkernelError,
    RemoteError,
    TaskAborted,
    TaskTimeout,
    TimeLimitExceeded,
    remote_error,
)
from ..protocol.content import content_of
from ..protocol.messages import DATA
from ..protocol.pack import unpack
from ..protocol.sharing import Shared
from ..protocol.times import seconds
from . import representation

#: The names that old documents (seed 004) use for what IPython has renamed since.
OLD_NAMES = {"pyin": "execute_input", "pyout": "execute_result", "pyerr": "error"}
METADATA_KEYS = frozenset(
    {
        *("msg_id", "submitted", "started", "completed", "received", "engine_id", "engine_uuid", "status"),
        *("follow", "after", "label", "execute_input", "execute_result", "error", "stdout", "stderr", "outputs", "data"),
    }
)

#: The errors of tasks whose end is not what an engine has reported, by the status of their records.
_NOT_REPORTED = {
    "died": EngineError,
    "timeout": TaskTimeout,
    "dependency_timeout": DependencyTimeout,
    "impossible": ImpossibleDependency,
    "invalid": InvalidDependency,
    "overtime": TimeLimitExceeded,
}


class Metadata(dict[str, Any]):
    """The metadata of one call on one engine: a dict with attribute access (features AR-14).

    Keys: msg_id, submitted, started, completed, received (datetimes with time zone: the client's clock, the engine's
    clock twice, the client's), engine_id, engine_uuid, status, follow, after, label, execute_input, execute_result,
    error, stdout, stderr, outputs, data.
    """

    def _repr_html_(self) -> str:
        return representation.mapping("Metadata", self)

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in METADATA_KEYS:
            raise KeyError(key)
        super().__setitem__(key, value)

    def __missing__(self, key: str) -> Any:
        if key in OLD_NAMES:
            return self[OLD_NAMES[key]]
        raise KeyError(key)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            self[name] = value
        except KeyError:
            raise AttributeError(name) from None


class ExecuteReply:
    """The result of executing code on one engine (features DV-23); its repr is that of the value, if there is one.

    Everything that is known of the call is an attribute and an item: ``reply.stdout``, ``reply["execute_result"]``.
    ``data`` and ``metadata`` are those of the value, by mime type; a front end shows its richest form.
    """

    def __init__(self, part: Part):
        result = part.execute_result or {}
        self._call = part.metadata()
        self.source = part.code
        self.execution_count: int | None = result.get("execution_count", part.record.get("execution_count"))
        self.data: dict[str, Any] = result.get("data", {})
        self.metadata: dict[str, Any] = result.get("metadata", {})

    def __getitem__(self, key: str) -> Any:
        return self._call[key]

    def __getattr__(self, name: str) -> Any:
        if name in METADATA_KEYS or name in OLD_NAMES:
            return self._call[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *METADATA_KEYS})

    def __repr__(self) -> str:
        text = self.data.get("text/plain")
        label = str(self.engine_id) + ("" if self.execution_count is None else f":{self.execution_count}")
        if text is None:
            return f"<ExecuteReply[{label}]>"
        return f"Out[{label}]: " + ("\n" if "\n" in text else "") + text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        return {**self.data, "text/plain": repr(self)}, self.metadata


class Part:
    """One call on one engine, from its submission to its last output. The I/O thread writes it, others read."""

    label: str | None = None
    #: The message ids that a balanced call depends on.
    after: Sequence[str] = ()
    follow: Sequence[str] = ()
    #: The payload, as long as somebody may have to open its shared memory.
    lent: Shared | None = None
    received: float | None = None
    record: Mapping[str, Any] = MappingProxyType({})
    frames: Sequence[Any] = ()
    error: PxkernelError | None = None
    #: The errors of a map's items, by their index in this part.
    failures: Mapping[int, RemoteError] = MappingProxyType({})
    settled = False
    #: It was too late to take it back.
    started = False
    #: Bytes of output that came faster than this client read.
    dropped = 0

    def __init__(self, msg_id: str, engine_id: int | None, engine_uuid: str, method: str, code: str, size: int, now: float):
        self.msg_id = msg_id
        self.engine_id = engine_id
        self.engine_uuid = engine_uuid
        self.method = method
        self.code = code
        #: Items of a map, 1 for everything else.
        self.size = size
        self.submitted = now
        #: (message type, content, buffers) in the order of arrival.
        self.outputs: list[tuple[str, dict[str, Any], list[Any]]] = []
        #: What ``publish_data`` has sent: by name, and the pickles that nobody has asked for yet.
        self.published: dict[str, Any] = {}
        self.unpublished: list[Sequence[Any]] = []

    @property
    def done(self) -> bool:
        return self.received is not None

    @property
    def failed(self) -> bool:
        """Whether it has failed, or one of its items."""
        return self.error is not None or bool(self.failures)

    def finish(self, record: dict[str, Any], frames: Sequence[Any], now: float) -> None:
        self.record, self.frames = record, frames
        self.lent = None
        status = record["status"]
        if status == "error":
            self.error = self._remote_error(record["error"])
        elif status in _NOT_REPORTED:
            self.error = _NOT_REPORTED[status](record["reason"], engine_info=self.engine_info)
        elif status != "ok":
            self.error = TaskAborted(self.msg_id, reason=record.get("reason", status), engine_info=self.engine_info)
        if "failures" in record:
            self.failures = {index: self._remote_error(error) for index, error in record["failures"]}
        self.received = now

    @property
    def engine_info(self) -> dict[str, Any]:
        return {"engine_id": self.engine_id, "engine_uuid": self.engine_uuid, "method": self.method}

    def _remote_error(self, error: dict[str, Any]) -> RemoteError:
        return remote_error(
            error["ename"], error["evalue"], error["traceback"], self.engine_info, [tuple(name) for name in error["mro"]]
        )

    # -- output -------------------------------------------------------------------------------------------------------

    def add_output(self, msg_type: str, payload: Sequence[Any]) -> tuple[str, dict[str, Any], list[Any]]:
        content = content_of(payload[0])
        output = (msg_type, content, list(payload[1:]))
        if msg_type == DATA:
            self.unpublished.append(output[2])
        else:
            self.outputs.append(output)
        return output

    def text(self, stream: str) -> str:
        """What was printed to "stdout" or "stderr"; in the latter the notice about lost output, if there is one."""
        printed = "".join(
            content["text"]
            for msg_type, content, _ in self.outputs
            if msg_type == "stream" and content["name"] == stream
        )
        printed = _last_written(printed)
        return printed + self.notice if stream == "stderr" and self.dropped else printed

    @property
    def notice(self) -> str:
        """What the user is told about lost output."""
        return f"... {self.dropped} bytes of output were dropped: they came faster than they could be read\n"

    @property
    def displays(self) -> list[dict[str, Any]]:
        return [content for msg_type, content, _ in self.outputs if msg_type == "display_data"]

    @property
    def data(self) -> dict[str, Any]:
        """What ``publish_data`` has sent so far: of every name the newest value."""
        while self.unpublished:
            # In the thread that asks: unpickling runs users' code.
            self.published |= unpack(self.unpublished.pop(0))
        return dict(self.published)

    @property
    def pages(self) -> list[dict[str, Any]]:
        """What a cell has shown in a pager, such as ``obj?``: mime bundles."""
        if self.method != "execute" or not self.frames:
            return []
        payloads = content_of(self.frames[0]).get("payload", ())
        return [payload["data"] for payload in payloads if payload.get("source") == "page"]

    @property
    def execute_result(self) -> dict[str, Any] | None:
        results = [content for msg_type, content, _ in self.outputs if msg_type == "execute_result"]
        return results[-1] if results else None

    @property
    def status(self) -> str | None:
        """"ok", "error" or "aborted", None before."""
        status = self.record.get("status")
        return "error" if status in _NOT_REPORTED else status

    def metadata(self) -> Metadata:
        return Metadata(
            msg_id=self.msg_id,
            submitted=_time(self.submitted),
            started=_time(seconds(self.record, "started")),
            completed=_time(seconds(self.record, "completed")),
            received=_time(self.received),
            engine_id=self.engine_id,
            engine_uuid=self.engine_uuid,
            status=self.status,
            follow=list(self.follow),
            after=list(self.after),
            label=self.label,
            execute_input=self.code or None,
            execute_result=self.execute_result,
            error=self.error,
            stdout=self.text("stdout"),
            stderr=self.text("stderr"),
            outputs=self.displays,
            data=self.data,
        )


def _last_written(text: str) -> str:
    """Without what a carriage return has written over: a progress bar leaves its last state."""
    if "\r" not in text:
        return text
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _time(moment: float | None) -> datetime | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC)
