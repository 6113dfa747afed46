"""Tables of pandas and Arrow: their memory travels beside the pickle, as that of arrays does (features SER-08, SER-11)."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pxkernel.protocol.pack import pack, unpack

COUNT = 20_000


def frame(count=COUNT):
    numbers = np.arange(count)
    return pd.DataFrame(
        {
            "integers": numbers,
            "floats": numbers / 2,
            "truth": numbers % 2 == 0,
            "dates": pd.date_range("2020-01-01", periods=count, freq="s"),
            "categories": pd.Categorical(numbers % 3),
            "gaps": pd.array([None, *numbers[1:]], dtype="Int64"),
        }
    )


FRAMES = {
    "frame": frame,
    "rows": lambda: frame().iloc[10:-10],
    "every other row": lambda: frame().iloc[::2],
    "indexed": lambda: frame().set_index(["dates", "integers"]),
    "series": lambda: frame()["floats"],
    "dates": lambda: frame()["dates"],
    "one type": lambda: pd.DataFrame(np.arange(3 * COUNT).reshape(COUNT, 3), columns=list("abc")),
}
TABLES = {
    "table": lambda: pa.table({"x": np.arange(COUNT), "y": [str(i) for i in range(COUNT)]}),
    "rows": lambda: pa.table({"x": np.arange(COUNT)}).slice(5, COUNT - 10),
    "column": lambda: pa.table({"x": np.arange(COUNT)})["x"],
    "batch": lambda: pa.record_batch([pa.array([None, *range(COUNT)])], ["x"]),
    "array": lambda: pa.array(np.arange(COUNT)),
    "buffer": lambda: pa.py_buffer(b"x" * COUNT),
}


def received(obj):
    return unpack([bytes(frame) for frame in pack(obj)], namespace={"__name__": "__main__"})


def assert_equal(a, b):
    (pd.testing.assert_series_equal if isinstance(a, pd.Series) else pd.testing.assert_frame_equal)(a, b)


@pytest.mark.parametrize("name", FRAMES)
def test_pandas(name):
    """SER-11"""
    original = FRAMES[name]()
    before = original.copy()
    back = received({"key": original})["key"]
    assert_equal(back, original)
    # Private and writable, as everything is that arrives.
    back.iloc[0] = back.iloc[1]
    assert_equal(original, before)
    frames = pack(original)
    assert len(bytes(frames[0])) < 4_000 < sum(map(len, frames[1:]))


def test_text_in_pandas():
    """SER-11"""
    text = pd.DataFrame({"text": [str(i) for i in range(COUNT)], "objects": [[i] for i in range(COUNT)]})
    assert_equal(received(text), text)


def test_a_few_rows_of_an_arrow_table_do_not_take_the_whole_table_along():
    """SER-08: so that `scatter` sends each engine its part only."""
    table = TABLES["table"]()
    for rows in (table.slice(7, 100), table.to_batches()[0].slice(7, 100), table[19_950:]):
        frames = pack(rows)
        assert sum(map(len, frames)) < 10_000 < table.nbytes
        back = received(rows)
        assert type(back) is type(rows)
        assert back.equals(rows)
        assert back.schema.equals(rows.schema)


@pytest.mark.parametrize("name", TABLES)
def test_arrow(name):
    """SER-11"""
    original = TABLES[name]()
    assert received([original])[0].equals(original)
    frames = pack(original)
    assert len(bytes(frames[0])) < 4_000 < sum(map(len, frames[1:]))
