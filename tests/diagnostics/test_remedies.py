"""What a finding prescribes first: a run on both sides of each limit that chooses between remedies."""

from dataclasses import replace

import pytest

from diagnostics.engine import rises
from diagnostics.finding import Finding
from diagnostics.rule import all_rules
from diagnostics.series import RunHistory, example

KL = "kl.reference.k3.token"

SLOWER, FASTER = ("learning_rate", "/ 8"), ("learning_rate", "x 10")
LOOSER, USUAL = ("kl_coef", "= 0.04"), ("temperature", "= 1")
LARGER, EIGHT = ("num_generations", "x 2"), ("num_generations", "= 8")

# A noise of sqrt(2) / 10 exactly, the best of the first points at 0.4 and the late level below it by so many times it.
STEADY = "0.2 0.4 " * 15


def lost(times: float) -> dict[str, str]:
    late = 0.4 - times * 0.02**0.5
    return {"reward_mean": STEADY + f"{late - 0.1} {late + 0.1} " * 60}


def thrown(times: float) -> dict[str, str]:
    return {"value_loss": f"1 {times} 1*38", "return_var": "0.75*40", "return_mean": "0.5*40"}


AGREE = {"zero_std_share": "0.2*60 0.8*90"}
STILL = {"grad_norm": "1*60 0*90"}
FLAT = {"reward_mean": "-0.33~0.1*120", "reward_best_of_n": "0.85~0.1*120"}
COLLAPSED = {KL: "0 0.3 0.9~0.1*98", "reward_mean": "-0.2~0.05*2 -0.65~0.05*98"}
DECLINE = {"reward_mean": "0.5~0.05*30 0.5-0.01~0.05*80"}
FALLING_LOSS = {"total_loss": "0.5-0.004~0.03*110"}
SWINGS = "0.5~0.02*40 0.9~0.05*20 0.1~0.05*20 0.8~0.05*20 0.2~0.05*20"
UNSURE = {"entropy.token": "1*20 0.005*20"}
CLIPPED = {"clip_fraction.token": "0.3*20"}
JUMPS = {"value_loss": "0.5~0.02*60 9 0.5~0.02*5 9 9 0.5~0.02*20"}
WORTHLESS = {"explained_variance": "-0.5*40"}
FAR_OFF = {"kl.rollout.k2.token": "0.5*20"}
SHRUNK, LONGER, FULL = "200*20 200-5*36 20*20", "100*20 100+1*100", {"truncated_share": "0.1*90 0.95*40"}
# Rewards with a noise of sqrt(2) / 10 that gain 1.1 and 0.9 times as much.
UP, AS_GOOD = "0.2 0.4 " * 5 + "0.356 0.556 " * 33, "0.2 0.4 " * 5 + "0.327 0.527 " * 33
APART = {"sampler_logprob_diff_mean": "0.2*20"}
BLOWN_UP = {"grad_norm": "1*5 nan*5"}

TABLE = [
    # contrast: lost, far, cold, and the size of the groups; one answer for both rules that see it
    *(
        (code, symptom | companions, settings, remedy)
        for code, symptom in (("RWD001", AGREE), ("GRD002", STILL))
        for companions, settings, remedy in (
            (lost(4.1), {}, SLOWER),
            (lost(3.9), {}, LARGER),
            ({KL: "0.51*150"}, {}, SLOWER),
            ({KL: "0.49*150"}, {}, LARGER),
            ({"kl.reference.k1.token": "0.51*150"}, {}, SLOWER),
            ({"kl.reference.unknown.token": "0.51*150"}, {}, SLOWER),
            ({KL: "0.51*150"}, {"temperature": 0.69}, SLOWER),
            ({}, {"temperature": 0.69}, USUAL),
            ({}, {"temperature": 0.71}, LARGER),
            ({}, {"num_generations": 7}, EIGHT),
            ({}, {"num_generations": 8}, LARGER),
        )
    ),
    # a reward that stands still
    ("RWD004", FLAT | {KL: "0.105*120"}, {}, SLOWER),
    ("RWD004", FLAT | {KL: "0.095*120"}, {}, FASTER),
    ("RWD004", FLAT | {"kl.reference.unknown.token": "0.105*120"}, {}, SLOWER),
    ("RWD004", FLAT, {"kl_coef": 0.51}, LOOSER),
    ("RWD004", FLAT, {"kl_coef": 0.5}, LOOSER),
    ("RWD004", FLAT, {"kl_coef": 0.49}, FASTER),
    ("RWD004", FLAT, {"temperature": 1.31}, USUAL),
    ("RWD004", FLAT, {"temperature": 1.29}, FASTER),
    ("RWD004", FLAT | {"zero_std_share": "0.51*120"}, {}, LARGER),
    ("RWD004", FLAT | {"zero_std_share": "0.49*120"}, {}, FASTER),
    ("RWD004", {"reward_mean": "-0.1~0.1*20 -0.4~0.1*100"}, {}, SLOWER),  # updates that lose it are not too small
    ("RWD004", {"reward_mean": "-0.1~0.1*20 -0.12~0.1*100"}, {}, FASTER),
    ("RWD007", FLAT, {}, FASTER),
    ("RWD007", FLAT, {"kl_coef": 0.5}, LOOSER),
    ("RWD007", FLAT, {"kl_coef": 0.49}, FASTER),
    ("RWD007", FLAT, {"temperature": 1.31}, USUAL),
    ("RWD007", FLAT, {"temperature": 1.29}, FASTER),
    # a reward that falls
    ("RWD002", COLLAPSED, {}, SLOWER),
    ("RWD002", COLLAPSED, {"kl_coef": 0.5}, LOOSER),
    ("RWD002", COLLAPSED, {"kl_coef": 0.49}, SLOWER),
    ("RWD003", DECLINE, {}, SLOWER),
    ("RWD003", DECLINE, {"kl_coef": 0.5}, LOOSER),
    ("RWD003", DECLINE, {"kl_coef": 0.49}, SLOWER),
    ("RWD008", DECLINE | FALLING_LOSS, {}, SLOWER),
    ("RWD008", DECLINE | FALLING_LOSS, {"kl_coef": 0.05}, LOOSER),
    ("RWD008", DECLINE | FALLING_LOSS, {"kl_coef": 0.04}, SLOWER),
    ("RWD010", {"reward_mean": SWINGS}, {}, SLOWER),
    ("KL002", COLLAPSED, {}, SLOWER),
    # the policy
    ("ENT001", UNSURE, {}, SLOWER),
    ("ENT001", UNSURE, {"temperature": 0.69}, USUAL),
    ("ENT001", UNSURE, {"temperature": 0.71}, SLOWER),
    ("UPD002", CLIPPED, {"update_epochs": 2}, ("update_epochs", "/ 4")),
    ("UPD002", CLIPPED, {"update_epochs": 1}, ("learning_rate", "/ 2")),
    ("UPD001", FAR_OFF, {"update_epochs": 2}, ("update_epochs", "/ 4")),
    ("UPD001", FAR_OFF, {"update_epochs": 1}, ("learning_rate", "/ 2")),
    # the critic
    ("VAL001", JUMPS | {KL: "0.51*90"}, {}, SLOWER),
    ("VAL001", JUMPS | {KL: "0.49*90"}, {}, ("vf_coef", "/ 2")),
    ("VAL001", JUMPS, {"value_learning_rate": 1e-4}, ("value_learning_rate", "/ 10")),
    ("VAL002", WORTHLESS, {}, ("vf_coef", "x 2")),
    ("VAL002", WORTHLESS, {"learning_rate": 1e-5}, ("value_learning_rate", "= 0.0001")),
    ("VAL002", WORTHLESS, {"learning_rate": 1e-5, "value_learning_rate": 1e-3}, ("value_learning_rate", "x 10")),
    ("VAL002", WORTHLESS, {"learning_rate": 1e-5, "value_learning_rate": 1.1e-3}, ("value_learning_rate", "/ 10")),
    ("VAL002", WORTHLESS, {"value_learning_rate": 1e-4}, ("value_learning_rate", "x 10")),
    ("VAL002", WORTHLESS | thrown(4.1), {}, ("value_learning_rate", "/ 10")),
    ("VAL002", WORTHLESS | thrown(3.9), {}, ("vf_coef", "x 2")),
    ("VAL002", WORTHLESS | thrown(4.1), {"vf_coef": 0.1}, ("vf_coef", "/ 10")),
    ("NUM001", BLOWN_UP, {}, ("learning_rate", "/ 10")),
    # the completions
    ("LEN001", {"truncated_share": "0.5*20"}, {}, ("max_completion_length", "x 2")),
    ("LEN002", {"completion_length_mean": SHRUNK}, {}, SLOWER),
    ("LEN002", {"completion_length_mean": SHRUNK, "reward_mean": AS_GOOD}, {}, SLOWER),
    ("LEN003", FULL | {KL: "0.51*130"}, {}, SLOWER),
    ("LEN003", FULL | lost(4.1), {}, SLOWER),
    ("LEN003", {"completion_length_mean": LONGER, "reward_mean": "0.3~0.05*120", KL: "0.51*120"}, {}, SLOWER),
    ("OFF001", APART, {"top_p": 0.95}, ("top_p", "= 1")),
]


def found(code: str, run: RunHistory) -> list[Finding]:
    return [f for f in rises(all_rules()[code], run) if f.prescriptions]


@pytest.mark.parametrize(("code", "metrics", "settings", "expected"), TABLE)
def test_the_first_prescription(code, metrics, settings, expected):
    first = [f.prescriptions[0] for f in found(code, example(metrics, settings=settings, reward_bounds=(-1, 1)))]
    assert {(p.knob, str(p.change)) for p in first} == {expected}


@pytest.mark.parametrize(
    ("code", "metrics", "settings", "expected"),
    [
        ("KL002", COLLAPSED, {"kl_coef": 0.04}, [("kl_coef", "x 4")]),
        ("KL002", COLLAPSED, {}, [("kl_coef", "= 0.04")]),
        ("KL002", COLLAPSED, {"kl_coef": 0.0}, []),  # a choice, and a larger one would change the objective
        ("KL002", COLLAPSED, {"kl_coef": 0.0, "update_epochs": 2}, [("update_epochs", "/ 4")]),
        ("KL002", COLLAPSED, {"kl_coef": 0.0, "update_epochs": 1}, []),
        ("RWD002", COLLAPSED, {"update_epochs": 2}, [("update_epochs", "/ 4")]),
        ("RWD003", DECLINE, {"update_epochs": 2}, [("update_epochs", "/ 4")]),
        ("RWD010", {"reward_mean": SWINGS}, {"update_epochs": 2}, [("update_epochs", "/ 4")]),
        ("RWD010", {"reward_mean": SWINGS}, {"update_epochs": 1}, []),
        ("ENT001", UNSURE, {"kl_coef": 0.0}, [("kl_coef", "= 0.04")]),
        ("ENT001", UNSURE, {"kl_coef": 0.01}, []),
        ("LEN002", {"completion_length_mean": SHRUNK}, {"kl_coef": 0.0}, [("kl_coef", "= 0.04")]),
        ("LEN002", {"completion_length_mean": SHRUNK}, {"kl_coef": 0.01}, []),
        ("UPD001", FAR_OFF, {}, [("max_grad_norm", "= 1")]),
        ("UPD001", FAR_OFF, {"max_grad_norm": 1.0}, []),
        ("NUM001", BLOWN_UP, {}, [("max_grad_norm", "= 1")]),
        ("NUM001", BLOWN_UP, {"max_grad_norm": 1.01}, [("max_grad_norm", "= 1")]),
        ("NUM001", BLOWN_UP, {"max_grad_norm": 0.0}, [("max_grad_norm", "= 1")]),  # 0 clips nothing
        ("NUM001", BLOWN_UP, {"max_grad_norm": 1.0}, []),  # clipped already
        ("NUM001", BLOWN_UP, {"max_grad_norm": 0.99}, []),
    ],
)
def test_the_other_prescriptions(code, metrics, settings, expected):
    for finding in found(code, example(metrics, settings=settings, reward_bounds=(-1, 1))):
        assert [(p.knob, str(p.change)) for p in finding.prescriptions[1:]] == expected


@pytest.mark.parametrize(
    ("code", "metrics"),
    [
        ("LEN002", {"completion_length_mean": SHRUNK, "reward_mean": UP}),
        ("LEN003", FULL | {KL: "0.49*130"}),
        ("LEN003", FULL | lost(3.9)),
        ("LEN003", {"completion_length_mean": LONGER, "reward_mean": "0.3~0.05*120", KL: "0.49*120"}),
        ("OFF001", APART),
    ],
)
def test_what_no_knob_mends_is_advice(code, metrics):
    (finding,) = rises(all_rules()[code], example(metrics, settings={"top_p": 1.0}))
    assert finding.advice
    assert not finding.prescriptions


def test_no_message_says_nan() -> None:
    """A finding may be raised before the noise of the reward is known; it then says nothing of it."""
    from pathlib import Path

    from diagnostics.engine import diagnose
    from diagnostics.readers import events

    runs = Path(__file__).parent.parent / "data" / "runs"
    for folder in sorted(runs.iterdir()):
        for finding in diagnose(events.read(folder)).raised:
            assert "nan" not in finding.message.replace("is nan", "").split(), (folder.name, finding.message)


@pytest.mark.parametrize(("framework", "knob"), [("trl-ppo", "vf_coef"), ("openrlhf", "value_learning_rate")])
def test_no_knob_is_prescribed_that_the_framework_does_not_have(framework: str, knob: str):
    run = replace(example(WORTHLESS, settings={"learning_rate": 1e-5}), framework=framework)
    assert {f.prescriptions[0].knob for f in found("VAL002", run)} == {knob}
