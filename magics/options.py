"""The options of the magics. An option that does not exist is a usage error, never a traceback."""

from __future__ import annotations

import argparse
import ast
import keyword
import math
import re
import signal
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from ..client.display import GROUPINGS

#: The options that are followed by a value.
_VALUED = {"-t", "--targets", "-o", "--out", "--group-outputs", "--progress-after", "--signal-on-interrupt", "--timeout"}
#: How an option begins, and a negative number does not.
_OPTION = re.compile("--?[a-z]")
#: A word of a line, quotes kept together.
_WORD = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|\S)+)""")


def _execution(parser: MagicArgumentParser) -> None:
    """How and where code runs: the options of ``%%px`` that are also defaults, set by ``%pxconfig``."""
    parser.add_argument("-t", "--targets", help="engines: an id, ids with commas, a slice such as ::2, or 'all'")
    parser.add_argument("-b", "--block", dest="block", action="store_true", default=None, help="wait for the result")
    parser.add_argument(
        "-a", "--noblock", dest="block", action="store_false", default=None, help="return an AsyncResult at once"
    )
    parser.add_argument("--verbose", dest="verbose", action="store_true", default=None, help="say where it runs")
    parser.add_argument("--no-verbose", dest="verbose", action="store_false", default=None)
    parser.add_argument("--stream", dest="stream", action="store_true", default=None, help="show output as it comes")
    parser.add_argument(
        "--no-stream", dest="stream", action="store_false", default=None, help="show output at the end, grouped"
    )
    parser.add_argument("--progress-after", help="seconds until a progress bar appears; -1: never")
    parser.add_argument("--signal-on-interrupt", help="what an interrupt sends to the engines; 0: nothing")


def _output(parser: MagicArgumentParser) -> None:
    """What happens with the output of a call."""
    parser.add_argument("--group-outputs", choices=GROUPINGS, help="the order of output that is shown at the end")
    for flag, grouping in (("-e", "engine"), ("-r", "order")):
        parser.add_argument(
            flag, dest="group_outputs", action="store_const", const=grouping, help=f"--group-outputs {grouping}"
        )
    parser.add_argument("-o", "--out", help="the name for the AsyncResult in the notebook")


def cell_parser(name: str) -> MagicArgumentParser:
    """The options of ``%%px`` and, before the code, of ``%px``."""
    parser = MagicArgumentParser(name, add_help=False)
    _execution(parser)
    _output(parser)
    parser.add_argument("--timeout", help="seconds that it may run on an engine; then it is interrupted and fails")
    parser.add_argument("--local", action="store_true", help="run the cell here as well")
    return parser


def config_parser(name: str) -> MagicArgumentParser:
    """The options of ``%pxconfig``."""
    parser = MagicArgumentParser(name, add_help=False)
    _execution(parser)
    return parser


def no_parser(name: str) -> MagicArgumentParser:
    """For ``%autopx``, which has no options."""
    return MagicArgumentParser(name, add_help=False)


def result_parser(name: str) -> MagicArgumentParser:
    """The options of ``%pxresult`` and ``%result``."""
    parser = MagicArgumentParser(name, add_help=False)
    parser.add_argument("index", nargs="?", type=int, help="which call, as an index into the view's history")
    _output(parser)
    return parser


def parse(parser: MagicArgumentParser, line: str) -> argparse.Namespace:
    """The options in ``line``, with the values that they mean.

    Raises
    ------
    UsageError
        There is no such option, or a value is none.
    """
    try:
        arguments = parser.parse_argstring(line)
    except ValueError as error:  # a quotation that does not end
        raise UsageError(f"{parser.prog}: {error}") from None
    for name, read in _READERS.items():
        if getattr(arguments, name, None) is not None:
            setattr(arguments, name, read(getattr(arguments, name)))
    return arguments  # type: ignore[no-any-return]


def split(line: str) -> tuple[str, str]:
    """The options at the start of a line of ``%px``, and the code behind them.

    A line that is Python as it stands has no options: ``%px -x`` shows ``-x``.
    """
    if not line.lstrip().startswith("-"):
        return "", line
    try:
        ast.parse(line.strip())
    except SyntaxError:
        pass
    else:
        return "", line
    position = 0
    while (word := _WORD.match(line, position)) and _OPTION.match(word[1]):
        position = word.end()
        if word[1] in _VALUED and (value := _WORD.match(line, position)):
            position = value.end()
    return line[:position], line[position:].lstrip()


def parse_name(text: str) -> str:
    """What ``--out`` says: a name that code can use.

    Raises
    ------
    UsageError
        It is no such name.
    """
    name = text.strip("\"'")
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(f"--out takes the name of a variable, not {name!r}")
    return name


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


def parse_timeout(text: str) -> float:
    """What ``--timeout`` says: a positive number of seconds.

    Raises
    ------
    UsageError
        It is none.
    """
    try:
        seconds = float(text)
        if not 0 < seconds < math.inf:
            raise ValueError
    except ValueError:
        raise UsageError(f"--timeout takes a positive number of seconds, not {text!r}") from None
    return seconds


def parse_progress(text: str) -> float:
    """What ``--progress-after`` says: a number of seconds, or -1 for never.

    Raises
    ------
    UsageError
        It is neither.
    """
    try:
        seconds = float(text)
        if not (0 <= seconds < math.inf or seconds == -1):
            raise ValueError
    except ValueError:
        raise UsageError(f"--progress-after takes a number of seconds, or -1 for never, not {text!r}") from None
    return seconds


def parse_signal(text: str) -> int:
    """What ``--signal-on-interrupt`` says: the name or the number of a signal, or 0 for none.

    Raises
    ------
    UsageError
        There is no such signal.
    """
    try:
        if text.isdigit():
            return int(text) and int(signal.Signals(int(text)))
        return int(signal.Signals[text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"])
    except (ValueError, KeyError):
        raise UsageError(f"--signal-on-interrupt takes the name or number of a signal, or 0, not {text!r}") from None


#: The options whose values mean more than their text.
_READERS = {
    "targets": parse_targets,
    "progress_after": parse_progress,
    "signal_on_interrupt": parse_signal,
    "timeout": parse_timeout,
    "out": parse_name,
}
