"""How parts of Arrow's tables travel (features SER-08).

Whole tables travel well by themselves, out of band. A few rows of a table are a window on its memory, all of which pyarrow
would send; its stream format holds only what is in the window. This module does not import pyarrow: who sends a table has it.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from typing import Any

#: Windows on so many times their own size are written out; that is a copy.
_WORTH_IT = 2


def reducer(kind: type) -> Any:
    """The function that reduces objects of exactly this type, None if it is no table of Arrow."""
    if not str(kind.__module__).startswith("pyarrow"):
        return None
    pyarrow = sys.modules["pyarrow"]
    return _reduce_rows if kind in (pyarrow.Table, pyarrow.RecordBatch) else None


def _reduce_rows(rows: Any) -> Any:
    if rows.get_total_buffer_size() <= _WORTH_IT * rows.nbytes:
        return NotImplemented
    pyarrow = sys.modules["pyarrow"]
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, rows.schema) as writer:
        writer.write(rows)
    # The function travels by its name, so that its module is imported where the rows arrive.
    return rebuild_rows, (pyarrow.ipc.open_stream, pickle.PickleBuffer(sink.getvalue()), type(rows) is pyarrow.Table)


def rebuild_rows(open_stream: Callable[[Any], Any], stream: Any, is_table: bool) -> Any:
    with open_stream(stream) as reader:
        return reader.read_all() if is_table else reader.read_next_batch()
