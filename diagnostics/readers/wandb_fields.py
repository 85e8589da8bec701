"""Fields of many messages side by side: protocol buffers decoded by numpy.

Messages lie in one array of bytes, `PADDING` zeros behind the last. Each step decodes the next field of every message
that has one; a batch of thousands of rows takes as many steps as its longest row has fields.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Flags = NDArray[np.bool_]

PADDING = 256
_LONGEST = np.uint64(1 << 40)  # bytes, of a field; what says it is longer is longer than any message
_FIXED = np.array([0, 8, 0, 0, 0, 4, 0, 0])  # bytes, by wire type
_KNOWN = np.array([True, True, True, False, False, True, False, False])  # wire types


def varints(data: Bytes, at: Ints) -> tuple[Words, Ints]:
    """The numbers at `at` (n,), and where each ends; one that does not end is too large for anything."""
    byte, at = data[at], at + 1
    value = byte.astype(np.uint64)
    more = np.flatnonzero(byte > 127)
    if len(more):
        value[more] &= np.uint64(127)
        for shift in range(7, 70, 7):
            byte = data[at[more]]
            value[more] |= (byte & 127).astype(np.uint64) << np.uint64(shift)
            at[more] += 1
            more = more[byte > 127]
            if not len(more):
                return value, at
        value[more] = np.uint64((1 << 64) - 1)  # as a tag, this has a wire type that does not exist
    return value, at


def walk(
    data: Bytes, starts: Ints, ends: Ints, broken: Flags, *, most: int
) -> Iterator[tuple[Ints, Words, Ints, Ints]]:
    """Step by step the next field of each message: which message, the tag, and where what it holds starts and ends.

    Messages lie from `starts` (n,) to `ends` (n,). One that is malformed, or has fields left after `most` steps, is
    marked in `broken` (n,).
    """
    which = np.flatnonzero(starts < ends)
    at, end = starts[which], ends[which]
    for _ in range(most):
        if not len(which):
            return
        tag, begin = varints(data, at)
        size, start = varints(data, begin)
        wire = (tag & np.uint64(7)).astype(np.int64)
        stop = start + np.minimum(size, _LONGEST).astype(np.int64)
        fine = stop <= end
        if not (wire == 2).all():
            start = np.where(wire == 2, start, begin)
            stop = np.where(wire == 2, stop, np.where(wire == 0, varints(data, begin)[1], begin + _FIXED[wire]))
            fine = (stop <= end) & _KNOWN[wire]
        if not fine.all():
            broken[which[~fine]] = True
            which, tag, start, stop, end = which[fine], tag[fine], start[fine], stop[fine], end[fine]
        yield which, tag, start, stop
        more = stop < end
        which, at, end = which[more], stop[more], end[more]
    broken[which] = True


def gathered(data: Bytes, starts: Ints, stops: Ints, width: int) -> Bytes:
    """What lies from `starts` (n,) to `stops` (n,), at most `width` bytes each: (n, width), zeros behind its end."""
    found = sliding_window_view(data, width)[starts]
    inside = np.arange(width) < (stops - starts)[:, None]
    found *= inside.view(np.uint8)
    return found
