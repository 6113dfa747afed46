"""The store on disk: one SQLite table (features HUB-13).

``Cluster(store="sqlite")`` puts it into the folder of the cluster, with which it ends; ``store="sqlite:<path>"`` names a
file that later clusters can open again. What is kept of a task beside its payloads is one JSON text: it is read back by
nothing but the json module.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..kernels.channels import KernelMessage
from ..protocol.clusterfile import private
from ..protocol.sharing import load
from ..protocol.times import stamp
from .entries import Entry

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    is_code INTEGER NOT NULL,
    head TEXT NOT NULL,
    outputs BLOB NOT NULL,
    request BLOB,
    result BLOB
)
"""
_INSERT = """
INSERT INTO tasks (id, number, size, is_code, head, outputs, request, result) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
#: The fields of an Entry that are JSON as they are.
_HEAD = (
    "id", "client", "kind", "options", "number", "submitted", "label", "time_limit", "terms", "engine", "engine_uuid", "record",
    "received", "output_size", "dropped", "resubmitted",
)  # fmt: skip


class SQLiteStore:
    """Keeps entries in a file.

    Parameters
    ----------
    path
        The file; it is made, readable by the user only, if it does not exist.
    limit
        Bytes.
    """

    keeps = True

    def __init__(self, path: Path, limit: int):
        self._limit = limit
        open(path, "ab", opener=private).close()
        self._db = sqlite3.connect(path, timeout=1.0, isolation_level=None)
        # What the last moment before a power failure brought is not worth a disk access for every task.
        self._db.execute("PRAGMA synchronous = OFF")
        # It stays whole when the controller is killed.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(_SCHEMA)
        self.size, last = self._db.execute("SELECT TOTAL(size), MAX(number) FROM tasks").fetchone()
        self.first_number = 0 if last is None else last + 1

    def add(self, entry: Entry) -> None:
        entry = entry.without_large_payloads(self._limit // 4)
        try:
            self._insert(_row(entry))
            self.size += entry.size
            while self.size > self._limit:
                oldest = self._db.execute("SELECT id FROM tasks ORDER BY place LIMIT 1").fetchone()
                if oldest is None:
                    break
                self.remove(oldest)
        except sqlite3.Error as error:
            # A full disk costs the memory of this task, not its result, which has been delivered.
            print(f"task {entry.id} is not kept: {error}", file=sys.stderr, flush=True)

    def _insert(self, row: tuple[Any, ...]) -> None:
        try:
            self._db.execute(_INSERT, row)
        except sqlite3.IntegrityError:
            self.remove(row[:1])
            self._db.execute(_INSERT, row)

    def get(self, task: str) -> Entry | None:
        try:
            row = self._db.execute("SELECT head, outputs, request, result FROM tasks WHERE id = ?", (task,)).fetchone()
        except sqlite3.Error as error:
            # As if it were forgotten: who asks is told, and the results of others go on.
            print(f"task {task} cannot be read: {error}", file=sys.stderr, flush=True)
            return None
        return None if row is None else _entry(*row)

    def entries(self, payloads: bool = False) -> Iterator[Entry]:
        columns = "request, result" if payloads else "CASE WHEN is_code THEN request END, NULL"
        cursor = self._db.execute(f"SELECT head, outputs, {columns} FROM tasks ORDER BY place")
        return (_entry(*row) for row in cursor)

    def remove(self, tasks: Iterable[str]) -> None:
        for task in tasks:
            removed = self._db.execute("DELETE FROM tasks WHERE id = ? RETURNING size", (task,)).fetchall()
            self.size -= sum(size for (size,) in removed)

    def close(self) -> None:
        self._db.close()


def _row(entry: Entry) -> tuple[Any, ...]:
    outputs = [[message.engine, message.msg_type, message.content, *message.buffers] for message in entry.outputs]
    # What is on disk must not point into memory.
    request, result = (None if payload is None else load(payload) for payload in (entry.request, entry.result))
    head = {
        **{name: getattr(entry, name) for name in _HEAD},
        "request": _lengths(request),
        "result": _lengths(result),
        "outputs": [[engine, msg_type, _lengths(frames)] for engine, msg_type, *frames in outputs],
    }
    printed = b"".join(bytes(frame) for _, _, *frames in outputs for frame in frames)
    is_code = entry.kind in ("execute", "cell")
    blobs = _joined(request), _joined(result)
    return entry.id, entry.number, entry.size, is_code, json.dumps(head), printed, *blobs


def _entry(text: str, printed: bytes, request: bytes | None, result: bytes | None) -> Entry:
    head = json.loads(text)
    # A file of an older version may not have all of them.
    entry = Entry(**{name: head[name] for name in _HEAD if name in head}, request=None, request_size=0, settled=True, delivered=True)
    for name in ("started", "completed"):
        if isinstance(seconds := (entry.record or {}).get(name), float):
            # It had seconds.
            entry.record[name] = stamp(seconds)
    entry.request, entry.result = _frames(request, head["request"]), _frames(result, head["result"])
    entry.request_size, entry.result_size = len(request or b""), len(result or b"")
    position = 0
    for engine, msg_type, lengths in head["outputs"]:
        content, *buffers = _frames(printed[position : position + sum(lengths)], lengths) or ()
        position += sum(lengths)
        entry.outputs.append(KernelMessage(engine, msg_type, {}, content, buffers))
    return entry


def _lengths(frames: Sequence[Any] | None) -> list[int] | None:
    return None if frames is None else list(map(len, frames))


def _joined(frames: Sequence[Any] | None) -> bytes | None:
    return None if frames is None else b"".join(bytes(frame) for frame in frames)


def _frames(blob: bytes | None, lengths: list[int] | None) -> list[bytes] | None:
    if blob is None or lengths is None:
        return None
    frames, position = [], 0
    for length in lengths:
        frames.append(blob[position : position + length])
        position += length
    return frames
