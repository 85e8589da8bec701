"""What speaks for each cause and what against it: one case for every reason there is."""

import inspect
import re
from collections import Counter
from dataclasses import replace

import pytest

from diagnostics.finding import Confidence, Evidence, Finding, Severity
from diagnostics.reasoning import Case, all_theories
from diagnostics.series import example

K3, K1, CUT, CLIPPED = "kl.reference.k3.token", "kl.reference.k1.token", "truncated_share", "clip_fraction.token"
REWARD, ZERO_STD, UNIQUE = "reward_mean", "zero_std_share", "unique_share"
RISES, FALLS = "0.2~0.02*20 0.2+0.01~0.02*40 0.6~0.02*40", "0.5~0.02*10 0.5-0.01~0.02*40 0.1~0.02*50"
FAR_AT_ONCE, SLOWLY_FAR = "0 0.4 0.9 1.5~0.1*97", "0+0.005*100"

PER_BATCH, VALUE = "kl.rollout.k2.token", "value_loss"
RETURNS = {"return_mean": "1*100", "return_var": "0.2*100"}
BACK, STANDS, STILL, GROWS = "0.3-0.0026*100", "0.02*100", "0.00001*100", "0+0.00002*100"

# A cause, what speaks for it (+) or against it (-), and where: findings, curves, settings.
HIGH, LOW, STRONG, WEAK = (
    "learning_rate_too_high", "learning_rate_too_low", "kl_penalty_too_strong", "kl_penalty_missing"
)  # fmt: skip
SAMPLING, EOS, SHORT, COLD, HOT = (
    "sampling_differs", "eos_suppressed", "completions_too_short", "temperature_too_low", "temperature_too_high"
)  # fmt: skip
FEW, EPOCHS, FAST, COLD_CRITIC = (
    "too_few_generations", "too_many_epochs", "critic_learns_too_fast", "critic_not_warmed_up"
)  # fmt: skip
PROMPTS, LEARNED, BROKEN, SAMPLER, NUMBERS = (
    "too_few_prompts", "task_learned", "reward_broken", "sampler_mismatch", "numeric_breakdown"
)  # fmt: skip
REASONS = [
    (HIGH, "+the KL to the reference was 1.5", "KL002@20", {K3: FAR_AT_ONCE}, {}),
    (HIGH, "+the KL to the reference rose far beyond", "KL002@20", {K3: SLOWLY_FAR}, {}),
    (HIGH, "+the updates on one batch moved the policy by 3", "NUM001@2", {PER_BATCH: "3*5"}, {}),
    (HIGH, "+learning_rate is 0.5, beyond", "NUM001@2 CFG009@0", {}, {"learning_rate": 0.5}),
    (HIGH, "+that the policy was carried off came before", "KL002@20 RWD001@30", {K3: SLOWLY_FAR}, {}),
    (HIGH, "+the reward fell below", "KL002@20 RWD002@40", {K3: SLOWLY_FAR, REWARD: FALLS}, {}),
    (HIGH, "-the reward rose all the same", "UPD002@4", {REWARD: RISES}, {}),
    (HIGH, "+the gradient norm or the loss jumped", "GRD001@4", {}, {}),
    (HIGH, "+the loss was 30 times the limit", "UPD003@4:huge", {}, {}),
    (HIGH, "+the value loss followed the KL", "VAL001@9", {K3: FAR_AT_ONCE}, {}),
    (HIGH, "-update_epochs is 8", "UPD002@4", {}, {"update_epochs": 8}),
    (HIGH, "-kl_coef is 0: nothing", "UPD002@4", {}, {"kl_coef": 0.0}),
    (HIGH, "-a KL below zero", "UPD002@40 KL001@4", {}, {}),
    (LOW, "+learning_rate is 1e-09, below", "RWD004@0 CFG009@0:low", {}, {"learning_rate": 1e-9}),
    (LOW, "+the policy hardly moved", "RWD004@0", {K3: STILL}, {}),
    (LOW, "+the KL to the reference still grows", "RWD004@0", {K3: GROWS}, {}),
    (LOW, "-the policy moved, by 0.4", "RWD004@0", {K3: SLOWLY_FAR}, {}),
    (LOW, "+best-of-n stays far", "RWD007@0", {}, {}),
    (LOW, "-kl_coef is 1: a penalty", "RWD004@0", {}, {"kl_coef": 1.0}),
    (LOW, "-temperature is 2", "RWD004@0", {}, {"temperature": 2.0}),
    (LOW, "-the completions give it too little", "RWD004@0 RWD001@5", {}, {}),
    (LOW, "-the updates were large enough", "RWD004@0 KL002@5", {}, {}),
    (STRONG, "-kl_coef is 0: there is no penalty", "RWD004@0", {}, {"kl_coef": 0.0}),
    (STRONG, "+kl_coef is 1, strong", "RWD004@0", {}, {"kl_coef": 1.0}),
    (STRONG, "+the penalty takes most", "KL004@30", {}, {}),
    (STRONG, "+the KL to the reference fell from 0.29 to", "RWD003@20", {K3: BACK}, {}),
    (STRONG, "+the KL to the reference stands still at 0.02", "RWD004@0", {K3: STANDS}, {}),
    (STRONG, "-the policy is 1.5 nats", "RWD004@0", {K3: FAR_AT_ONCE}, {}),
    (STRONG, "-the KL is below zero", "RWD003@20 KL001@9", {}, {}),
    (WEAK, "+kl_coef is 0: nothing", "ENT001@50", {}, {"kl_coef": 0.0}),
    (WEAK, "+the KL to the reference is 0 throughout", "ENT001@50", {K3: "0*100"}, {}),
    (WEAK, "+the reward rose while the text", "ENT001@50", {REWARD: RISES}, {"kl_coef": 0.0}),
    (WEAK, "+the reward first rose and was then lost", "RWD002@80", {REWARD: RISES + " 0.1*30"}, {"kl_coef": 0.0}),
    (WEAK, "+completions came to be cut", "LEN001@50", {CUT: "0*40 1*60"}, {"kl_coef": 0.0}),
    (WEAK, "-the policy was far from the reference", "KL002@9", {K3: FAR_AT_ONCE}, {"kl_coef": 0.001}),
    (WEAK, "+kl_coef is 0.001, and the policy", "KL002@9", {K3: SLOWLY_FAR}, {"kl_coef": 0.001}),
    (WEAK, "-the completions were cut before", "LEN001@0", {CUT: "1*100"}, {"kl_coef": 0.0}),
    (SAMPLING, "+the KL to the reference is below zero", "KL001@9", {}, {}),
    (SAMPLING, "+top_p is 0.9", "KL001@9", {}, {"top_p": 0.9}),
    (SAMPLING, "+it was from step 9 on", "KL001@9 RWD002@50", {}, {}),
    (SAMPLING, "+the k3 estimate", "KL001@9", {K1: "-0.1*100", K3: "0.1*100"}, {}),
    (SAMPLING, "-the engine that samples", "KL001@9 OFF001@9", {}, {}),
    (SAMPLING, "-no completion ends by itself", "KL001@9", {CUT: "1*100"}, {}),
    (EOS, "+from the first step on no completion ends", "LEN001@0", {CUT: "1*100"}, {}),
    (EOS, "-some completions end by themselves", "LEN001@0", {CUT: "0.8*100"}, {}),
    (EOS, "-the first completions ended", "LEN001@50", {CUT: "0*40 1*60"}, {}),
    (EOS, "+the token that ends a text is missing", "LEN004@0", {CUT: "1*100"}, {}),
    (EOS, "+the KL is below zero", "LEN001@0 KL001@9", {CUT: "1*100"}, {}),
    (EOS, "+min_completion_length is 32", "LEN001@0", {}, {"min_completion_length": 32, "max_completion_length": 32}),
    (SHORT, "-not a single completion", "LEN001@0", {CUT: "1*100"}, {}),
    (SHORT, "+completions are cut from the first step on", "LEN001@0", {CUT: "1*100"}, {}),
    (SHORT, "+completions are cut from the first step on, before", "LEN001@0", {CUT: "0.8*100"}, {}),
    (SHORT, "-more are cut than at first", "LEN001@0 LEN003@9", {CUT: "0.8*100"}, {}),
    (SHORT, "-next to none ends by itself", "LEN001@0 LEN004@0:info", {CUT: "0.9*100"}, {}),
    (SHORT, "-the first completions had room", "LEN001@50", {CUT: "0*40 0.8*60"}, {}),
    (SHORT, "-the policy was far", "LEN001@0", {CUT: "0.8*100", K3: FAR_AT_ONCE}, {}),
    (SHORT, "-they grew with", "LEN001@50 KL002@40", {CUT: "0*40 0.8*60"}, {}),
    (COLD, "+temperature is 0.3", "RWD001@9", {}, {"temperature": 0.3}),
    (COLD, "-temperature is 1", "RWD001@9", {}, {"temperature": 1.0}),
    (COLD, "+only 20% of the first", "RWD001@9", {UNIQUE: "0.2*100"}, {}),
    (COLD, "+the policy was still near", "RWD001@9", {UNIQUE: "0.2*100", K3: STILL}, {}),
    (COLD, "-90% of the first", "RWD001@9", {UNIQUE: "0.9*100"}, {}),
    (COLD, "-the policy went far", "RWD001@9 KL002@9", {}, {}),
    (HOT, "+temperature is 2", "RWD004@0", {}, {"temperature": 2.0}),
    (HOT, "+the entropy rises", "ENT002@50", {}, {"temperature": 2.0}),
    (HOT, "-the reward was lost", "RWD004@0 RWD002@50", {}, {"temperature": 2.0}),
    (FEW, "+num_generations is 2", "RWD001@9", {}, {"num_generations": 2}),
    (FEW, "-num_generations is 16", "RWD001@9", {}, {"num_generations": 16}),
    (FEW, "+90% of the first completions were distinct, yet 80%", "RWD001@9", {UNIQUE: "0.9*9", ZERO_STD: "0.8*9"}, {}),
    (FEW, "+80% of the first groups agreed, before", "RWD001@9", {ZERO_STD: "0.8*9"}, {"num_generations": 2}),
    (FEW, "-only 50% of the first", "RWD001@9", {UNIQUE: "0.5*100"}, {}),
    (FEW, "-only 10% of the first groups", "RWD001@9", {ZERO_STD: "0.1*40 0.9*60"}, {}),
    (FEW, "-temperature is 0.3", "RWD001@9", {}, {"temperature": 0.3}),
    (FEW, "-the policy was far", "RWD001@9", {K3: FAR_AT_ONCE}, {}),
    (FEW, "-the groups agree on the highest", "RWD001@9 RWD005@20", {}, {}),
    (EPOCHS, "+update_epochs is 4", "UPD002@4", {}, {"update_epochs": 4}),
    (EPOCHS, "-update_epochs is 1", "UPD002@4", {}, {"update_epochs": 1}),
    (EPOCHS, "+the policy wants to leave", "UPD002@4", {}, {}),
    (EPOCHS, "+tokens are clipped where", "UPD004@4", {}, {}),
    (EPOCHS, "+30% of the tokens", "UPD002@4", {CLIPPED: "0.3*100"}, {}),
    (EPOCHS, "-the clip fraction fell from 30% to 1%", "UPD002@4", {CLIPPED: "0.3*9 0.01*91"}, {}),
    (EPOCHS, "+one batch moves the policy by 0.2", "UPD002@4", {PER_BATCH: "0.2*100", K3: SLOWLY_FAR}, {}),
    (FAST, "+the value loss reached 50", "VAL001@1", {VALUE: "50 30 1*98", **RETURNS}, {}),
    (FAST, "+value_learning_rate is 0.3", "VAL001@1", {}, {"value_learning_rate": 0.3, "learning_rate": 1e-4}),
    (FAST, "-the policy went far", "VAL001@9 KL002@5", {}, {}),
    (FAST, "+the policy itself stays on course", "VAL001@1", {}, {}),
    (COLD_CRITIC, "+the explained variance", "VAL002@1", {}, {}),
    (COLD_CRITIC, "-the reward rises", "VAL002@1", {REWARD: RISES}, {}),
    (COLD_CRITIC, "-the value loss is many times", "VAL002@1", {VALUE: "50 30 1*98", **RETURNS}, {}),
    (COLD_CRITIC, "-it is not only", "VAL002@1 VAL001@5", {}, {}),
    (PROMPTS, "+the reward rose in training", "GEN001@9", {}, {}),
    (PROMPTS, "+the held-out reward fell", "GEN002@9", {}, {}),
    (PROMPTS, "+there are 8 prompts", "GEN001@9", {}, {"dataset_size": 8}),
    (PROMPTS, "-top_p is 0.5", "GEN001@9", {}, {"top_p": 0.5}),
    (PROMPTS, "+in training there is nothing left", "GEN001@9 GRD002@20", {}, {}),
    (PROMPTS, "-the training reward fell too", "GEN001@9 RWD002@20", {}, {}),
    (LEARNED, "+the reward is at the top", "ENT001@9 RWD005@20:info", {}, {}),
    (LEARNED, "+the reward rose to where it is", "ENT001@9 RWD005@20:info", {REWARD: RISES}, {}),
    (LEARNED, "-the held-out reward", "ENT001@9 GEN001@20", {}, {}),
    (LEARNED, "-the text came apart", "ENT001@9 LEN002@20", {}, {}),
    (LEARNED, "-the reward or the policy was lost", "ENT001@9 RWD003@20", {}, {}),
    (BROKEN, "+every completion has had the same", "RWD001@0", {REWARD: "0*100", ZERO_STD: "1*100"}, {}),
    (BROKEN, "-rewards did differ", "RWD001@9", {REWARD: RISES}, {}),
    (BROKEN, "+a component of the reward", "RWD006@9", {}, {}),
    (BROKEN, "+the reward rises while", "RWD009@9", {}, {}),
    (BROKEN, "+the length of completions", "RWD009@9 LEN002@20", {}, {}),
    (BROKEN, "-the policy was far", "RWD009@9", {K3: FAR_AT_ONCE}, {}),
    (BROKEN, "-kl_coef is 0", "RWD009@9", {}, {"kl_coef": 0.0}),
    (SAMPLER, "+the engine that samples", "OFF001@9", {}, {}),
    (SAMPLER, "+they did from step 9 on", "OFF001@9 RWD002@20", {}, {}),
    (NUMBERS, "+the forward pass is in fp16", "NUM001@9", {}, {"precision": "fp16"}),
    (NUMBERS, "+max_grad_norm is 0", "NUM001@9", {}, {"max_grad_norm": 0.0}),
    (NUMBERS, "+nothing else was wrong", "NUM001@9", {}, {}),
    (NUMBERS, "-UPD002 came before", "NUM001@9 UPD002@4", {}, {}),
    (NUMBERS, "-the policy was far", "NUM001@9", {K3: FAR_AT_ONCE}, {}),
    (HIGH, "+learning_rate was raised to 0.1 at step 3", "KL002@9", {}, {"learning_rate": 0.01}),
    (STRONG, "+kl_coef was raised to 1 at step 3", "RWD003@9", {}, {"kl_coef": 0.01}),
]


def found(code: str, step: int, level: str) -> Finding:
    """A finding that rests on a number above its limit or, where it is "low", below it; of "info" only where so."""
    value = {"low": 0.5, "huge": 30.0}.get(level, 3.0)
    evidence = Evidence("grad_norm", step, step + 9, "mean", value, 1.0)
    severity = Severity.INFO if level == "info" else Severity.WARNING
    return Finding(code, code.lower(), severity, Confidence.HIGH, step, 99, step + 10, code, (evidence,))


def given(name: str, findings: str, metrics: dict[str, str], settings: dict[str, float | str], rise: str) -> list[str]:
    """The reasons of a cause, each with its sign; `rise` may say that a knob was raised, as the reason does."""
    told = [found(code, int(step), level) for code, step, level in re.findall(r"(\w+)@(\d+)(?::(\w+))?", findings)]
    run = example(metrics, settings=settings)
    raised = re.match(r"\+(\w+) was raised to ([\d.]+) at step (\d+)", rise)
    if raised:
        run = replace(run, knobs=((int(raised[3]), raised[1], float(raised[2])),))
    argument = all_theories()[name].check(Case(run, {finding.code: finding for finding in told}, run))
    assert argument is not None
    return [f"{'-' if one.against else '+'}{one.text}" for one in argument.reasons]


@pytest.mark.parametrize(("name", "reason", "findings", "metrics", "settings"), REASONS)
def test_it_speaks_for_the_cause_or_against_it(name, reason, findings, metrics, settings):
    assert any(text.startswith(reason) for text in given(name, findings, metrics, settings, reason))


def test_every_reason_has_a_case():
    cases = Counter(name for name, *_ in REASONS)
    for theory in all_theories().values():
        written = re.findall(r"\b(?:supports|against)\(", inspect.getsource(inspect.getmodule(theory.check)))
        assert cases[theory.name] == len(written), theory.name
