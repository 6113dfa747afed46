"""The content of Jupyter messages."""

from pxkernel.protocol.content import content_of


def test_json():
    assert content_of(b'{"text": "\xc3\xa4"}') == content_of(memoryview('{"text": "ä"}'.encode())) == {"text": "ä"}


def test_bytes_that_are_no_unicode():
    """ERR-05: jupyter_client sends what is no Unicode as the bytes that it stands for; nothing may end by it."""
    assert content_of('{"text": "x\udcff"}'.encode(errors="surrogateescape")) == {"text": "x\N{REPLACEMENT CHARACTER}"}
