"""CFG012: the framework passes over a setting, or does something else with it, and does not say so."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Severity
from diagnostics.rule import Told, lint


@lint(
    "CFG012",
    Severity.WARNING,
    needs=["oversight"],
    fires=[
        {"oversight": "kl_loss_coef is 0.001, and nothing reads it", "remedy": "set use_kl_loss=True, or leave it out"},
    ],
    quiet=[
        {"oversight": ""},
        {"oversight": "", "remedy": "nothing"},
    ],
    ahead=True,
)
def overlooked_setting(settings: Mapping[str, Any]) -> Iterator[Told]:
    """The framework goes on with these settings, and does something else than they seem to say.

    ## Meaning
    Of verl: a KL coefficient is given, and the switch of that penalty is left at its default, off; both penalties are
    on, so that the KL is counted twice; the KL in the loss is estimated by k1; mini-batches do not divide the batch, or
    micro-batches the mini-batch. Of OpenRLHF: the KL in the loss by k1; a rollout that does not fill a training batch,
    or leaves a rest of one. Of TRL: a warm-up as long as the run. Of
    shell scripts: arguments that a comment or an empty line cuts off from their command.

    ## Why it matters
    The run goes on and its numbers look usual, but it is not the experiment that was meant: without the penalty, with
    twice the penalty, or with gradients of several policies in one step.

    ## Look at
    Whether a KL is logged at all; how many optimizer steps a rollout gets.

    ## What to change
    What the finding says.

    ## When this is wrong
    Where it is meant: accumulating over several rollouts, or a coefficient that is kept for later.

    ## References
    - verl 0.9.1, trainer/config/ppo_trainer.yaml: `use_kl_loss` and `use_kl_in_reward` are off by default; since 0.4
      the coefficient of the reward counts only with its switch.
    - Tang & Munos 2025, On a few pitfalls in KL divergence gradient estimation for RL (arXiv 2506.09477): the gradient
      of k1 is zero on average; OpenRLHF recommends k2 or k3 in the loss.
    """
    if settings["oversight"]:
        remedy = settings.get("remedy")
        yield Told(settings["oversight"], 0, (), advice=(f"{remedy[0].upper()}{remedy[1:]}.",) if remedy else ())
