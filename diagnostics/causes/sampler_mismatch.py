"""The engine that samples is not the policy that is trained."""

from diagnostics.reasoning import Argument, Case, Weight, cause, supports

MISMATCH = "OFF001"


@cause(
    "The sampler is not the policy that is trained",
    signs=(MISMATCH,),
    leads_to=("KL001", "KL002", "UPD001", "UPD004", "GRD001", "RWD002", "RWD003", "ENT001", "ENT002"),
    settled_by=("sampler_logprob_diff_mean", "completion_length_mean"),
)
def sampler_mismatch(case: Case) -> Argument | None:
    """The engine that samples gives other probabilities to the same tokens than the trainer.

    ## What it is
    Another precision, stale weights, other kernels or another chat template in the engine: the samples then come from a
    policy that is not the one whose gradient is taken, and the bias grows with the length of completions.

    ## What speaks for it
    The log-probabilities of the two differ beyond what rounding explains, before the reward falls.

    ## What speaks against it
    The difference came after the policy had already broken.

    ## What to change
    Correct by importance weights, the same precision in both, weights that are in step.
    """
    if not case.loud(MISMATCH):
        return None
    reasons = [supports(Weight.STRONG, "the engine that samples and the trainer disagree on the same tokens")]
    onset, lost = case.onset(MISMATCH), case.onset("RWD002", "RWD003", "KL002", "GRD001", "ENT001", "ENT002")
    if onset is not None and lost is not None and onset <= lost:
        reasons.append(supports(Weight.STRONG, f"they did from step {onset} on, before anything else went wrong"))
    advice = (
        "use the same precision in both, see that weights are synchronised before sampling, and correct what is left "
        "by truncated importance weights"
    )
    return Argument(reasons, None, advice)
