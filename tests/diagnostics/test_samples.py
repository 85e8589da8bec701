"""Samples by step: groups, what is the best of them, and an index that holds for any file, cut anywhere."""

import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics import sample_file, sample_tables, samples
from diagnostics.errors import UserError
from diagnostics.events import EventLog, MetricsLogged, SamplesLogged, dumps
from diagnostics.sample_file import SampleFile, of_log
from diagnostics.sample_tables import SampleTables
from diagnostics.samples import plain, sampled, spread
from diagnostics.sources import Source


def entry(completion: str, reward: float | None = 1.0, prompt: str = "1 + 1 =", **more: object) -> dict[str, object]:
    return {"split": "train", "prompt": prompt, "completion": completion, "reward": reward, **more}


def line(step: int, attempt: int = 1, *entries: dict[str, object], seq: int = 0) -> bytes:
    head = {"v": 1, "type": "samples_logged", "seq": seq, "time": 5.0, "attempt": attempt, "step": step}
    return (dumps({**head, "samples": list(entries) or [entry(f"said at {step} in {attempt}")]}) + "\n").encode()


def opened(path: Path) -> SampleFile:
    file = SampleFile(path)
    while file.poll():
        pass
    return file


# ---- groups


def test_neighbours_of_one_prompt_are_a_group_and_single_completions_stand_together() -> None:
    told = sampled(
        SamplesLogged(
            3,
            (
                entry("2", 1.0, group=0, advantage=0.5, tokens=2, ended=True),
                entry("3", 0.0, group=0),
                entry("2", 1.0, group=4, of=64),  # the same prompt, drawn again
                entry("4", 0.0, group=4, of=64),
                {**entry("7", 1.0, "3 + 4 ="), "split": "validation"},
                {**entry("8", 0.0, "3 + 5 ="), "split": "validation"},
                {"prompt": "no completion"},
            ),
        )
    )
    assert [(group.split, group.prompt, len(group.samples), group.of) for group in told.groups] == [
        ("train", "1 + 1 =", 2, 0),
        ("train", "1 + 1 =", 2, 64),
        ("validation", None, 2, 0),
    ]
    assert told.odd == 1
    assert told.groups[0].samples[0] == samples.Sample("1 + 1 =", "2", 1.0, 0.5, 2, True)
    assert len(told.of_split("train")) == 2


def test_samples_without_a_group_are_grouped_by_their_prompt() -> None:
    told = sampled(SamplesLogged(3, (entry("2"), entry("3"), entry("4", prompt="2 + 2 ="), entry("5"))))
    assert [[sample.completion for sample in group.samples] for group in told.groups] == [["2", "3", "5"], ["4"]]


def test_identical_completions_are_one_and_the_best_comes_first() -> None:
    said = [("b", 0.0), ("a", 1.0), ("b", 0.0), ("c", math.nan), ("d", None), ("a", 0.5), ("b", 0.0)]
    group = sampled(SamplesLogged(0, tuple(entry(text, reward) for text, reward in said))).groups[0]
    assert [(sample.completion, sample.reward, n) for sample, n in group.distinct()][:3] == [
        ("a", 1.0, 1),
        ("a", 0.5, 1),
        ("b", 0.0, 3),
    ]
    assert {sample.completion for sample, _ in group.distinct()[3:]} == {"c", "d"}
    assert not group.alike
    assert sampled(SamplesLogged(0, (entry("a", 0.0), entry("b", 0.0)))).groups[0].alike


def test_the_spread_leaves_out_what_is_not_finite() -> None:
    told = spread([1.0, 0.0, math.nan, math.inf])
    assert told is not None and (told.known, told.mean, told.lowest, told.highest) == (4, 0.5, 0.0, 1.0)
    assert told.deviation == pytest.approx(math.sqrt(0.5))
    assert spread([math.nan]) is None and spread([]) is None


def test_messages_are_text_and_odd_values_are_none() -> None:
    assert (
        plain([{"role": "user", "content": "hi"}, {"role": "assistant", "content": [1]}]) == "user: hi\nassistant: [1]"
    )
    assert plain(None) == "" and plain({"a": "ä"}) == '{"a": "ä"}'
    told = sampled(SamplesLogged(0, (entry("x", "high", tokens=True, ended="no", advantage=10**400),))).groups[0]  # type: ignore[arg-type]
    assert told.samples[0] == samples.Sample("1 + 1 =", "x")


# ---- tables of wandb


def table(step: int, *rows: list[object], columns: list[str] | None = None) -> str:
    names = columns or ["step", "prompt", "completion", "accuracy", "advantage"]
    return json.dumps({"columns": names, "data": [[step, *row] for row in rows]})


def test_tables_of_completions_beside_a_wandb_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run" / "files" / "media" / "table"
    tables = of_log(Source("wandb", (tmp_path / "run" / "run-x.wandb",), "", "run-x.wandb"))
    assert isinstance(tables, SampleTables) and not tables.poll() and tables.steps == ()
    folder.mkdir(parents=True)
    (folder / "completions_7_ab12.table.json").write_text(table(10, ["p", "good", 1.0, 0.7], ["p", "bad", 0.0, -0.7]))
    (folder / "completions_9_ab13.table.json").write_text("{")
    (folder / "other_9_ab13.table.json").write_text("{")
    (folder / "completions_8_ab14.table.json").symlink_to(folder / "completions_7_ab12.table.json")
    while tables.poll():
        pass
    assert tables.steps == (10,) and tables.damaged == 1 and tables.position == tables.size == 2
    told = tables.read(10)
    assert told is not None and told.groups[0].split == "train" and told.groups[0].prompt == "p"
    assert [(sample.completion, sample.reward, sample.advantage) for sample, _ in told.groups[0].distinct()] == [
        ("good", 1.0, 0.7),
        ("bad", 0.0, -0.7),
    ]
    several = ["step", "prompt", "completion", "format", "accuracy", "advantage"]
    rows = [["p", "bad", 1.0, 0.0, -0.7], ["p", "good", 0.0, 1.0, 0.7]]
    (folder / "completions_11_ab15.table.json").write_text(table(20, *rows, columns=several))
    assert tables.poll() and tables.steps == (10, 20)
    told = tables.read(20)  # what two functions are worth together nobody says; the advantage ranks them
    assert told is not None and [sample.reward for sample in told.groups[0].samples] == [None, None]
    assert [sample.completion for sample, _ in told.groups[0].distinct()] == ["good", "bad"]
    monkeypatch.setattr(sample_tables, "LARGEST", 10)
    (folder / "completions_12_ab16.table.json").write_text(table(30, ["p", "c", 1.0, 0.0]))
    assert tables.poll() and tables.damaged == 2 and tables.steps == (10, 20)
    assert tables.read(30) is None


# ---- the index


def test_every_step_is_found_where_it_lies(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "samples.jsonl")
    for step in (0, 10, 20):
        log.emit(SamplesLogged(step, (entry(f"line one\nof {step}", math.nan),)))
        log.emit(MetricsLogged(step, {"reward_mean": 1.0}))  # no samples: passed over
    file = opened(tmp_path / "samples.jsonl")
    assert file.steps == (0, 10, 20) and file.damaged == 0
    told = file.read(10)
    assert told is not None and told.groups[0].samples[0].completion == "line one\nof 10"
    assert math.isnan(told.groups[0].samples[0].reward or 0)
    assert file.read(5) is None
    log.emit(SamplesLogged(30, (entry("newest"),)))
    assert file.poll() and file.steps == (0, 10, 20, 30) and not file.poll()
    log.close()


def test_a_file_that_is_not_there_yet_appears(tmp_path: Path) -> None:
    file = SampleFile(tmp_path / "samples.jsonl")
    assert not file.poll() and file.steps == ()
    file.path.write_bytes(line(4))
    assert file.poll() and file.steps == (4,)


def test_what_is_no_file_of_the_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(line(4))
    (tmp_path / "samples.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is no file of this folder"):
        SampleFile(tmp_path / "samples.jsonl").poll()
    with pytest.raises(UserError, match="is no file of this folder"):
        SampleFile(tmp_path).poll()


def test_a_later_attempt_takes_back_what_an_earlier_one_told_from_there_on(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(line(0) + line(10) + line(20) + line(30) + line(20, 2))
    file = opened(path)
    assert file.steps == (0, 10, 20)
    told = file.read(20)
    assert told is not None and told.groups[0].samples[0].completion == "said at 20 in 2"


def test_of_a_step_that_is_told_twice_the_last_counts_also_where_it_was_read_before(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(line(0, 1, entry("first")))
    file = opened(path)
    assert file.read(0) is not None
    with path.open("ab") as more:
        more.write(line(0, 1, entry("second")))
    file.poll()
    told = file.read(0)
    assert told is not None and told.groups[0].samples[0].completion == "second"


def test_damaged_lines_are_counted_when_they_are_met(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    broken = line(10).replace(b'"samples": [', b'"samples": [{"]}')  # begins and ends as a line of ours
    path.write_bytes(line(0) + b"\xff\xfe\n" + b'{"v": 9}\n' + broken + b"\n" + line(20))
    file = opened(path)
    assert file.damaged == 2 and file.steps == (0, 10, 20)
    assert file.read(10) is None
    assert file.damaged == 3 and file.steps == (0, 20)


def test_a_line_without_an_end_fills_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_file, "LONGEST_LINE", 500)
    monkeypatch.setattr(sample_file, "AT_ONCE", 64)
    path = tmp_path / "samples.jsonl"
    path.write_bytes(line(0) + line(10, 1, entry("x" * 1000)) + line(20))
    file = SampleFile(path)
    while file.poll():
        assert sum(map(len, file._rest)) <= 500
    assert file.steps == (0, 20) and file.damaged == 1
    told = file.read(20)
    assert told is not None and told.step == 20


def test_few_steps_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b"".join(line(step) for step in range(50)))
    file = opened(path)
    assert all(file.read(step) is not None for step in range(50))
    assert len(file._known) == samples.KEPT


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 200), min_size=1, max_size=12), st.integers(1, 90))
def test_a_file_that_is_read_while_it_grows_is_the_file_read_at_once(
    tmp_path_factory: pytest.TempPathFactory, seed: int, cuts: list[int], at_once: int
) -> None:
    """Whatever it holds and wherever the writes end: whole lines are known, the torn one is not, nothing is misread."""
    rng = random.Random(seed)
    parts = []
    for i in range(rng.randrange(1, 9)):
        kind = rng.random()
        if kind < 0.2:
            parts.append(rng.choice([b"\n", b"{}\n", b'{"v": 1, "type": "samples_logged"\n', b"\xf0\n", b'"]}\n']))
        else:
            text = "".join(rng.choice('ab"]}\\{ \n\u2028é') for _ in range(rng.randrange(30)))
            parts.append(line(rng.randrange(4), 1 + i // 4, entry(text), seq=i))
    whole = b"".join(parts)
    path = tmp_path_factory.mktemp("cut") / "samples.jsonl"
    path.write_bytes(b"")
    growing = SampleFile(path)
    before = sample_file.AT_ONCE
    sample_file.AT_ONCE = at_once
    try:
        written = 0
        for size in [*cuts, len(whole)]:
            end = min(len(whole), written + size)
            with path.open("ab") as file:
                file.write(whole[written:end])
            written = end
            while growing.poll():
                pass
            said = told(growing)
            reference = path.with_name("reference.jsonl")
            reference.write_bytes(whole[: whole.rfind(b"\n", 0, end) + 1])
            assert said == told(opened(reference))
        while written < len(whole):
            with path.open("ab") as file:
                file.write(whole[written:])
            written = len(whole)
        while growing.poll():
            pass
        assert told(growing) == expected(parts)
    finally:
        sample_file.AT_ONCE = before
        growing.close()


def told(file: SampleFile) -> dict[int, str]:
    return {step: read.groups[0].samples[0].completion for step in file.steps if (read := file.read(step))}


def expected(parts: list[bytes]) -> dict[int, str]:
    """What the whole lines say, by the book."""
    known: dict[int, str] = {}
    attempt = 0
    for part in parts:
        try:
            data = json.loads(part)
            step, said = data["step"], data["samples"][0]["completion"]
        except (ValueError, TypeError, KeyError):
            continue
        if data["attempt"] > attempt:
            attempt = data["attempt"]
            known = {s: text for s, text in known.items() if s < step}
        known[step] = said
    return known
