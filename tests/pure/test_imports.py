"""sync_imports without a cluster: which statement each import becomes (features DV-14 to DV-17)."""

import builtins
import sys

import pytest

from pxkernel.client.imports import SyncImports


class Engines:
    """Remembers the statements; ``get`` of a result raises what ``fail`` holds."""

    def __init__(self):
        self.statements = []
        self.fail = None

    def __call__(self, statement):
        self.statements.append(statement)
        return self

    def get(self):
        if self.fail:
            raise self.fail


@pytest.fixture
def engines():
    return Engines()


@pytest.fixture(autouse=True)
def import_is_restored():
    before = builtins.__import__
    yield
    assert builtins.__import__ is before


STATEMENTS = [
    "import math",
    "import math as m",
    "import os.path",
    "import os.path as p",
    "import xml.etree.ElementTree",
    "import xml.etree.ElementTree as tree",
    "import os.path as os",
    "from math import sqrt",
    "from math import sqrt as root,pi,e as euler",
    "from xml.etree import ElementTree as tree",
    "from math import *",
]


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("local", [True, False])
def test_in_a_notebook(engines, statement, local):
    """DV-14, DV-15: aliases and dotted names arrive as written."""
    names = {"__name__": "__main__", "sync": SyncImports(engines, local, quiet=True)}
    exec(f"with sync:\n    {statement}\n    x = 1", names)
    assert engines.statements == [statement]
    expected = {}
    exec(statement, expected)
    assert {name: value for name, value in names.items() if name not in ("sync", "x", "__name__", "__builtins__")} == (
        {name: value for name, value in expected.items() if name != "__builtins__"} if local else {}
    )


@pytest.mark.parametrize("statement", [s for s in STATEMENTS if "*" not in s])
def test_in_a_function(engines, statement):
    """DV-15"""
    names = {"sync": SyncImports(engines, quiet=True)}
    exec(f"def f():\n    with sync:\n        {statement}\n    return locals()", names)
    expected = {}
    exec(statement, expected)
    found = names["f"]()
    assert engines.statements == [statement]
    assert found == {name: value for name, value in expected.items() if name != "__builtins__"}


def test_several_statements_on_one_line(engines):
    """DV-15: also what uses the name at once."""
    names = {"sync": SyncImports(engines, quiet=True)}
    exec("def f():\n    with sync:\n        import math as m; y = m.pi; import os, json as j\n    return m, os, j", names)
    names["f"]()
    assert engines.statements == ["import math as m", "import os", "import json as j"]


def test_what_is_printed(engines, capsys):
    """DV-14: the seeds' text."""
    with SyncImports(engines):
        import json  # noqa: F401
        from math import pi, sqrt  # noqa: F401
    assert capsys.readouterr().out == "importing json on engine(s)\nimporting pi,sqrt from math on engine(s)\n"


def test_each_statement_once(engines):
    """DV-14"""
    with SyncImports(engines, quiet=True):
        for _ in range(3):
            import json  # noqa: F401
    assert engines.statements == ["import json"]


def test_what_modules_import_in_turn_is_theirs(engines):
    """DV-14"""
    sys.modules.pop("this", None)

    def helper():
        import math  # noqa: F401

    with SyncImports(engines, quiet=True):
        helper()
        import json.tool  # noqa: F401
    assert engines.statements == ["import json.tool"]


def test_a_local_failure_comes_at_once(engines):
    """DV-14"""
    with pytest.raises(ModuleNotFoundError, match="nosuch"), SyncImports(engines, quiet=True):
        import nosuch  # noqa: F401
    assert engines.statements == []


def test_a_remote_failure_comes_at_the_end(engines):
    """DV-14"""
    engines.fail = ZeroDivisionError()
    reached = False
    with pytest.raises(ZeroDivisionError), SyncImports(engines, quiet=True):
        import json  # noqa: F401

        reached = True
    assert reached


def test_the_error_of_the_block_wins(engines):
    engines.fail = ZeroDivisionError()
    with pytest.raises(KeyError), SyncImports(engines, quiet=True):
        import json  # noqa: F401

        raise KeyError


def test_relative_imports_are_told_absolutely(engines):
    names = {"__name__": "xml.etree.mine", "__package__": "xml.etree", "sync": SyncImports(engines, quiet=True)}
    exec("with sync:\n    from . import ElementTree\n    from ..dom import minidom as m", names)
    assert engines.statements == ["from xml.etree import ElementTree", "from xml.dom import minidom as m"]


def test_only_there(engines):
    """DV-16: a module that this process does not have, or has under that name already."""
    names = {"__name__": "__main__", "sync": SyncImports(engines, False, True), "np": "mine"}
    exec("with sync:\n    import nosuch.module as np\n    from nosuch import thing\n    inside = thing", names)
    assert engines.statements == ["import nosuch.module as np", "from nosuch import thing"]
    assert names["np"] == "mine"
    assert "thing" not in names
    with pytest.raises(NameError, match="nosuch.thing was imported on the engines only"):
        names["inside"]()


def test_only_there_in_a_function(engines):
    """DV-16"""
    with SyncImports(engines, local=False, quiet=True):
        import nosuch
    with pytest.raises(NameError, match="nosuch.f was imported on the engines only"):
        nosuch.f(1)
