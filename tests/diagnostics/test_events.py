import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from diagnostics.events import (
    MOST_STEPS,
    CheckpointSaved,
    Envelope,
    EventLog,
    FindingRaised,
    KnobChanged,
    MetricsLogged,
    Outcome,
    RunEnded,
    RunStarted,
    SamplesLogged,
    Tail,
    decode,
    encode,
)
from diagnostics.finding import (
    Add,
    Confidence,
    Direction,
    Evidence,
    Finding,
    Hypothesis,
    Prescription,
    Safety,
    Scale,
    Set,
    Severity,
)

steps = st.integers(0, MOST_STEPS - 1)
numbers = st.floats()
finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(min_size=1, max_size=12)
not_a_number_word = st.text(max_size=12).filter(lambda text: text not in ("NaN", "Infinity", "-Infinity"))
values = st.one_of(numbers, st.integers(), st.booleans(), st.none(), not_a_number_word)
metrics = st.dictionaries(names, numbers, max_size=5)
changes = st.one_of(st.builds(Scale, finite), st.builds(Set, finite), st.builds(Add, finite))
prescriptions = st.builds(
    Prescription,
    names,
    changes,
    st.builds(Hypothesis, names, st.sampled_from(Direction), finite, finite, st.text()),
    st.sampled_from(Safety),
)
findings = st.builds(
    Finding,
    names,
    names,
    st.sampled_from(Severity),
    st.sampled_from(Confidence),
    steps,
    steps,
    steps,
    st.text(),
    st.lists(st.builds(Evidence, names, steps, steps, st.text(), finite, finite), max_size=2).map(tuple),
    st.lists(prescriptions, max_size=2).map(tuple),
)
samples = st.fixed_dictionaries({"prompt": st.text(), "completion": st.text(), "reward": numbers})
settings = st.dictionaries(names, values, max_size=4)
events = st.one_of(
    st.builds(
        RunStarted,
        steps,
        names,
        names,
        settings,
        settings,
        st.none() | st.tuples(numbers, numbers),
        st.lists(st.text(), max_size=2).map(tuple),
    ),
    st.builds(MetricsLogged, steps, metrics, metrics),
    st.builds(SamplesLogged, steps, st.lists(samples, max_size=3).map(tuple)),
    st.builds(CheckpointSaved, steps, st.text()),
    st.builds(FindingRaised, steps, findings),
    st.builds(KnobChanged, steps, names, numbers, numbers),
    st.builds(RunEnded, steps, st.sampled_from(Outcome), st.text()),
)


def same(a: object, b: object) -> bool:
    """Equality under which NaN is itself; `repr` writes every float in full and tells 1 from 1.0 and True."""
    return repr(a) == repr(b)


@given(events)
@example(MetricsLogged(3, {"a": math.nan, "b": math.inf, "c": -math.inf}, {"d": math.nan}))
@example(SamplesLogged(3, ({"prompt": "NaN", "completion": "Infinity", "reward": math.nan},)))
@example(KnobChanged(3, "learning_rate", math.nan, math.inf))
@example(RunStarted(0, "trl-grpo", "1.16.0", {"kl_coef": math.inf}, reward_bounds=(-math.inf, 1.0)))
def test_every_event_survives_the_round_trip(event):
    line = encode(Envelope(7, 1234.567, 2, event))
    assert "\n" not in line
    back = decode(line)
    assert (back.seq, back.time, back.attempt) == (7, 1234.567, 2)
    assert same(back.event, event)
    assert same(decode(line.encode()), back)


def test_a_line_is_plain_json_for_other_programs():
    line = encode(Envelope(0, 1.5, 1, MetricsLogged(4, {"grad_norm": math.nan, "reward_mean": 0.5})))
    assert line == (
        '{"v": 1, "type": "metrics_logged", "seq": 0, "time": 1.5, "attempt": 1, "step": 4, '
        '"metrics": {"grad_norm": "NaN", "reward_mean": 0.5}, "unmapped": {}}'
    )


HEAD = '"seq": 0, "time": 1, "attempt": 1'


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "Expecting value"),
        ("garbage", "Expecting value"),
        ("[1]", "not an event"),
        ("null", "not an event"),
        (f'{{"v": 2, "type": "run_ended", {HEAD}, "step": 1}}', "event version 2, this autotune reads version 1"),
        (f'{{"v": 1, "type": "coffee", {HEAD}, "step": 1}}', "unknown event type 'coffee'"),
        (f'{{"v": 1, "type": "metrics_logged", {HEAD}, "step": 1}}', "not an event: KeyError"),
        (f'{{"v": 1, "type": "metrics_logged", {HEAD}, "step": 1, "metrics": 3}}', "not an event"),
        (f'{{"v": 1, "type": "metrics_logged", {HEAD}, "step": 1, "metrics": {{"a": "b"}}}}', "not an event"),
        (f'{{"v": 1, "type": "metrics_logged", {HEAD}, "step": -1, "metrics": {{}}}}', "step -1 is out of range"),
        (f'{{"v": 1, "type": "metrics_logged", {HEAD}, "step": 1e300, "metrics": {{}}}}', "out of range"),
        (f'{{"v": 1, "type": "metrics_logged", {HEAD}, "step": 1e999, "metrics": {{}}}}', "OverflowError"),
        (f'{{"v": 1, "type": "run_ended", {HEAD}, "step": 1, "outcome": "sunk"}}', "'sunk' is not a valid Outcome"),
        ("[" * 100_000, "RecursionError"),
    ],
)
def test_what_is_no_event_is_a_value_error_that_says_why(line, why):
    with pytest.raises(ValueError, match=why):
        decode(line)


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_garbage_raises_nothing_but_value_error(line):
    with pytest.raises(ValueError):
        decode(line)


def read_all(path: Path) -> list[Envelope]:
    tail = Tail(path)
    found = list(tail.poll())
    tail.close()
    return found


def test_a_log_counts_its_lines_and_stamps_them(tmp_path):
    log = EventLog(tmp_path / "events.jsonl", attempt=3, clock=lambda: 5.0)
    log.emit(MetricsLogged(0, {"a": 1.0}))
    log.emit(RunEnded(0, Outcome.FINISHED))
    log.close()
    assert [(e.seq, e.time, e.attempt) for e in read_all(tmp_path / "events.jsonl")] == [(0, 5.0, 3), (1, 5.0, 3)]


def test_each_event_can_be_read_before_the_next_is_written(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    for step in range(5):
        log.emit(MetricsLogged(step, {"a": 1.0}))
        assert [e.event.step for e in read_all(path)] == list(range(step + 1))
    log.close()


def test_a_log_goes_on_after_a_kill_in_mid_line(tmp_path):
    path = tmp_path / "events.jsonl"
    first = EventLog(path)
    first.emit(MetricsLogged(0, {"a": 1.0}))
    first.close()
    with path.open("a") as file:
        file.write('{"v": 1, "type": "metr')
    second = EventLog(path, attempt=2)
    second.emit(MetricsLogged(0, {"a": 2.0}))
    second.close()
    tail = Tail(path)
    assert [(e.seq, e.attempt, e.event.metrics["a"]) for e in tail.poll()] == [(0, 1, 1.0), (2, 2, 2.0)]
    assert tail.unreadable == 1
    assert not tail.torn
    tail.close()


def test_text_that_utf8_cannot_hold_does_not_stop_the_run(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    log.emit(SamplesLogged(0, ({"prompt": "half a pair: \ud800", "completion": "\u2028", "reward": 1.0},)))
    log.close()
    (envelope,) = read_all(tmp_path / "events.jsonl")
    assert envelope.event.samples[0]["prompt"] == "half a pair: \ud800"


def test_a_tail_follows_a_growing_file_byte_by_byte(tmp_path):
    whole = tmp_path / "whole.jsonl"
    log = EventLog(whole)
    for step in range(4):
        log.emit(MetricsLogged(step, {"a": float(step)}))
    log.close()
    path, tail, seen = tmp_path / "events.jsonl", Tail(tmp_path / "events.jsonl"), []
    assert list(tail.poll()) == []  # not there yet
    data = whole.read_bytes()
    with path.open("ab", buffering=0) as file:
        for i in range(len(data)):
            file.write(data[i : i + 1])
            seen += tail.poll()
            assert len(seen) == data[: i + 1].count(b"\n")
            assert tail.torn == (data[i : i + 1] != b"\n")
    assert seen == read_all(whole)
    assert tail.unreadable == 0
    tail.close()


def test_lines_longer_than_a_read_are_put_together(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    log.emit(SamplesLogged(0, ({"prompt": "x" * 3_000_000, "completion": "", "reward": 0.0},)))
    log.emit(RunEnded(0, Outcome.FINISHED))
    log.close()
    assert len(read_all(tmp_path / "events.jsonl")) == 2


def test_a_tail_says_why_a_line_could_not_be_read(tmp_path):
    (tmp_path / "events.jsonl").write_text(f'{{"v": 9, "type": "run_ended", {HEAD}, "step": 1}}\n\n  \n')
    tail = Tail(tmp_path / "events.jsonl")
    assert list(tail.poll()) == []
    assert (tail.unreadable, tail.last_error) == (1, "event version 9, this autotune reads version 1")
    tail.close()
