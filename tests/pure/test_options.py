"""The options of the magics."""

import pytest
from IPython.core.error import UsageError

from pxkernel.magics.options import cell_parser, config_parser, parse_targets, result_parser
from pxkernel.magics.parallel import ParallelMagics


def parse(make_parser, line):
    """As the magics do."""
    return ParallelMagics(shell=None)._parse(make_parser("px"), line)


# ---- what there is


def test_no_option_is_set_by_default():
    arguments = parse(cell_parser, "")
    assert vars(arguments) == {"targets": None, "block": None, "verbose": None, "out": None, "local": False}


@pytest.mark.parametrize("line", ["--targets 0,1", "-t 0,1", "--targets=0,1", "-t0,1"])
@pytest.mark.parametrize("parser", [cell_parser, config_parser])
def test_targets(parser, line):
    assert parse(parser, line).targets == "0,1"


def test_targets_may_be_negative():
    assert parse_targets(parse(cell_parser, "--targets -1").targets) == -1


def test_targets_may_be_quoted():
    assert parse_targets(parse(cell_parser, "--targets '[0, 1]'").targets) == [0, 1]


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


# ---- what there is not


@pytest.mark.parametrize(
    "line", ["--nonsense", "-x", "stray", "--targets", "-t", "--out", "--help", "--block=1", '--out "open', "-o 'open"]
)
def test_a_wrong_option_of_px_is_a_usage_error(line):
    with pytest.raises(UsageError):
        parse(cell_parser, line)


@pytest.mark.parametrize("line", ["--nonsense", "stray", "--local", "--targets", "--targets 'open"])
def test_a_wrong_option_of_pxconfig_is_a_usage_error(line):
    with pytest.raises(UsageError):
        parse(config_parser, line)


@pytest.mark.parametrize("line", ["x", "1.5", "1 2", "--targets 0", "--nonsense", "'open"])
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
