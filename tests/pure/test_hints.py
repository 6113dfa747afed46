"""A NameError about something that the notebook has says how to get it to the engine (issue 4, point 3)."""

import numpy
import pytest

from pxkernel.client.hints import add_name_hint
from pxkernel.errors import class_names, remote_error

NAMESPACE = {"x": 3, "np": numpy, "numpy": numpy, "f": lambda: 1}


def hint(evalue, cls=NameError, lines=("a traceback",)):
    error = remote_error(cls.__name__, evalue, lines, {"engine_id": 0, "method": "execute"}, class_names(cls))
    before = error.traceback
    add_name_hint(error, NAMESPACE)
    return error.traceback.removeprefix(before).strip()


@pytest.mark.parametrize(
    "name, text",
    [
        ("x", "`x` exists in your notebook, not on the engine: push it with dview.push(dict(x=x))"),
        ("f", "`f` exists in your notebook, not on the engine: push it with dview.push(dict(f=f))"),
        ("np", "`np` is a module in your notebook, not on the engine: %px import numpy as np"),
        ("numpy", "`numpy` is a module in your notebook, not on the engine: %px import numpy"),
    ],
)
def test_how_to_get_it_there(name, text):
    assert hint(f"name '{name}' is not defined") == text
    assert hint(f"name '{name}' is not defined. Did you mean: 'y'?") == text


def test_the_hint_is_part_of_every_rendering():
    error = remote_error("NameError", "name 'x' is not defined", ["line"], None, class_names(NameError))
    add_name_hint(error, NAMESPACE)
    assert "push it" in error.render_traceback()[-1] and "push it" in "".join(error.__notes__)


@pytest.mark.parametrize(
    "evalue, options",
    [
        ("name 'nowhere' is not defined", {}),
        ("something else about 'x'", {}),
        ("name 'x' is not defined", {"cls": ValueError}),
        ("name 'x' is not defined", {"lines": ["`x` exists in your notebook and is too large"]}),
    ],
)
def test_no_hint(evalue, options):
    assert hint(evalue, **options) == ""
