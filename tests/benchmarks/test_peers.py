"""The table of other tools counts them fairly: names and codes exist, doubt is to their benefit, a death is told."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import peer_answers
import pytest
from labels import Label, Wanted
from peer_answers import Alarm, Heard, Job, answers, environment
from peer_runs import NAMES, Case, planted_at, rows
from peers import FINISHED, LIVE, PEERS, RLPROBE, RLWATCH, fields
from table_peers import counted, stands_for

from diagnostics.finding import Severity
from diagnostics.metrics import metrics
from diagnostics.rule import all_lints, all_rules
from diagnostics.series import example
from diagnostics.vocabulary import vocabulary

INFO, WARNING = Severity.INFO, Severity.WARNING
RUN = example({"reward_mean": "0*450 1*150", "grad_norm": "1*600"})
HEALTHY = Label((), frozenset({"MAY001"}), None, healthy=True)


def alarm(codes: str, severity: Severity = WARNING, step: int = 500, detector: str = "detector") -> Alarm:
    return Alarm(detector, frozenset(codes.split()), severity, step, 1)


def sick(codes: str, absent: str = "", name: str = "sick", twin: str = "") -> Case:
    label = Label((Wanted(frozenset(codes.split())),), frozenset(), frozenset(absent.split()), healthy=False)
    return Case(name, label, (RUN,), twin=twin)


def heard(claims: str = "KL002", **alarms: list[Alarm]) -> Heard:
    return Heard("tool", LIVE, frozenset(claims.split()), alarms)


# ---- the declared tables


@pytest.mark.parametrize("tool", PEERS)
def test_detectors_stand_for_codes_that_exist(tool: str) -> None:
    assert PEERS[tool].claims <= {*all_rules(), *all_lints()}


def test_names_are_those_of_the_frameworks() -> None:
    logged = {entry.name for of in ("trl-grpo", "trl-ppo", "verl") for entry in vocabulary(of).metrics}
    assert {*NAMES} - logged == {"advantages_std"}  # which none logs, and rl-doctor and rlwatch know
    assert {metric for candidates in NAMES.values() for metric in candidates} <= {*metrics()}


def test_what_is_handed_over_is_named() -> None:
    assert {*RLPROBE, *RLWATCH} <= {*NAMES}


def test_the_first_of_several_names_is_taken() -> None:
    row = {"objective/kl": 8.0, "policy/approxkl_avg": 0.1, "loss": 2.0}
    assert fields(row, RLWATCH) == {"kl_divergence": 8.0, "loss": 2.0}
    assert fields(row, RLPROBE) == {"kl_mean": 8.0, "loss": 2.0}


def test_a_summed_kl_is_no_other_kl() -> None:
    both = {"kl.reference.k3.token": "0.1*2", "kl.reference.k1.sequence": "3*2", "reward_component_mean[a]": "1 2"}
    summed = {name: values for name, values in both.items() if "token" not in name}
    assert rows(example(both)) == [
        {"step": 0, "kl": 0.1, "rewards/a/mean": 1.0}, {"step": 1, "kl": 0.1, "rewards/a/mean": 2.0}
    ]  # fmt: skip
    assert [{*row} for row in rows(example(summed))] == [{"step", "objective/kl", "rewards/a/mean"}] * 2


# ---- the count


@pytest.mark.parametrize(
    ("label", "codes", "expected"),
    [
        (sick("KL002 KL005").label, "KL002 KL005 RWD001", ["KL002", "KL005"]),  # all that is right
        (sick("KL002", absent="RWD001").label, "RWD001 RWD005", ["RWD005"]),  # what is not known to be absent
        (sick("KL002", absent="RWD001 RWD005").label, "RWD001 RWD005", ["RWD001"]),  # one false alarm, not two
        (HEALTHY, "KL001 MAY001", ["MAY001"]),
        (HEALTHY, "KL001 KL002", ["KL001"]),
    ],
)
def test_the_benefit_of_the_doubt(label: Label, codes: str, expected: list[str]) -> None:
    assert [finding.code for finding in stands_for(alarm(codes), label)] == expected


def test_found_missed_and_false() -> None:
    cases = [sick("KL002"), sick("VAL001", name="other"), sick("KL002", name="third"), Case("fine", HEALTHY, (RUN,))]
    said = heard(
        sick=[alarm("KL002 KL004")],
        third=[alarm("KL002", INFO)],  # not enough
        fine=[alarm("RWD001"), alarm("RWD001 MAY001"), alarm("RWD004", INFO), alarm("RWD001", detector="same again")],
    )
    count = counted(cases, said)
    assert (count.found, count.missed, count.unclaimed) == (1, 2, 1)
    assert (count.false.total(), count.alarmed, count.healthy) == (1, 1, 1)


def test_what_is_said_without_the_fault_is_not_found() -> None:
    case = sick("KL002", twin="fine")
    before = alarm("KL002", step=420)
    assert counted([case], heard(sick=[before], fine=[before])).found == 0
    louder = before._replace(severity=Severity.ERROR, step=430)
    count = counted([case], heard(sick=[before, alarm("KL002", step=440), louder], fine=[before]))
    assert (count.found, count.delays) == (1, [430 - planted_at(case)])


# ---- the tools


def test_a_tool_that_dies_has_found_nothing_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = tmp_path / "adapter.py"
    adapter.write_text("""
import json, sys
jobs = open(sys.argv[2]).readlines()
print('{"version": "1"}')
for i in range(int(sys.argv[3]), len(jobs)):
    if i in (1, 3):
        sys.exit("too much for me")
    print(json.dumps({"said": [["detector", 1, i]], "seconds": [], "broken": ""}), flush=True)
""")
    monkeypatch.setattr(peer_answers, "ADAPTER", adapter)
    case = sick("KL002")
    who, *said = answers(Path(sys.executable), "tool", [Job(case, RUN, FINISHED)] * 4)
    assert who == {"version": "1"}
    assert [answer["said"] for answer in said] == [[["detector", 1, 0]], [], [["detector", 1, 2]], []]
    assert [answer["broken"] for answer in said] == ["", "died: too much for me", "", "died: too much for me"]


def test_a_tool_that_is_not_there_is_no_tool_that_finds_nothing() -> None:
    with pytest.raises(SystemExit, match="rlwatch does not start"):
        list(answers(Path(sys.executable), "rlwatch", [Job(sick("KL002"), RUN, LIVE)]))


@pytest.mark.network
@pytest.mark.parametrize("tool", PEERS)
def test_each_tool_answers(tool: str) -> None:
    if "AUTOTUNE_PEERS" not in os.environ:
        pytest.skip("AUTOTUNE_PEERS is not set: the folder with the environments of the tools")
    python = environment(Path(os.environ["AUTOTUNE_PEERS"]), tool)
    exploding = example({"kl.reference.k3.token": "0.01~0.001*300 0.1+0.1*50", "grad_norm": "1~0.1*350"})
    who, *said = answers(python, tool, [Job(sick("KL002"), exploding, way) for way in (FINISHED, LIVE)])
    assert who["version"] == PEERS[tool].version
    assert {*who["detectors"]} <= {*PEERS[tool].codes}
    assert [answer["broken"] for answer in said] == ["", ""]
    codes = {code for answer in said for name, severity, _ in answer["said"] for code in PEERS[tool].codes[name]}
    assert "KL002" in codes
