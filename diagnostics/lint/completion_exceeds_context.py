"""CFG016: the sampler has no room for a prompt and a completion of the length that is asked for."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Safety, Set, Severity
from diagnostics.rule import Told, lint


@lint(
    "CFG016",
    Severity.WARNING,
    needs=["max_completion_length", "context_length"],
    fires=[
        {"max_completion_length": 2048, "context_length": 2048},
        {"max_completion_length": 2048, "max_prompt_length": 1024, "context_length": 2560},
    ],
    quiet=[
        {"max_completion_length": 2048, "max_prompt_length": 1024, "context_length": 3072},
        {"max_completion_length": 2048, "context_length": 2304},  # how long prompts are is not said
    ],
)
def completion_exceeds_context(settings: Mapping[str, Any]) -> Iterator[Told]:
    """Prompt and completion together are longer than the sampler's context.

    ## Meaning
    `max_completion_length`, with `max_prompt_length` where that is set, is more than `context_length`, what the engine
    that samples was given; or leaves no token for the prompt.

    ## Why it matters
    The engine cuts completions where its context ends, before the length that the trainer counts as cut: they look as
    if they had ended by themselves, without an end and mostly without a reward. Longer prompts are refused.

    ## Look at
    How long prompts are; the longest completions of the first steps.

    ## What to change
    The engine's context to at least prompt and completion together; or shorter completions.

    ## When this is wrong
    Prompts that are all far shorter than their limit.

    ## References
    - vLLM: `max_tokens` is bounded by `max_model_len` less the prompt. TRL: `vllm_max_model_length`; verl:
      `actor_rollout_ref.rollout.max_model_len`, by default the sum of both lengths.
    """
    completion, context = int(settings["max_completion_length"]), int(settings["context_length"])
    prompt = int(settings.get("max_prompt_length") or 0)
    if completion + max(prompt, 1) > context:
        with_prompt = f" and a prompt of up to {prompt}" if prompt else ""
        room = max(1, context - prompt)
        because = "completions end by themselves or at the length that the trainer knows"
        yield Told(
            f"a completion of up to {completion} tokens{with_prompt} does not fit a context of {context}",
            0,
            (Evidence("context_length", 0, 0, "tokens", context, completion + max(prompt, 1)),),
            (
                Prescription(
                    "max_completion_length",
                    Set(room),
                    Hypothesis("truncated_share", Direction.DOWN, 0.0, 1.0, because),
                    Safety.ADVICE,
                ),
            )
            if room >= completion // 2
            else (),
            advice=(f"Give the engine a context of at least {completion + max(prompt, 1)} tokens.",),
        )
