"""The framing of TensorBoard's files: checksums, records in chunks of any size, and what is damaged."""

import random
import struct
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.readers.tfrecord import LONGEST, Records, begins, checksums


def crc32c(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return length + struct.pack("<I", masked(length)) + payload + struct.pack("<I", masked(payload))


def read(*chunks: bytes) -> tuple[list[bytes], dict[str, int]]:
    """The payloads in the chunks, and what was lost."""
    lost: Counter[str] = Counter()
    records, found = Records(lost), []
    for chunk in chunks:
        raw, starts, ends = records.feed(chunk)
        found += [raw[a:b] for a, b in zip(starts, ends, strict=True)]
    records.finish()
    return found, dict(lost)


PAYLOADS = [bytes([i]) * n for i, n in enumerate((1, 2, 13, 40, 255, 256, 257, 300, 512, 1000, 40, 41), 1)]
RECORDS = [record(payload) for payload in PAYLOADS]
WHOLE = b"".join(RECORDS)


def test_the_checksum_is_the_published_one():
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720 and every list of check values
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    data = np.frombuffer(b"x123456789" + bytes(32), np.uint8)
    assert checksums(data, np.array([1, 10]), np.array([10, 42])).tolist() == [masked(b"123456789"), masked(bytes(32))]


def test_checksums_of_any_lengths_together():
    rng = random.Random(0)
    raw = rng.randbytes(3000)
    lengths = [0, 1, 3, 4, 5, 255, 256, 257, 511, 512, 513, 1024, 1025, *(rng.randrange(1500) for _ in range(50))]
    starts = [rng.randrange(len(raw) - length) for length in lengths]
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    found = checksums(np.frombuffer(raw, np.uint8), np.array(starts), np.array(ends))
    assert found.tolist() == [masked(raw[a:b]) for a, b in zip(starts, ends, strict=True)]


def test_all_records_of_a_sound_file():
    assert read(WHOLE) == (PAYLOADS, {})


def test_a_torn_tail_means_not_yet_and_is_lost_only_at_the_end():
    assert read(WHOLE[:-3], WHOLE[-3:]) == (PAYLOADS, {})
    torn = len(RECORDS[-1]) - 3
    assert read(WHOLE[:-3]) == (PAYLOADS[:-1], {"bytes of a record that was cut off": torn})


def test_a_flipped_byte_of_a_payload_loses_that_record():
    place = len(RECORDS[0]) + 12
    damaged = bytearray(WHOLE)
    damaged[place] ^= 1
    assert read(bytes(damaged)) == ([PAYLOADS[0], *PAYLOADS[2:]], {"records with a wrong checksum": 1})


@pytest.mark.parametrize("byte", range(12))
def test_a_flipped_byte_of_a_header_loses_that_record(byte):
    place = len(RECORDS[0]) + len(RECORDS[1]) + byte
    damaged = bytearray(WHOLE)
    damaged[place] ^= 64
    kept = [PAYLOADS[0], PAYLOADS[1], *PAYLOADS[3:]]
    assert read(bytes(damaged)) == (kept, {"bytes that belong to no record": len(RECORDS[2])})


def test_zeros_and_strange_bytes_between_records_are_passed_over():
    middle = b"".join(RECORDS[:5]) + bytes(5000) + b"strange" * 3 + b"".join(RECORDS[5:])
    assert read(middle) == (PAYLOADS, {"bytes that belong to no record": 5021})


def test_bytes_that_were_cut_out_lose_what_they_were_in():
    place = sum(map(len, RECORDS[:7])) + 20  # in the payload of the eighth
    found, lost = read(WHOLE[:place] + WHOLE[place + 30 :])
    assert found[:7] == PAYLOADS[:7] and found[-2:] == PAYLOADS[-2:] and lost


def test_a_length_that_no_record_has_is_not_waited_for():
    length = struct.pack("<Q", LONGEST + 1)
    giant = length + struct.pack("<I", masked(length))
    assert read(giant + WHOLE) == (PAYLOADS, {"bytes that belong to no record": len(giant)})


def test_a_record_without_a_payload_is_none():
    assert read(record(b"") + WHOLE) == (PAYLOADS, {"bytes that belong to no record": 16})


def test_what_begins_as_records_do():
    assert begins(WHOLE) and begins(WHOLE[:12])
    assert not begins(WHOLE[:11]) and not begins(WHOLE[1:]) and not begins(bytes(64)) and not begins(b"")


@given(data=st.data())
def test_what_is_found_does_not_depend_on_the_chunks(data):
    damaged = bytearray(WHOLE)
    for place in data.draw(st.lists(st.integers(0, len(WHOLE) - 1), max_size=4)):
        damaged[place] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        begin = data.draw(st.integers(0, len(WHOLE)))
        damaged[begin : begin + data.draw(st.integers(0, 600))] = bytes(data.draw(st.integers(0, 600)))
    raw = bytes(damaged)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    chunks = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    found = read(*chunks)
    assert found == read(raw)
    assert set(found[0]) <= set(PAYLOADS)


def test_many_damaged_places_take_no_longer_than_a_few():
    small = [record(bytes([i % 256]) * 4) for i in range(20_000)]
    for i in range(0, len(small), 2):
        small[i] = b"\xff" + small[i][1:]  # a length that is wrong, where a walk that goes on finds nothing
        small[i - 1] = small[i - 1][:9] + b"\0" + small[i - 1][10:]
    found, lost = read(b"".join(small))
    assert len(found) < 100 and lost
