"""What is in TensorBoard's records: numbers with a tag and a step, and the few texts that hold settings.

A record is an `Event` of protobuf. Those that hold only numbers, as nearly all do, are taken apart all at once, field
by field in the order in which every known writer puts them; what is not exactly so goes through a plain decoder.
https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagnostics.readers.protobuf import FIXED32, LENGTH, VARINT, Malformed, fields
from diagnostics.readers.tfrecord import Bytes, Places
from diagnostics.readers.tfsettings import hparams_in, settings_in
from diagnostics.readers.tftensor import element

Mask = NDArray[np.bool_]

_MOST_VALUES = 256  # of one event that are taken apart together with those of other events
_KINDS = {3: "histograms", 4: "images", 5: "histograms", 6: "audio clips"}  # fields of a value that hold no number
# What stands between a tag and its number: `simple_value`, or a tensor with a type, perhaps an empty shape, and the
# number in its content or its list, as torch and TF 2 write it. Behind it the plugin may be told; TF 2 does each time.
_FORMS = (
    (b"\x15", "<f4"),
    (b"\x42\x0a\x08\x01\x12\x00\x22\x04", "<f4"),
    (b"\x42\x0a\x08\x01\x12\x00\x2a\x04", "<f4"),
    (b"\x42\x08\x08\x01\x2a\x04", "<f4"),
    (b"\x42\x0e\x08\x02\x12\x00\x22\x08", "<f8"),
    (b"\x42\x0c\x08\x02\x32\x08", "<f8"),
)
_PLUGIN = b"\x4a\x0b\x0a\x09\x0a\x07scalars"


@dataclass(frozen=True, slots=True)
class Scalars:
    """Numbers (n,) in the order of their log, the index (n,) of the tag of each, and its step (n,)."""

    steps: NDArray[np.int64]
    tags: NDArray[np.int64]
    values: NDArray[np.float64]


class Decoder:
    """Takes records apart and remembers what holds for all of a run: its tags, settings, and what is no number."""

    def __init__(self, lost: Counter[str], settings: dict[str, Any]) -> None:
        self.lost = lost
        self.settings = settings
        self.others: Counter[str] = Counter()
        self.names: list[str] = []
        self._tags: defaultdict[bytes, int] = defaultdict()
        self._tags.default_factory = self._tags.__len__
        self._plugins: dict[bytes, str] = {}  # a tag's plugin is told with its first value only

    def decode(self, raw: bytes, starts: Places, ends: Places) -> Scalars:
        """The numbers in the events of `raw` from `starts` (n,) to `ends` (n,)."""
        data = np.frombuffer(raw, np.uint8)
        plain, steps, values, values_end, events = _take_apart(data, starts, ends)
        known, tags, tags_end, numbers = _scalars(data, values, values_end)
        known &= plain[events]
        order = events[known]
        batches = [self._of(raw, tags[known], tags_end[known])]
        found = [numbers[known]]
        odd: list[tuple[int, int, int, float]] = []
        for i in np.flatnonzero(~known & plain[events]):
            self._value(raw, int(values[i]), int(values_end[i]), int(events[i]), int(steps[events[i]]), odd)
        for event in np.flatnonzero(~plain):
            try:
                self._event(raw, int(starts[event]), int(ends[event]), int(event), odd)
            except Malformed:
                self.lost["records that are no event"] += 1
        if odd:
            events_odd, steps_odd, tags_odd, numbers_odd = zip(*odd, strict=True)
            order = np.concatenate([order, np.array(events_odd, np.int64)])
            batches.append(np.array(tags_odd, np.int64))
            found.append(np.array(numbers_odd))
            steps = steps.copy()
            steps[np.array(events_odd)] = steps_odd
        by_event = np.argsort(order, kind="stable")
        known_tags, known_values = np.concatenate(batches)[by_event], np.concatenate(found)[by_event]
        self.names += [tag.decode("utf-8", "replace") for tag in list(self._tags)[len(self.names) :]]
        return Scalars(steps[order[by_event]], known_tags, known_values)

    def _of(self, raw: bytes, starts: Places, ends: Places) -> NDArray[np.int64]:
        tags = self._tags
        found = (tags[raw[a:b]] for a, b in zip(starts.tolist(), ends.tolist(), strict=True))
        return np.fromiter(found, np.int64, len(starts))

    def _event(self, raw: bytes, start: int, end: int, event: int, odd: list[tuple[int, int, int, float]]) -> None:
        step, summaries = 0, []
        for field, wire, value in fields(raw, start, end):
            if (field, wire) == (2, VARINT):
                step = value - (value >> 63 << 64)
            elif (field, wire) == (5, LENGTH):
                summaries.append(value)
            elif field in (4, 9):
                self.others["graphs"] += 1
        for summary in summaries:
            for field, wire, value in fields(raw, *summary):
                if (field, wire) == (1, LENGTH):
                    self._value(raw, value[0], value[1], event, step, odd)

    def _value(
        self, raw: bytes, start: int, end: int, event: int, step: int, odd: list[tuple[int, int, int, float]]
    ) -> None:
        try:
            tag, number = self._number(raw, start, end)
        except Malformed:
            self.lost["values that cannot be read"] += 1
            return
        if number is not None:
            odd.append((event, step, self._tags[tag], number))

    def _number(self, raw: bytes, start: int, end: int) -> tuple[bytes, float | None]:
        """The tag of a value, and its number, None where it is none; then it is counted, or understood as settings."""
        tag, number, kind, tensor = b"", None, "", None
        for field, wire, value in fields(raw, start, end):
            if (field, wire) == (1, LENGTH):
                tag = raw[slice(*value)]
            elif (field, wire) == (2, FIXED32):
                number = struct.unpack_from("<f", raw, value)[0]
            elif (field, wire) == (8, LENGTH):
                tensor = value
            elif (field, wire) == (9, LENGTH):
                self._plugins[tag] = self._plugin(raw, *value)
            elif field in _KINDS:
                kind = _KINDS[field]
        plugin = self._plugins.get(tag, "")
        if tensor is not None and number is None:
            read = element(raw, *tensor)
            if isinstance(read, bytes) and plugin in ("text", ""):
                kind = "" if settings_in(tag, read, self.settings) else "texts"
            elif isinstance(read, float):
                number = read
            elif plugin != "hparams":
                kind = plugin or "tensors"
        if number is None and kind:
            self.others[kind] += 1
        return tag, number

    def _plugin(self, raw: bytes, start: int, end: int) -> str:
        """The plugin that a SummaryMetadata names; the one for hyperparameters holds them there."""
        name, content = "", b""
        for field, wire, value in fields(raw, start, end):
            if (field, wire) == (1, LENGTH):
                for inner, inner_wire, part in fields(raw, *value):
                    if (inner, inner_wire) == (1, LENGTH):
                        name = raw[slice(*part)].decode("utf-8", "replace")
                    elif (inner, inner_wire) == (2, LENGTH):
                        content = raw[slice(*part)]
        if name == "hparams":
            self.settings.update(hparams_in(content))
        return name


def _take_apart(data: Bytes, starts: Places, ends: Places) -> tuple[Mask, NDArray[np.int64], Places, Places, Places]:
    """Which of the events (n,) hold a summary and nothing else, in the usual order; the steps (n,) of those.

    Then, for each value (m,) in them, where it begins and ends and which event it is of, in no order across events.
    """
    plain = data.take(starts, mode="clip") == 0x09  # the wall time, 8 bytes
    place = starts + 9
    stepped = data.take(place, mode="clip") == 0x10
    steps, after = _varints(data, place + 1)
    steps, place = np.where(stepped, steps, 0), np.where(stepped, after, place)
    plain &= data.take(place, mode="clip") == 0x2A
    lengths, place = _varints(data, place + 1)
    plain &= (lengths >= 0) & (place + lengths == ends)
    events = np.flatnonzero(plain)
    found = []
    for _ in range(_MOST_VALUES):
        if not len(events):
            break
        here = place[events]
        lengths, values = _varints(data, here + 1)
        good = data.take(here, mode="clip") == 0x0A
        good &= (lengths >= 0) & (lengths <= ends[events] - values)
        plain[events[~good]] = False
        events, values, lengths = events[good], values[good], lengths[good]
        place[events] = values + lengths
        found.append((values, values + lengths, events))
        events = events[place[events] < ends[events]]
    plain[events] = False
    if not found:
        none = np.empty(0, np.int64)
        return plain, steps, none, none, none
    values, values_end, of = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return plain, steps, values, values_end, of


def _scalars(data: Bytes, starts: Places, ends: Places) -> tuple[Mask, Places, Places, NDArray[np.float64]]:
    """Which of the values (m,) are a tag and one number of `_FORMS`; where their tags begin and end; the numbers."""
    known = data.take(starts, mode="clip") == 0x0A
    lengths, tags = _varints(data, starts + 1)
    known &= (lengths >= 0) & (lengths <= ends - tags)
    tags_end = np.where(known, tags + lengths, tags)
    rest = np.where(known, ends - tags_end, 0)
    told = np.flatnonzero(rest > len(_PLUGIN))
    told = told[_match(data, ends[told] - len(_PLUGIN), _PLUGIN)]
    rest[told] -= len(_PLUGIN)
    known, numbers = np.zeros(len(starts), np.bool_), np.zeros(len(starts))
    for before, form in _FORMS:
        width = np.dtype(form).itemsize
        of_form = np.flatnonzero(rest == len(before) + width)
        of_form = of_form[_match(data, tags_end[of_form], before)]
        if len(of_form):
            at = tags_end[of_form, None] + np.arange(len(before), len(before) + width)
            with np.errstate(invalid="ignore"):  # of some NaN
                known[of_form], numbers[of_form] = True, data[at].view(form)[:, 0]
    return known, tags, tags_end, numbers


def _match(data: Bytes, places: Places, expected: bytes) -> Mask:
    """Whether `expected` stands at `places` (n,)."""
    matches = np.ones(len(places), np.bool_)
    for i, byte in enumerate(expected):
        matches &= data.take(places + i, mode="clip") == byte
    return matches


def _varints(data: Bytes, places: Places) -> tuple[NDArray[np.int64], Places]:
    """The varints (n,) that begin at `places` (n,), and where they end; -1 where they are longer than ten bytes."""
    byte = data.take(places, mode="clip").astype(np.int64)
    found, after, going = byte & 127, places + 1, np.flatnonzero(byte > 127)
    for shift in range(7, 70, 7):
        if not len(going):
            return found, after
        byte = data.take(places[going] + shift // 7, mode="clip").astype(np.int64)
        found[going] |= (byte & 127) << shift
        after[going] += 1
        going = going[byte > 127]
    found[going] = -1
    return found, after
