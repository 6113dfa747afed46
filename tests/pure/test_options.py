"""The options of the magics."""

import signal

import pytest
from IPython.core.error import UsageError

from pxkernel.magics import options
from pxkernel.magics.options import cell_parser, config_parser, parse_signal, parse_targets, result_parser, split


def parse(make_parser, line):
    return options.parse(make_parser("%px"), line)


# ---- what there is


def test_no_option_is_set_by_default():
    arguments = vars(parse(cell_parser, ""))
    assert arguments.pop("local") is False
    assert set(arguments) == {
        "block", "group_outputs", "out", "progress_after", "signal_on_interrupt", "stream", "targets", "timeout",
        "verbose",
    }  # fmt: skip
    assert set(arguments.values()) == {None}


@pytest.mark.parametrize("line", ["--targets 0,1", "-t 0,1", "--targets=0,1", "-t0,1"])
@pytest.mark.parametrize("parser", [cell_parser, config_parser])
def test_targets(parser, line):
    assert parse(parser, line).targets == [0, 1]


def test_targets_may_be_negative():
    assert parse(cell_parser, "--targets -1").targets == -1


def test_targets_may_be_quoted():
    assert parse(cell_parser, "--targets '[0, 1]'").targets == [0, 1]


@pytest.mark.parametrize(
    "line, block", [("--block", True), ("-b", True), ("--noblock", False), ("-a", False), ("--block --noblock", False)]
)
@pytest.mark.parametrize("parser", [cell_parser, config_parser])
def test_block(parser, line, block):
    assert parse(parser, line).block is block


@pytest.mark.parametrize("line, verbose", [("--verbose", True), ("--no-verbose", False)])
@pytest.mark.parametrize("parser", [cell_parser, config_parser])
def test_verbose(parser, line, verbose):
    assert parse(parser, line).verbose is verbose


@pytest.mark.parametrize("parser", [cell_parser, result_parser])
def test_out(parser):
    assert parse(parser, "--out ar").out == parse(parser, "-o ar").out == "ar"


def test_local():
    assert parse(cell_parser, "--local").local is True


@pytest.mark.parametrize("line, index", [("", None), ("2", 2), ("-1", -1), ("-1 -o ar", -1)])
def test_the_index_of_a_result(line, index):
    assert parse(result_parser, line).index == index


@pytest.mark.parametrize("line, stream", [("--stream", True), ("--no-stream", False), ("--stream --no-stream", False)])
@pytest.mark.parametrize("parser", [cell_parser, config_parser])
def test_stream(parser, line, stream):
    """MG-10"""
    assert parse(parser, line).stream is stream


@pytest.mark.parametrize("line, after", [("--progress-after 5", 5.0), ("--progress-after=-1", -1.0), ("--progress-after 0", 0.0)])
@pytest.mark.parametrize("parser", [cell_parser, config_parser])
def test_progress_after(parser, line, after):
    """MG-11"""
    assert parse(parser, line).progress_after == after


@pytest.mark.parametrize(
    "line, grouping",
    [("--group-outputs engine", "engine"), ("--group-outputs=type", "type"), ("-e", "engine"), ("-r", "order")],
)
@pytest.mark.parametrize("parser", [cell_parser, result_parser])
def test_group_outputs(parser, line, grouping):
    """MG-09"""
    assert parse(parser, line).group_outputs == grouping


@pytest.mark.parametrize(
    "text, signum",
    [("SIGINT", 2), ("sigint", 2), ("int", 2), ("2", 2), ("0", 0), ("SIGTERM", 15), ("9", 9), ("USR1", signal.SIGUSR1)],
)
def test_signal_on_interrupt(text, signum):
    """MG-13: names or numbers; 0: the engines go on."""
    assert parse_signal(text) == signum == parse(cell_parser, f"--signal-on-interrupt {text}").signal_on_interrupt


@pytest.mark.parametrize("text", ["", "x", "-1", "999", "SIG", "2.0"])
def test_what_is_no_signal(text):
    """MG-13"""
    with pytest.raises(UsageError, match="--signal-on-interrupt takes"):
        parse_signal(text)


@pytest.mark.parametrize("text", ["1x", "'a b'", "class", "a.b", "''"])
def test_what_is_no_name(text):
    """MG-08"""
    with pytest.raises(UsageError, match="--out takes the name of a variable, not"):
        parse(cell_parser, f"--out {text}")
    assert parse(cell_parser, "--out 'quoted'").out == "quoted"


def test_timeout():
    """Issue 4, point 4."""
    assert parse(cell_parser, "--timeout 1.5").timeout == 1.5


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-2", "-0.5", "1e999", "soon", "''"])
@pytest.mark.parametrize("parser", [cell_parser, config_parser])
def test_when_no_progress_bar_can_appear(parser, text):
    """MG-11"""
    with pytest.raises(UsageError, match="--progress-after takes a number of seconds, or -1 for never, not"):
        parse(parser, f"--progress-after={text}")


@pytest.mark.parametrize("line", ["junk", "--targets 0", "-b", "off", "'open"])
def test_autopx_has_no_options(line):
    """MG-17"""
    assert vars(parse(options.no_parser, "")) == {}
    with pytest.raises(UsageError):
        parse(options.no_parser, line)


@pytest.mark.parametrize("text", ["0", "-1", "x", "nan", "inf", "1e999"])
def test_what_is_no_timeout(text):
    with pytest.raises(UsageError, match="--timeout takes a positive number of seconds"):
        parse(cell_parser, f"--timeout={text}")


# ---- options of the line magic


@pytest.mark.parametrize(
    "line, given, code",
    [
        ("x = 1", "", "x = 1"),
        ("-x", "", "-x"),
        ("-1 + 2", "", "-1 + 2"),
        ("--x", "", "--x"),
        ("", "", ""),
        ("-t 3 %debug", "-t 3", "%debug"),
        ("--targets=0,1 x  =  ' -t 2'", "--targets=0,1", "x  =  ' -t 2'"),
        (" --targets 0 --noblock -o ar f(1)", " --targets 0 --noblock -o ar", "f(1)"),
        ("-t '0, 1' !ls -l", "-t '0, 1'", "!ls -l"),
        ("-t 0 -1", "-t 0", "-1"),
        ("--timeout 5 f(1)", "--timeout 5", "f(1)"),
        ("--nonsense x", "--nonsense", "x"),
        ("-t", "", "-t"),
        ("-t ::2 -b", "-t ::2 -b", ""),
    ],
)
def test_options_before_the_code_of_a_line(line, given, code):
    """MG-02: a line that is Python as it stands has no options."""
    assert split(line) == (given, code)


# ---- what there is not


@pytest.mark.parametrize(
    "line",
    [
        "--nonsense", "-x", "stray", "--targets", "-t", "--out", "--help", "--block=1", '--out "open', "-o 'open",
        "--group-outputs", "--group-outputs x", "--progress-after", "--progress-after soon", "--stream=1",
        "--signal-on-interrupt", "--signal-on-interrupt SIGNONSENSE", "--targets x",
    ],  # fmt: skip
)
def test_a_wrong_option_of_px_is_a_usage_error(line):
    with pytest.raises(UsageError):
        parse(cell_parser, line)


@pytest.mark.parametrize("line", ["--nonsense", "stray", "--local", "-o x", "-e", "--targets", "--targets 'open"])
def test_a_wrong_option_of_pxconfig_is_a_usage_error(line):
    with pytest.raises(UsageError):
        parse(config_parser, line)


@pytest.mark.parametrize("line", ["x", "1.5", "1 2", "--targets 0", "--nonsense", "'open", "--stream", "-e -r x"])
def test_a_wrong_option_of_pxresult_is_a_usage_error(line):
    with pytest.raises(UsageError):
        parse(result_parser, line)


# ---- targets


@pytest.mark.parametrize(
    "text, targets",
    [
        ("all", "all"),
        ("0", 0),
        (" 3 ", 3),
        ("-1", -1),
        ("'2'", 2),
        ("0,1", [0, 1]),
        ("0, 2", [0, 2]),
        ("0,", [0]),
        ("-1,0", [-1, 0]),
        ("[0,1]", [0, 1]),
        ("[3]", [3]),
        ('"[0, 1]"', [0, 1]),
        (":", slice(None, None, None)),
        ("1:", slice(1, None, None)),
        (":-1", slice(None, -1, None)),
        ("::2", slice(None, None, 2)),
        ("1:3:1", slice(1, 3, 1)),
        ("[::2]", slice(None, None, 2)),
    ],
)
def test_targets_that_mean_engines(text, targets):
    assert parse_targets(text) == targets


@pytest.mark.parametrize(
    "text", ["", " ", "ALL", "x", "0 1", "1.5", "0x1", "None", "0,x", "[]", "[", ",", "::0", "1:2:3:4", "a:b", "0;1"]
)
def test_targets_that_mean_nothing(text):
    with pytest.raises(UsageError, match="--targets takes an engine id"):
        parse_targets(text)
