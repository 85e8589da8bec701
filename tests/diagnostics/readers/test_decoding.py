"""Text in any encoding, whole and while it grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.readers.decoding import Decoding, TextTail, decoded

TEXT = "step=1 | reward ± 0.5 | 名前 😀\r\nloss"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_text_is_what_was_written(tmp_path, encoding):
    path = tmp_path / "log"
    path.write_bytes(TEXT.encode(encoding))
    tail = TextTail(path)
    assert tail.read() + tail.rest() == TEXT
    assert tail.undecoded == 0
    assert tail.encoding in encoding.replace("-sig", "") or encoding == "utf-16"
    assert decoded(TEXT.encode(encoding)) == TEXT


@given(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.lists(st.integers(1, 9), min_size=1))
def test_characters_may_come_in_parts(encoding, sizes):
    raw, decoding, text = TEXT.encode(encoding), Decoding(), ""
    at = 0
    while at < len(raw):
        size = sizes[at % len(sizes)]
        text += decoding.decode(raw[at : at + size])
        at += size
    assert text + decoding.decode(b"", ended=True) == TEXT


def test_what_is_no_text_is_replaced_and_counted(tmp_path):
    path = tmp_path / "log"
    path.write_bytes("reward: 0.5 °C\ufffd\n".encode("latin-1", "replace") + "\ufffd".encode() + b"\xf0\x9f")
    tail = TextTail(path)
    assert tail.read() + tail.rest() == "reward: 0.5 \ufffdC?\n\ufffd\ufffd"
    assert tail.undecoded == 2  # one character was replaced by its writer


def test_a_file_that_is_begun_anew_is_read_from_its_beginning(tmp_path):
    path = tmp_path / "log"
    path.write_text("first and longer")
    tail = TextTail(path)
    assert tail.read() == "first and longer"
    assert tail.read() == ""
    path.write_text("second one")
    assert tail.read() == "second one"
    (tmp_path / "other").write_text("third, longer than both of them")
    (tmp_path / "other").replace(path)
    assert tail.read() == "third, longer than both of them"
    assert (tail.begun, tail.position) == (2, 31)
