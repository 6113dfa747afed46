"""The options of the magics. An option that does not exist is a usage error, never a traceback."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser


def _common(parser: MagicArgumentParser) -> None:
    parser.add_argument("-t", "--targets", help="engines: an id, ids with commas, a slice such as ::2, or 'all'")
    parser.add_argument("-b", "--block", dest="block", action="store_true", default=None, help="wait for the result")
    parser.add_argument(
        "-a", "--noblock", dest="block", action="store_false", default=None, help="return an AsyncResult at once"
    )
    parser.add_argument("--verbose", dest="verbose", action="store_true", default=None, help="say where it runs")
    parser.add_argument("--no-verbose", dest="verbose", action="store_false", default=None)


def cell_parser(name: str) -> MagicArgumentParser:
    """The options of ``%%px``."""
    parser = MagicArgumentParser(f"%%{name}", add_help=False)
    _common(parser)
    parser.add_argument("-o", "--out", help="the name for the AsyncResult in the notebook")
    parser.add_argument("--local", action="store_true", help="run the cell here as well")
    return parser


def config_parser(name: str) -> MagicArgumentParser:
    """The options of ``%pxconfig``."""
    parser = MagicArgumentParser(f"%{name}", add_help=False)
    _common(parser)
    return parser


def result_parser(name: str) -> MagicArgumentParser:
    """The options of ``%pxresult`` and ``%result``."""
    parser = MagicArgumentParser(f"%{name}", add_help=False)
    parser.add_argument("index", nargs="?", type=int, help="which call, as an index into the view's history")
    parser.add_argument("-o", "--out", help="the name for the AsyncResult in the notebook")
    return parser


def parse_targets(text: str) -> Any:
    """What ``--targets`` says: "all", an id, a list of ids, or a slice.

    Raises
    ------
    UsageError
        It says none of these.
    """
    # IPython leaves the quotes around an argument.
    text = text.strip("\"' ")
    if text == "all":
        return "all"
    try:
        if ":" in text:
            targets = slice(*(int(part) if part else None for part in text.strip("[]").split(":")))
            range(0)[targets]  # a step of 0 is an error
            return targets
        if text.startswith("[") or "," in text:
            first, *more = (int(part) for part in text.strip("[]").split(",") if part.strip())
            return [first, *more]
        return int(text)
    except (ValueError, TypeError):
        raise UsageError(f"--targets takes an engine id, ids with commas, a slice or 'all', not {text!r}") from None
