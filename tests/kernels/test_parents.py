def test_probe(view, notebook, wait_for, processes):
    f = notebook("def f(x):\n    return x + a\n")["f"]
    view["a"] = 5
    print(view.apply_sync(f, 1))
    print(view.apply_sync(lambda x: x + 1, 1))
    print(view.map_sync(lambda x: x + 1, range(5)))
    print([(p.pid, p.cmdline()[:4]) for p in processes()])
