"""What is kept of the completions of a rollout: whole groups, bounded."""

import json
import math

from trainers.measure import Sampled, ended
from trainers.samples import ALONE, LONGEST, OF_GROUP, of_rollout, shortened


def rollout(groups: int, n: int, rewards=None, group: int | None = None) -> Sampled:
    many = groups * n
    prompts = [f"prompt {i // n}" for i in range(many)]
    said = [f"answer {i}" for i in range(many)]
    values = rewards or [float(i) for i in range(many)]
    return Sampled(prompts, said, values, [3] * many, [i % 2 == 0 for i in range(many)], group or n)


def test_two_whole_groups_spread_over_the_rollout() -> None:
    told = of_rollout(rollout(8, 4), [i / 10 for i in range(32)])
    assert [sample["group"] for sample in told] == [0] * 4 + [4] * 4
    assert [sample["completion"] for sample in told] == [f"answer {i}" for i in (0, 1, 2, 3, 16, 17, 18, 19)]
    assert told[5] == {
        "split": "train", "group": 4, "prompt": "prompt 4", "completion": "answer 17", "reward": 17.0, "tokens": 3,
        "ended": False, "advantage": 1.7,
    }  # fmt: skip


def test_prompts_with_one_completion_each() -> None:
    assert [sample["group"] for sample in of_rollout(rollout(64, 1))] == [8 * k for k in range(ALONE)]
    assert [sample["group"] for sample in of_rollout(rollout(3, 1))] == [0, 1, 2]
    assert "advantage" not in of_rollout(rollout(3, 1))[0]


def test_of_a_large_group_the_best_and_the_worst_are_among_those_kept() -> None:
    rewards = [float((7 * i) % 64) for i in range(64)]
    rewards[5] = math.nan  # nobody scored it
    told = of_rollout(rollout(1, 64, rewards))
    kept = [sample["reward"] for sample in told]
    assert len(told) == OF_GROUP and {sample["of"] for sample in told} == {64}
    assert min(value for value in kept if not math.isnan(value)) == 0 and any(map(math.isnan, kept))
    assert [int(sample["completion"].split()[1]) for sample in told] == sorted(
        int(sample["completion"].split()[1]) for sample in told
    )


def test_of_a_group_that_several_processes_share_the_part_of_this_one() -> None:
    told = of_rollout(rollout(1, 4, group=8))
    assert len(told) == 4 and {sample["of"] for sample in told} == {8}


def test_no_rollout_yet() -> None:
    assert of_rollout(Sampled()) == []


def test_texts_are_bounded_and_whatever_they_are_can_be_written() -> None:
    text = "a" * LONGEST + "b" * LONGEST
    short = shortened(text)
    assert len(short) < LONGEST + 60 and short.startswith("aaa") and short.endswith("bbb")
    assert f"{LONGEST:,} characters left out" in short
    told = shortened([{"role": "user", "content": text, "image": object()}])
    assert told[0]["content"] == short and len(json.dumps(told)) < 2 * LONGEST
    assert shortened("short") == "short"


def test_which_completions_ended() -> None:
    assert ended([[5, 2], [5, 6], [], [9]], [2, 9]) == [True, False, False, True]
