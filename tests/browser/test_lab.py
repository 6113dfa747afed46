"""What a person sees in JupyterLab, and what the buttons do (issue 4; features MG, JUP)."""

import re

import psutil
from playwright.sync_api import expect

STOP, RESTART, RUN_ALL = "notebook:interrupt-kernel", "notebook:restart-kernel", "notebook:restart-run-all"


#: What Lab shows in red: tracebacks, and stderr.
RED = '[data-mime-type="application/vnd.jupyter.stderr"]'


def lines(output):
    return [line for line in output.inner_text().splitlines() if line.strip()]


def test_the_quickstart_runs_from_top_to_bottom(lab, shoot):
    nb = lab("01-quickstart.ipynb")
    nb.command("notebook:run-all-cells")
    numbers = [n for n in range(nb.cells.count()) if "jp-CodeCell" in nb.cell(n).get_attribute("class")]
    for number in numbers:
        nb.wait(number)
    failed = [n for n in numbers if nb.output(n).locator(RED).count()]
    assert [nb.cell(n).locator(".cm-content").inner_text().split("\n")[-1] for n in failed] == ["%px 1 / engine", "ar.get()"]
    pictures = [n for n in numbers if nb.output(n).locator("img").count()]
    assert len(pictures) == 2
    assert "[output:0]" in nb.output(pictures[1]).inner_text()
    shoot(nb, pictures[1], failed[0], "quickstart")


def test_plots_stand_below_the_name_of_their_engine(nb, shoot):
    """MG-26, JUP-03"""
    first = nb.run("%px engine ** 2")
    assert lines(nb.output(first)) == [
        "Parallel execution on engines: [0, 1, 2, 3]", *(f"Out[{engine}:2]: {engine**2}" for engine in range(4))
    ]  # fmt: skip
    number = nb.run(
        "%%px --targets 0,3\n"
        'plt.figure(figsize=(5, 1), layout="constrained")\nplt.plot(np.random.default_rng(engine).normal(size=400).cumsum())\n'
        "plt.show()"
    )
    output = nb.output(number)
    expect(output.locator("img")).to_have_count(2)
    assert sorted(lines(output)) == ["[output:0]", "[output:3]"]
    shoot(nb, first, number, "plots")


def test_an_error_of_engines(nb, shoot):
    """MG-21, ERR-08: each engine's own lines, none of ours, in colours and without escape sequences."""
    number = nb.run("dv.map(lambda x: 10 / (x % 3), range(6))")
    error = nb.output(number).locator(RED)
    expect(error).to_have_count(1)
    text = error.inner_text()
    assert text.count("ZeroDivisionError: division by zero") == 2
    assert re.findall(r"\[\d:\w+\]:", text) == ["[0:apply]:", "[1:apply]:"]
    assert "\x1b" not in text and "pxkernel" not in text
    assert error.locator("span[class*=ansi]").count() > 0
    # Below the two cells of the test before.
    shoot(nb, number - 2, number, "session")


def test_the_stop_button_stops_the_engines(nb, shoot):
    """MG-13, VW-12: and shows no line of ours; the engines keep what they have."""
    first = nb.add("%px while True: pass")
    nb.start(first)
    bar = nb.output(first).get_by_text("| 0/4 [")
    expect(bar).to_be_visible()
    nb.press(STOP)
    nb.wait(first)
    shown = nb.output(first).inner_text()
    assert "Received Keyboard Interrupt. Sending signal SIGINT to engines..." in shown
    assert "KeyboardInterrupt" in lines(nb.output(first))[-1]
    assert ".py" not in shown and "stopped" in shown
    second = nb.add("dv.apply_sync(time.sleep, 1000)")
    nb.start(second)
    nb.until_busy()
    nb.press(STOP)
    nb.wait(second)
    assert "----> 1 dv.apply_sync(time.sleep, 1000)" in nb.output(second).inner_text()
    assert ".py" not in nb.output(second).inner_text()
    after = nb.run("%px --no-verbose engine")
    assert [line.split(": ")[1] for line in lines(nb.output(after))] == list("0123")
    shoot(nb, first, after, "interrupt")


def test_a_progress_bar_is_one_line_that_ends_at_100_percent(nb, shoot):
    """MG-11, JUP-10"""
    number = nb.run(
        "lview = rc.load_balanced_view()\nar = lview.map_async(lambda x: time.sleep(x / 40), range(24), chunksize=1)\n"
        "ar.wait_interactive(); ar"
    )
    shown = lines(nb.output(number))
    assert re.match(r"<lambda>: 100%\|█+\| 24/24 \[", shown[0]) and sum("%|" in line for line in shown) == 1
    picture = nb.output(number).locator("svg")
    expect(picture.locator("rect")).to_have_count(24)
    assert [text for text in picture.locator("text").all_text_contents() if "engine" in text] == [
        f"engine {engine}" for engine in range(4)
    ]
    tasks = nb.run("%%px\nimport time\nfrom tqdm import tqdm\nfor i in tqdm(range(20)):\n    time.sleep(.02)")
    assert len(lines(nb.output(tasks))) == 4, "one line for each engine"
    assert all(re.match(r"\[stderr:\d\] 100%\|█+\| 20/20", line) for line in lines(nb.output(tasks)))
    shoot(nb, number, tasks, "progress")


def test_objects_show_what_they_are(nb, shoot):
    """Issue 4, point 6: tables that fit the page."""
    first = nb.run("cluster")
    for source in ("rc", "dv", "rc[1]", "lview", "rc.top()"):
        nb.run(source)
    last = nb.run("ar.metadata[0]")
    width = nb.cell(first).bounding_box()["width"]
    for number in range(first, last + 1):
        table = nb.output(number).locator("table")
        expect(table).to_have_count(1)
        assert table.bounding_box()["width"] < width
        if number < last:
            rows = 1 if number == first + 3 else 4
            expect(table.locator("tbody tr")).to_have_count(rows)
            assert table.locator("th").all_inner_texts()[:4] == ["engine", "state", "host", "pid"]
    shoot(nb, first, last, "objects")


def test_engines_ask_for_input(nb, shoot):
    """MG-28"""
    number = nb.add("%px --targets 0,1 name = input('Your name? '); name")
    nb.start(number)
    names = {}
    for asked in range(2):
        prompt = nb.output(number).locator(".jp-Stdin-prompt").nth(asked)
        expect(prompt).to_have_text(re.compile(r"\[input:[01]\] Your name\? "))
        engine = int(prompt.inner_text()[7])
        names[engine] = ("Ada", "Grace")[engine]
        box = nb.output(number).locator("input.jp-Stdin-input")
        # That of an earlier answer is going.
        expect(box).to_have_count(1)
        if asked:
            shoot(nb, number, number, "input")
        box.fill(names[engine])
        box.press("Enter")
    nb.wait(number)
    assert re.search(r"Out\[0:\d+\]: 'Ada'\n+Out\[1:\d+\]: 'Grace'", nb.output(number).inner_text())


def test_a_slider_of_an_engine(nb, shoot):
    """JUP-04: moved here, read there; and moved there, seen here."""
    number = nb.run(
        "%%px\nfrom ipywidgets import IntSlider\n"
        "slider = IntSlider(value=engine, max=10, description=f'engine {engine}')\nslider"
    )
    handles = nb.output(number).locator(".noUi-handle")
    expect(handles).to_have_count(4)
    handles.nth(2).press("ArrowRight")
    expect(nb.output(number).locator(".widget-readout").nth(2)).to_have_text("3")
    nb.until(lambda: [3] == _values(nb.output(nb.run("%px -t 2 --no-verbose slider.value"))), what="the engine knows")
    nb.run("%px -t 0 slider.value = 9")
    expect(nb.output(number).locator(".widget-readout").first).to_have_text("9")
    shoot(nb, number, number, "sliders")


def _values(output):
    return [int(line.split(": ")[1]) for line in lines(output)]


def test_tab_completes_with_the_names_of_the_engine(nb):
    nb.run("%px only_on_engines_1 = only_on_engines_2 = 0")
    number = nb.add("%%px\nonly_on")
    nb.cell(number).locator(".cm-line").last.click()
    nb.page.keyboard.press("End")
    nb.page.keyboard.type("_")
    items = nb.page.locator(".jp-Completer-item")

    def offered():
        # A Tab whose answer takes longer than a second is given up by the front end; people press it again.
        nb.page.keyboard.press("Tab")
        nb.page.wait_for_timeout(1000)
        return items.count()

    nb.until(offered, what="names are offered")
    assert items.locator(".jp-Completer-match").all_inner_texts() == ["only_on_engines_1", "only_on_engines_2"]
    nb.page.keyboard.press("Enter")
    expect(nb.cell(number).locator(".cm-content")).to_contain_text("only_on_engines_1")


def test_output_of_a_cell_that_nobody_waits_for_stays_in_it(nb, shoot):
    """MG-05"""
    first = nb.run("%%px --noblock -t 0,1\nfor i in range(3):\n    time.sleep(.2)\n    print('step', i)")
    second = nb.run("'something else'")
    expect(nb.output(first)).to_contain_text(re.compile(r"(\[stdout:0\].*step 2.*\[stdout:1\])|(1\].*0\].*step 2)", re.S))
    assert "step" not in nb.output(second).inner_text()
    shoot(nb, first, second, "later")


def test_a_restart_of_the_kernel_ends_its_engines_and_autopx(lab):
    """Design 14, MG-16: and everything can be run once more."""
    nb = lab("restart.ipynb")
    start = nb.run(
        "import os\nimport pxkernel as px\nrc = px.Cluster(n=2).start_and_connect_sync(activate=True)\n"
        "rc[:].apply_sync(os.getpid)"
    )
    engines = [int(pid) for pid in re.findall(r"\d+", lines(nb.output(start))[-1])]
    assert all(map(psutil.pid_exists, engines)) and len(engines) == 2
    nb.run("%autopx")
    there = nb.run("print('here')")
    assert sorted(lines(nb.output(there))[1:]) == ["[stdout:0] here", "[stdout:1] here"]
    nb.press(RESTART)
    nb.page.locator(".jp-Dialog .jp-mod-accept").click()
    nb.until(lambda: not any(map(psutil.pid_exists, engines)), what="the engines are gone")
    nb.until_idle()
    nb.start(there)
    expect(nb.output(there)).to_have_text("here")
    nb.press(RUN_ALL)
    nb.page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(nb.output(there)).to_contain_text("[stdout:1] here")
