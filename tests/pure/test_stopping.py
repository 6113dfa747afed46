"""What is said about engines that an interrupt has not stopped."""

from pxkernel.client.stopping import notice


def test_one_engine():
    text = notice([3])
    assert text.startswith("engine 3: no answer") and "rc.stacks([3])" in text


def test_several_engines():
    text = notice([1, 4])
    assert text.startswith("engines 1, 4: no answer") and "rc.stacks([1, 4])" in text
