"""The documents that pxkernel promises to keep (the seeds), replayed cell by cell in a real notebook kernel.

The transcripts are those of seed 000, "IPython's Direct interface", in its order and with its values. What differs is
noted beside it: times are short, Python 3 says "division by zero", and a step that the seed leaves out is spelled out.
"""

import ast
import re
import time

import pytest

#: Where IPython says a line is from: the seeds show only the line. The rule above a traceback has any length.
PLACES = re.compile(r"(?m)^(Cell In|File |Input In|<ipython-input).*$|^-{20,}$")
#: A bar appears when something takes long, as anything may on a busy machine.
BARS = re.compile(r"(?m)^[^\n|]*\d+%\|.*\n?")


@pytest.fixture(scope="module")
def kernel(start_notebook):
    kernel = start_notebook()
    yield kernel
    kernel.run("cluster.stop_cluster_sync()")


@pytest.fixture
def replay(kernel, tmp_path):
    def run(transcript):
        for cell, expected, printed in cells(transcript.replace("TMP", str(tmp_path))):
            shown = kernel.run(cell)
            text = BARS.sub("", "".join(shown.texts)) + shown.error
            assert value(shown.result) == value(expected), f"{cell}\n{text}"
            assert squeezed(text) == squeezed(printed), cell

    return run


def cells(transcript):
    """The cells of a transcript: (source, the text after "Out", the other lines that it shows)."""
    for block in re.split(r"(?m)^In \[\d+\]: ", transcript)[1:]:
        source, out, printed = [], None, []
        for number, line in enumerate(block.splitlines()):
            if number == 0:
                source.append(line)
            elif line.startswith("   ....:"):
                source.append(line[9:])
            elif match := re.match(r"Out\[\d+\]: ?(.*)", line):
                out = match[1]
            elif out is not None:
                out += "\n" + line
            elif not line.startswith("#"):
                printed.append(line)
        yield "\n".join(source), out, "\n".join(printed)


def value(text):
    """A result as Python sees it, so that only values and shapes count, or its text."""
    try:
        return ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, AttributeError):
        return text and text.strip()


def squeezed(text):
    """The lines of a text without what the seeds leave out of tracebacks: places, rules, space."""
    lines = (" ".join(line.split()) for line in PLACES.sub("", text).splitlines())
    return [line for line in lines if line]


def test_the_transcripts_are_read_as_they_are_meant():
    transcript = "In [1]: def f():\n   ....:     return 1\n\nIn [2]: f()\nOut[2]: 1\n\nIn [3]: 1/0\nError"
    assert list(cells(transcript)) == [
        ("def f():\n    return 1", None, ""), ("f()", "1\n", ""), ("1/0", None, "Error")
    ]  # fmt: skip


def test_starting_and_creating_a_direct_view(replay):
    """CLU-27: nothing is logged into the cells."""
    replay("""
In [1]: import pxkernel as ipp
   ....: cluster = ipp.Cluster(n=4)
   ....: _ = cluster.start_cluster_sync()

In [2]: rc = cluster.connect_client_sync()

In [3]: rc.wait_for_engines(4); rc.ids
Out[3]: [0, 1, 2, 3]

In [4]: dview = rc[:] # use all engines
""")


def test_connecting_to_an_existing_cluster(replay):
    replay("""
In [1]: cluster2 = ipp.Cluster.from_file()
   ....: with cluster2.connect_client_sync() as rc2:
   ....:     ids = rc2.ids

In [2]: ids
Out[2]: [0, 1, 2, 3]
""")


def test_parallel_map(replay):
    """MAP-01"""
    replay("""
In [62]: serial_result = list(map(lambda x:x**10, range(32)))

In [63]: parallel_result = dview.map_sync(lambda x: x**10, range(32))

In [64]: serial_result == parallel_result
Out[64]: True
""")


def test_creating_a_view_and_the_three_ways_to_apply(replay):
    """VW-07"""
    # The seed shows the value of an assignment, and what <tab> offers.
    replay("""
In [4]: view = rc[1:3]; view
Out[4]: <DirectView [1, 2]>

In [5]: sorted(name for name in dir(view) if name.startswith("apply"))
Out[5]: ['apply', 'apply_async', 'apply_sync']
""")


def test_blocking_execution(replay):
    """VW-07, VW-08"""
    replay("""
In [2]: dview = rc[:] # A DirectView of all engines

In [3]: dview.block=True

In [4]: dview['a'] = 5

In [5]: dview['b'] = 10

In [6]: dview.apply(lambda x: a+b+x, 27)
Out[6]: [42, 42, 42, 42]

In [7]: dview.block = False

In [8]: dview.apply_sync(lambda x: a+b+x, 27)
Out[8]: [42, 42, 42, 42]
""")


def test_executing_strings_on_specific_engines(replay):
    """VW-11, DV-01"""
    # Nothing waits between the three: that is their order on each engine.
    replay("""
In [6]: _ = rc[::2].execute('c = a + b')
   ....: _ = rc[1::2].execute('c = a - b')
   ....: dview['c'] # shorthand for dview.pull('c', block=True)
Out[8]: [15, -5, 15, -5]
""")


def test_async_execution(replay, kernel):
    replay("""
In [6]: def wait(t):
   ....:     import time
   ....:     tic = time.time()
   ....:     time.sleep(t)
   ....:     return time.time()-tic

In [7]: ar = dview.apply_async(wait, .2)

In [8]: [.2 <= t < 5 for t in ar.get()]
Out[8]: [True, True, True, True]
""")


def test_polling_and_a_timeout(replay, kernel, tmp_path):
    # Instead of ten seconds the engines wait for a file.
    replay("""
In [9]: def wait_for(path):
   ....:     import os, time
   ....:     while not os.path.exists(path):
   ....:         time.sleep(.01)
   ....:     return path[-2:]

In [10]: ar = dview.apply_async(wait_for, "TMP/go")

In [11]: ar.ready()
Out[11]: False
""")
    began = time.monotonic()
    text = kernel.run("ar.get(.5)").error
    assert 0.5 <= time.monotonic() - began < 10
    assert "----> 1 ar.get(.5)" in text
    assert text.strip().splitlines()[-1] == "TimeoutError: Result not ready."
    (tmp_path / "go").touch()
    replay("""
In [12]: ar.get(20)
Out[12]: ['go', 'go', 'go', 'go']

In [13]: ar.ready()
Out[13]: True
""")


def test_waiting_for_a_collection(replay):
    """VW-13, AR-21"""
    replay("""
In [72]: dview.block = False

In [73]: ar_list = [dview.apply_async(wait, .03) for i in range(10)]

In [74]: _ = dview.wait(ar_list)

In [75]: [ar.ready() for ar in ar_list] == [True] * 10
Out[75]: True

In [76]: [.03 <= t < 5 for t in ar_list[0].get()]
Out[76]: [True, True, True, True]

In [77]: dview.wait(ar_list[0].msg_ids), dview.wait([0, -1])
Out[77]: (True, True)
""")


def test_the_block_and_targets_attributes(replay):
    replay("""
In [16]: dview.targets = [0, 2]

In [17]: dview.block = False

In [18]: ar = dview.apply(lambda : 10)

In [19]: ar.get()
Out[19]: [10, 10]

In [20]: dview.targets = rc.ids # all engines (4)

In [21]: dview.block = True

In [22]: dview.apply(lambda : 42)
Out[22]: [42, 42, 42, 42]
""")


def test_the_block_and_targets_keywords_hold_for_one_call(replay):
    replay("""
In [23]: ar = dview.pull('a', targets=[0, 2], block=False); type(ar).__name__, ar.get()
Out[23]: ('AsyncResult', [5, 5])

In [24]: dview.targets, dview.block
Out[24]: ([0, 1, 2, 3], True)
""")


def test_push_and_pull(replay):
    """DV-05, DV-06"""
    replay("""
In [38]: dview.push(dict(a=1.03234, b=3453))
Out[38]: [None, None, None, None]

In [39]: dview.pull('a')
Out[39]: [ 1.03234, 1.03234, 1.03234, 1.03234]

In [40]: dview.pull('b', targets=0)
Out[40]: 3453

In [41]: dview.pull(('a', 'b'))
Out[41]: [ [1.03234, 3453], [1.03234, 3453], [1.03234, 3453], [1.03234, 3453] ]

In [42]: dview.push(dict(c='speed'))
Out[42]: [None, None, None, None]

In [43]: dview['c']
Out[43]: ['speed', 'speed', 'speed', 'speed']
""")


def test_push_and_pull_without_blocking(replay):
    replay("""
In [48]: ar = dview.pull('a', block=False)

In [49]: ar.get()
Out[49]: [1.03234, 1.03234, 1.03234, 1.03234]

In [50]: ar = dview.push(dict(d=1), block=False)

In [51]: ar.get()
Out[51]: [None, None, None, None]
""")


def test_the_dictionary_interface(replay):
    """DV-07 to DV-09"""
    replay("""
In [51]: dview['a'] = ['foo', 'bar']

In [52]: dview['a']
Out[52]: [ ['foo', 'bar'], ['foo', 'bar'], ['foo', 'bar'], ['foo', 'bar'] ]

In [53]: dview.update(dict(e=1))
Out[53]: [None, None, None, None]

In [54]: dview.get('e')
Out[54]: [1, 1, 1, 1]
""")


def test_scatter_and_gather(replay):
    """DV-10 to DV-12, AR-12"""
    replay("""
In [58]: dview.scatter('a',range(16))
Out[58]: [None,None,None,None]

In [59]: dview['a']
Out[59]: [ [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15] ]
""")
    # The seed's view does not block any more, and IPython shows the result when it has come.
    replay("""
In [60]: ar = dview.gather('a', block=False); _ = ar.wait(); ar
Out[60]: <AsyncMapResult: gather:finished>

In [61]: dview.gather('a', block=False).get() # This will give you the result.
Out[61]: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
""")
    # Seed 000 prints [2], which no version of the library ever gave; seeds 001 to 003 show the blocking form.
    replay("""
In [62]: dview.gather('a', block=False)[3] # You can also direct call the result.
Out[62]: 3

In [63]: dview.gather('a')
Out[63]: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
""")


def test_the_recipe_for_parallel_list_comprehensions(replay):
    """MAP-10, MG-03"""
    replay("""
In [65]: %load_ext pxkernel
   ....: dview.activate()

In [66]: dview.scatter('x',range(64))
Out[66]: [None, None, None, None]

In [67]: %px y = [i**10 for i in x]
Parallel execution on engines: [0, 1, 2, 3]

In [68]: y = dview.gather('y')

In [69]: print(y[:9])
[0, 1, 1024, 59049, 1048576, 9765625, 60466176, 282475249, 1073741824]

In [70]: y == [i**10 for i in range(64)]
Out[70]: True
""")


def block(engine, name, line, message):
    return f"[{engine}:execute]:\n{name} Traceback (most recent call last)\n----> 1 {line}\n{name}: {message}\n"


DIVISION = ("ZeroDivisionError", "1/0", "division by zero")
FOUR_DIVISIONS = "".join(block(engine, *DIVISION) for engine in range(4))


def test_parallel_exceptions(replay):
    """DV-03, ERR-05"""
    replay(f"""
In [78]: dview.block = True

In [79]: dview.execute("1/0")
{FOUR_DIVISIONS}
""")


def test_a_traceback_of_an_engine_has_its_rule_and_its_columns(kernel):
    text = kernel.run('dview.execute("1/0", targets=[2])').error
    first, rule, header, *_ = text.splitlines()
    assert first == "[2:execute]:"
    assert rule == "-" * 75
    assert re.fullmatch(r"ZeroDivisionError +Traceback \(most recent call last\)", header)
    assert len(header) == 75


def test_raising_one_of_the_exceptions(replay):
    # The label says where it is from; the seed has none.
    replay(f"""
In [80]: try:
   ....:     dview.execute('1/0', block=True)
   ....: except ipp.CompositeError as e:
   ....:     e.raise_exception()
   ....:
{block(0, *DIVISION)}
""")


def test_inspecting_the_exception(replay):
    replay(f"""
In [81]: try:
   ....:     dview.execute('1/0')
   ....: except ipp.CompositeError as error:
   ....:     e = error

In [82]: e
Out[82]: CompositeError(4)

In [83]: [name for name in ("args elist ename engine_info evalue msg print_traceback raise_exception "
   ....:     "render_traceback traceback").split() if not hasattr(e, name)]
Out[83]: []

In [84]: e.print_traceback(1)
{block(1, *DIVISION)}
""")


def test_the_limit_of_shown_exceptions(replay):
    """MG-21"""
    rest = "... 3 more exceptions ..."
    replay(f"""
In [20]: ipp.CompositeError.tb_limit
Out[20]: 5

In [21]: ipp.CompositeError.tb_limit = 1

In [22]: %px x=z
Parallel execution on engines: [0, 1, 2, 3]
{block(0, "NameError", "x=z", "name 'z' is not defined")}
{rest}

In [83]: dview.block=False

In [84]: ar = dview.execute('1/0')

In [85]: ar.get()
{block(0, *DIVISION)}
{rest}
""")


def test_exceptions_among_the_results(replay):
    """AR-04"""
    replay("""
In [89]: ar = dview.apply_async(lambda: 1/0)

In [90]: ar.get(return_exceptions=True)
Out[90]:
[<Remote[0]:ZeroDivisionError(division by zero)>,
 <Remote[1]:ZeroDivisionError(division by zero)>,
 <Remote[2]:ZeroDivisionError(division by zero)>,
 <Remote[3]:ZeroDivisionError(division by zero)>]

In [91]: dview.map_sync(lambda x: 12 // x, [1, 0, 3], return_exceptions=True)
Out[91]: [12, <Remote[1]:ZeroDivisionError(integer division or modulo by zero)>, 4]
""")
