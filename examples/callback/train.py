"""GRPO on a task made on the spot: say the colour that the prompt names three times.

Nothing is downloaded, and a CPU is enough.

    python train.py                  # learns
    python train.py --lr 0.1         # does not, says why, and stops

What makes it an example of Autotune is the import and the argument `callbacks`.
"""

import argparse
import itertools
import random
from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, set_seed
from trl import GRPOConfig, GRPOTrainer

from trainers.callback import AutotuneCallback

COLOURS = ["red", "green", "blue", "black", "white", "pink", "grey", "brown"]
NAMES = ["ann", "bob", "eve", "ian", "kim", "lee", "may", "ned", "pat", "ron", "sue", "tom"]
MANNERS = ["please", "now", "again"]
WORDS = ["<pad>", "<end>", "say", *COLOURS, *NAMES, *MANNERS]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with a token for each word."""
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<end>",
        unk_token="<pad>",
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
    )


def make_prompts() -> list[dict[str, str]]:
    """Prompts such as "please ann say blue", all that there are, in random order."""
    rows = [
        {"prompt": f"{manner} {name} say {colour}", "colour": colour}
        for manner, name, colour in itertools.product(MANNERS, NAMES, COLOURS)
    ]
    random.shuffle(rows)
    return rows


def make_model(tokenizer: PreTrainedTokenizerFast, prompts: list[dict[str, str]]) -> Qwen2ForCausalLM:
    """A Qwen2 of 80,000 parameters that has learned to answer with three colours, and sometimes with the right one."""
    config = Qwen2Config(
        vocab_size=len(WORDS),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,  # so that to repeat a word is easy
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = Qwen2ForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        rows = random.sample(prompts, 32)
        answers = [" ".join(random.choice([row["colour"], *COLOURS[:4]]) for _ in range(3)) for row in rows]
        texts = [f"{row['prompt']} {answer} <end>" for row, answer in zip(rows, answers, strict=True)]
        ids = tokenizer(texts, return_tensors="pt").input_ids
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def right_colour(completions: list[str], colour: list[str], **_) -> list[float]:
    """The share of a completion's words that are the colour asked for: from 0 to 1."""
    shares = []
    for completion, wanted in zip(completions, colour, strict=True):
        words = completion.split()
        shares.append(words.count(wanted) / max(3, len(words)))
    return shares


def main() -> None:
    """Train, and evaluate every ten steps on prompts that are held out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate (default 1e-3)")
    parser.add_argument("--beta", type=float, default=0.02, help="weight of the KL penalty (default 0.02)")
    parser.add_argument("--iterations", type=int, default=1, help="updates on each batch of completions (default 1)")
    parser.add_argument("--temperature", type=float, default=1.0, help="of sampling (default 1.0)")
    parser.add_argument("--generations", type=int, default=8, help="completions of each prompt (default 8)")
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps (default 60)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, prompts and sampling (default 0)")
    parser.add_argument("--output", default="colours", help="folder for checkpoints (default colours)")
    arguments = parser.parse_args()

    torch.set_num_threads(1)  # more threads only get in each other's way at this size
    set_seed(arguments.seed)
    start = Path(arguments.output) / "start"
    prompts, tokenizer = make_prompts(), make_tokenizer()
    make_model(tokenizer, prompts).save_pretrained(start)
    trainer = GRPOTrainer(
        model=str(start),  # and the reference model of the KL penalty
        reward_funcs=right_colour,
        args=GRPOConfig(
            output_dir=arguments.output,
            learning_rate=arguments.lr,
            beta=arguments.beta,
            num_iterations=arguments.iterations,
            temperature=arguments.temperature,
            num_generations=arguments.generations,
            per_device_train_batch_size=64,
            max_completion_length=6,
            max_steps=arguments.steps,
            lr_scheduler_type="constant",
            logging_steps=1,
            eval_strategy="steps",
            eval_steps=10,
            per_device_eval_batch_size=256,
            save_strategy="no",
            report_to="none",
            bf16=False,
            use_cpu=True,
            seed=arguments.seed,
        ),
        train_dataset=Dataset.from_list(prompts[32:]),
        eval_dataset=Dataset.from_list(prompts[:32]),
        processing_class=tokenizer,
        callbacks=[AutotuneCallback(stop_on="fatal", reward_bounds=(0.0, 1.0))],
    )
    trainer.train()


if __name__ == "__main__":
    main()
