"""The picture in the design, kept true: who imports whom, what is packaged, what is public, how large things are."""

import ast
import builtins
import concurrent.futures
import importlib
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import pxkernel

ROOT = Path(__file__).parents[2]

#: Layer → the layers that it may import. "root" is pxkernel/__init__.py.
LAYERS = {
    "root": set(),
    "tracebacks": set(),
    "errors": {"tracebacks"},
    "error": {"errors"},
    "datapub": {"protocol"},
    "joblib": {"errors", "client", "cluster"},
    "protocol": {"errors"},
    "core": {"errors", "protocol"},
    "kernels": {"errors", "protocol"},
    "engine": {"errors", "protocol"},
    "client": {"tracebacks", "errors", "protocol"},
    "controller": {"errors", "protocol", "core", "kernels"},
    "cluster": {"errors", "protocol", "client"},
    "magics": {"errors", "client"},
    "cli": {"root", "errors", "protocol", "client", "cluster"},
}
#: Arrows that are not in the picture: (module, imported module) → why.
EXCEPTIONS = {
    ("pxkernel.client.balanced", "pxkernel.joblib"): "view.register_joblib_backend()",
    ("pxkernel", "pxkernel.magics"): "%load_ext pxkernel",
    ("pxkernel.client.view", "pxkernel.magics"): "view.activate()",
    ("pxkernel.client.control", "pxkernel.engine.namespace"): "clear is a function that travels by reference",
    ("pxkernel.client.namespaces", "pxkernel.engine.namespace"): "push and pull are functions that travel by reference",
    ("pxkernel.cluster.cluster", "pxkernel.controller.settings"): "what the process that it starts is told",
    ("pxkernel.cluster.start", "pxkernel.controller.settings"): "what the process that it starts is told",
    ("pxkernel.cluster.restore", "pxkernel.controller.settings"): "what the process that it starts is told",
    ("pxkernel.cluster.restore", "pxkernel.kernels.threads"): "in the environment of the process that it starts",
    ("pxkernel.cluster.start", "pxkernel.kernels.logs"): "what the process has printed",
    ("pxkernel.cli", "pxkernel.controller.settings"): "the defaults and the choices that its help shows",
    ("pxkernel.cluster.enginesets", "pxkernel.kernels.logs"): "what the processes have printed",
    ("pxkernel.cluster.cluster", "pxkernel.kernels.threads"): "in the environment of the process that it starts",
}
#: Modules of ours that are imported inside of a function: (module, imported module) → why.
LATE = {
    ("pxkernel.client.balanced", "pxkernel.joblib"): "joblib is optional",
    ("pxkernel", "pxkernel.magics"): "a client need not be in IPython",
    ("pxkernel.client.view", "pxkernel.magics"): "the magics import the client",
    ("pxkernel.engine", "pxkernel.engine.extension"): "a client imports the functions of pxkernel.engine.namespace only",
    ("pxkernel.controller.__main__", "pxkernel.controller.process"): "the fork server is started before",
}
#: Modules that may be longer than 420 lines: (lines, why).
LONG_MODULES = {
    "pxkernel.errors": (590, "every exception, in one tree"),
    "pxkernel.controller.server": (485, "the loop: one short method for each message, event and command"),
    "pxkernel.client.client": (590, "the public class that users know from ipyparallel, with its docstrings"),
    "pxkernel.engine.channel": (425, "the state of one engine: what it runs, for whom, and over which connection"),
    "pxkernel.cluster.cluster": (430, "the public class that users know from ipyparallel, with its docstrings"),
    "pxkernel.client.asyncresult": (560, "the public class that users know from ipyparallel, with its docstrings"),
}
#: What does I/O, knows the time, or is random.
NO_PURE = {
    "IPython", "asyncio", "concurrent", "datetime", "ipykernel", "io", "jupyter_client", "jupyter_core", "logging",
    "multiprocessing", "os", "pathlib", "queue", "random", "secrets", "select", "selectors", "shutil", "signal",
    "socket", "subprocess", "tempfile", "threading", "time", "tornado", "traitlets", "uuid", "zmq",
}  # fmt: skip
NO_PROTOCOL = {
    "IPython", "asyncio", "concurrent", "ipykernel", "jupyter_client", "multiprocessing", "subprocess", "threading",
    "tornado", "traitlets", "zmq",
}  # fmt: skip
#: Memory of what has travelled, by thread, and locks for it; what a thread reads into.
THREADS_IN_PROTOCOL = {f"pxkernel.protocol.{name}" for name in ("pack", "arrive", "travel", "stream")}

#: Large copies are divided among threads.
COPIES_IN_PROTOCOL = {"pxkernel.protocol.copying"}
#: How frames go through a socket that somebody else has made.
SOCKETS_IN_PROTOCOL = {"pxkernel.protocol.sockets"}


def _name(path):
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "magics":
        parts.insert(0, "pxkernel")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def sources():
    """Every module of the package: name → (path, syntax tree)."""
    paths = [*ROOT.glob("pxkernel/**/*.py"), *ROOT.glob("magics/**/*.py")]
    return {_name(path): (path, ast.parse(path.read_text())) for path in paths}


def layer(module):
    return module.split(".")[1] if "." in module else "root"


def _is_type_checking(node):
    return isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING"


def _statements(node, late=False):
    """(import statement, whether it is inside of a function), without those for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, late
        elif _is_type_checking(child):
            yield from (pair for other in child.orelse for pair in _statements(other, late))
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _statements(child, late or inside)


def _targets(module, statement):
    """The modules that an import statement names."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    base = statement.module or ""
    if statement.level:
        path, _ = sources()[module]
        package = module.split(".")
        up = statement.level - (path.name == "__init__.py")
        base = ".".join([*package[: len(package) - up], *([base] if base else [])])
    inner = [f"{base}.{alias.name}" for alias in statement.names]
    return [name if name in sources() else base for name in inner]


@cache
def imports(module):
    """(imported module, whether inside of a function) of one of our modules."""
    _, tree = sources()[module]
    return {(target, late) for statement, late in _statements(tree) for target in _targets(module, statement)}


def ours(module, late=None):
    return {target for target, is_late in imports(module) if target in sources() and late in (None, is_late)}


def top_level(module):
    """The packages of others that a module imports, by their first name."""
    return {target.partition(".")[0] for target, _ in imports(module)} - {"pxkernel", "__future__"}


MODULES = sorted(sources())


# ---- who imports whom


def test_the_modules_were_found():
    assert {"pxkernel", "pxkernel.core.core", "pxkernel.magics.options"} <= set(MODULES)
    assert "pxkernel.core.tables" in ours("pxkernel.core.core")


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    allowed = {*LAYERS[layer(module)], layer(module)}
    wrong = {target for target in ours(module) if layer(target) not in allowed and (module, target) not in EXCEPTIONS}
    assert not wrong


@pytest.mark.parametrize("module, target", EXCEPTIONS)
def test_every_exception_is_needed(module, target):
    assert target in ours(module)


def test_the_layers_are_in_an_order():
    done = set()
    while len(done) < len(LAYERS):
        ready = {name for name, below in LAYERS.items() if name not in done and below <= done}
        assert ready, f"a circle among {set(LAYERS) - done}"
        done |= ready


def test_no_circle_of_modules():
    done, path = set(), []

    def visit(module):
        assert module not in path, " → ".join([*path[path.index(module) :], module])
        if module in done:
            return
        path.append(module)
        for target in sorted(ours(module, late=False)):
            visit(target)
        done.add(path.pop())

    for module in MODULES:
        visit(module)


def test_imports_inside_of_functions():
    late = {(module, target) for module in MODULES for target in ours(module, late=True)}
    assert late == set(LATE)


@pytest.mark.parametrize("module", [module for module in MODULES if layer(module) == "core"])
def test_the_core_is_pure(module):
    assert not top_level(module) & NO_PURE
    _, tree = sources()[module]
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"open", "print", "input", "eval", "exec", "__import__"}


def test_what_the_core_imports_is_pure():
    reached, new = set(), {module for module in MODULES if layer(module) == "core"}
    while new:
        reached |= new
        new = {target for module in new for target in ours(module)} - reached
    assert {target for module in reached for target in top_level(module)} & NO_PURE == set()


@pytest.mark.parametrize("module", [module for module in MODULES if layer(module) == "protocol"])
def test_the_protocol_does_no_io_of_its_own(module):
    forbidden = NO_PROTOCOL - ({"threading"} if module in THREADS_IN_PROTOCOL else set())
    forbidden -= {"zmq"} if module in SOCKETS_IN_PROTOCOL else set()
    forbidden -= {"concurrent", "threading"} if module in COPIES_IN_PROTOCOL else set()
    assert not top_level(module) & forbidden


@pytest.mark.parametrize("module", ["pxkernel.kernels._forkserver_main", "pxkernel.controller.settings"])
def test_what_is_started_first_imports_the_standard_library_only(module):
    _, tree = sources()[module]
    first = {name.partition(".")[0] for node, late in _statements(tree) if not late for name in _targets(module, node)}
    assert first <= sys.stdlib_module_names


def test_nobody_imports_a_top_level_magics():
    """It is installed as pxkernel.magics; "magics" is somebody else's."""
    for path in [path for folder in ("pxkernel", "magics", "tests") for path in ROOT.glob(f"{folder}/**/*.py")]:
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "import magics" in text or "from magics" in text else ():
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names.append(node.module)
            assert not [name for name in names if name.partition(".")[0] == "magics"], path


def test_tests_and_benchmarks_are_not_imported():
    assert not {"tests", "benchmarks", "conftest", "pytest"} & {name for module in MODULES for name in top_level(module)}


# ---- what is packaged


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_packaged(pyproject):
    packages = {name for name, (path, _) in sources().items() if path.name == "__init__.py"}
    assert set(pyproject["tool"]["setuptools"]["packages"]) == packages


def test_the_list_of_packages_is_sorted(pyproject):
    packages = pyproject["tool"]["setuptools"]["packages"]
    assert packages == sorted(packages)


def test_every_folder_with_code_is_a_package():
    assert {path.parent for path, _ in sources().values() if not (path.parent / "__init__.py").exists()} == set()


def test_what_is_used_is_required(pyproject):
    required = {name.split(">")[0].replace("-", "_") for name in pyproject["project"]["dependencies"]}
    required |= {"IPython", "zmq", "jupyter_core", "tornado", "traitlets", "comm"}  # by ipython, pyzmq, jupyter_client
    required |= {name.partition(">")[0] for name in pyproject["project"]["optional-dependencies"]["joblib"]}
    used = {name for module in MODULES for name in top_level(module)} - sys.stdlib_module_names
    assert used <= required


def test_entry_points_exist(pyproject):
    project = pyproject["project"]
    groups = [project["scripts"], *project["entry-points"].values()]
    for target in [target for group in groups for target in group.values()]:
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_data_files_exist(pyproject):
    for files in pyproject["tool"]["setuptools"]["data-files"].values():
        assert all((ROOT / file).is_file() for file in files)


def test_the_version_is_one(pyproject):
    assert pyproject["project"]["version"] == pxkernel.__version__


# ---- what is public


#: Public names that are neither a class nor a function.
CONSTANTS = {"ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION", "can_map", "uncan_map"}
#: Public names of what has another name, too.
ALIASES = {
    "AbortedTask": "TaskAborted",
    "IPythonError": "PxkernelError",
    "KernelError": "PxkernelError",
    "UnmetDependencyError": "UnmetDependency",
}


def test_public_names_are_sorted():
    assert pxkernel.__all__ == sorted(set(pxkernel.__all__))


@pytest.mark.parametrize("name", pxkernel.__all__)
def test_a_public_name_can_be_imported(name):
    """RC-27"""
    found = getattr(importlib.import_module("pxkernel"), name)
    assert name in CONSTANTS or (found.__name__ == ALIASES.get(name, name) and found.__doc__)


def test_the_constants_are_those_of_python():
    """RC-27"""
    for name in ("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"):
        assert getattr(pxkernel, name) is getattr(concurrent.futures, name)
    assert ".".join(map(str, pxkernel.version_info)) == pxkernel.__version__


def test_the_optional_names_exist():
    assert callable(pxkernel.register_joblib_backend) and not set(pxkernel._OPTIONAL) & set(pxkernel.__all__)


def test_a_star_import_gives_the_public_names():
    names = {}
    exec("from pxkernel import *", names)
    assert set(names) - {"__builtins__"} == set(pxkernel.__all__)


def test_type_checkers_see_the_public_names():
    _, tree = sources()["pxkernel"]
    (block,) = [node for node in tree.body if _is_type_checking(node)]
    assert sorted(alias.name for node in block.body for alias in node.names) == pxkernel.__all__


def test_completion_shows_the_public_names():
    assert dir(pxkernel) == sorted([*pxkernel.__all__, "__version__", "version_info"])


def test_other_names_do_not_exist():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        pxkernel.nonsense  # noqa: B018


def test_the_errors_of_users_are_public():
    _, tree = sources()["pxkernel.errors"]
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")}
    assert defined <= set(pxkernel.__all__)


def test_timeout_error_is_that_of_python():
    assert pxkernel.TimeoutError is builtins.TimeoutError


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is(module):
    path, tree = sources()[module]
    assert ast.get_docstring(tree), path


# ---- how large things are


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short(module):
    path, _ = sources()[module]
    limit, _ = LONG_MODULES.get(module, (420, ""))
    assert len(path.read_text().splitlines()) <= limit


@pytest.mark.parametrize("module", LONG_MODULES)
def test_long_modules_are_long(module):
    path, _ = sources()[module]
    assert len(path.read_text().splitlines()) > 420, "it needs no exception any more"


@pytest.mark.parametrize("module", MODULES)
def test_functions_are_short(module):
    _, tree = sources()[module]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {f"{module}:{node.name}" for node in functions if node.end_lineno - node.lineno >= 60}
    assert not long
