"""Trains the adapter from the prompts: `python -m eval.training.adapter PROMPTS`.

Only the end of a prompt is trained, from generation.ASKS_WHETHER on (an activated LoRA: Greenewald et al., 2025, arXiv 2504.12397),
and only the upper half of the layers; so each prompt is encoded once, and an epoch costs seconds. On a GPU where there is one
(20 GB for the prompts of eval/data/answerable.jsonl, five minutes on an H200).
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from random import Random
from typing import Annotated

import gguf
import torch
import typer

from eval.metrics import auroc
from eval.training.qwen import MATRICES, Cache, Lora, Qwen

FIRST_LAYER, RANK, SCALE = 14, 4, 2.0
RATE, EPOCHS, BATCH, WARM_UP, PACK = 4e-4, 2, 16, 20, 16
STRENGTH = 0.5  # of what was learnt: half way to the trained model does best on other people's questions (WiSE-FT: Wortsman et al., 2022)
WATCHED = 10  # one family in so many is not trained on, to see how it goes


@dataclass(frozen=True, slots=True)
class Example:
    """The tokens of a prompt: `prefix` as the model reads it without the adapter, `suffix` with it."""

    id: str
    family: str
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    answerable: bool


@dataclass(frozen=True, slots=True)
class Prompts:
    """`invocation`: the tokens that wake the adapter; `yes`, `no`: those that it is to say next."""

    invocation: tuple[int, ...]
    yes: int
    no: int
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """`x`: the suffix as it comes into FIRST_LAYER; `past`: keys and values of the prefix in each layer from there on."""

    example: Example
    x: torch.Tensor
    past: Cache


def read_prompts(path: Path) -> Prompts:
    found = json.loads(path.read_text(encoding="utf-8"))
    examples = (Example(**e | {part: tuple(e[part]) for part in ("prefix", "suffix")}) for e in found["examples"])
    return Prompts(**found | {"examples": tuple(examples)})


def is_watched(family: str) -> bool:
    return int(hashlib.sha256(family.encode()).hexdigest(), 16) % WATCHED == 0


def encode(model: Qwen, examples: Sequence[Example]) -> list[Encoded]:
    """PACK beginnings at a time. What all have in common is read once, and a prefix once for all that have it."""
    columns = zip(*(e.prefix[:-1] for e in examples), strict=False)
    common = sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, columns))
    groups: dict[tuple[int, ...], list[Example]] = {}
    for example in examples:
        groups.setdefault(example.prefix[common:], []).append(example)
    beginning = _read(model, [examples[0].prefix[:common]], []) if common else []
    rests = list(groups.items())
    packs = (dict(rests[at : at + PACK]) for at in range(0, len(rests), PACK))
    return [e for pack in packs for e in _encode(model, beginning, pack)]


@torch.no_grad()
def _encode(model: Qwen, beginning: list[Cache], groups: dict[tuple[int, ...], list[Example]]) -> list[Encoded]:
    """`groups`: the examples of each rest of a prefix behind the one `beginning` of all, if they have one."""
    pasts = _read(model, list(groups), beginning * len(groups))
    examples = [e for group in groups.values() for e in group]
    mine = [past for group, past in zip(groups.values(), pasts, strict=True) for _ in group]
    lengths = [len(e.suffix) for e in examples]
    x = model.embed(torch.tensor([token for e in examples for token in e.suffix]))
    positions = torch.cat([torch.arange(len(e.prefix), len(e.prefix) + len(e.suffix)) for e in examples])
    for i in range(FIRST_LAYER):
        x, _ = model.layer(i, x, positions, lengths, [past[i] for past in mine])
    parts = x.to(torch.bfloat16).split(lengths)  # type: ignore[no-untyped-call]
    return [Encoded(e, part, past[FIRST_LAYER:]) for e, part, past in zip(examples, parts, mine, strict=True)]


@torch.no_grad()
def _read(model: Qwen, sequences: Sequence[Sequence[int]], pasts: Sequence[Cache]) -> list[Cache]:
    """Keys and values of each sequence, and of its past before it, in every layer."""
    lengths = [len(s) for s in sequences]
    x = model.embed(torch.tensor([token for s in sequences for token in s]))
    begins = [len(past[0][0]) for past in pasts] or [0] * len(lengths)
    positions = torch.cat([torch.arange(b, b + n) for b, n in zip(begins, lengths, strict=True)])
    found: list[Cache] = [[] for _ in sequences]
    for i in range(model.layers):
        past = [p[i] for p in pasts]
        if i < model.layers - 1:
            x, cache = model.layer(i, x, positions, lengths, past)
        else:  # of the last layer only keys and values are wanted
            both = [part.to(torch.bfloat16).split(lengths) for part in model.keys_and_values(i, x, positions)]  # type: ignore[no-untyped-call]
            cache = list(zip(*both, strict=True))
        for j, (keys, values) in enumerate(cache):
            if past:
                keys, values = torch.cat([past[j][0], keys]), torch.cat([past[j][1], values])
            found[j].append((keys, values))
    return found


def last_logits(model: Qwen, batch: Sequence[Encoded], lora: Lora | None) -> torch.Tensor:
    """(examples, vocabulary) behind the last token of each."""
    lengths = [len(e.x) for e in batch]
    begins = [len(e.example.prefix) for e in batch]
    positions = torch.cat([torch.arange(b, b + n) for b, n in zip(begins, lengths, strict=True)])
    x = torch.cat([e.x for e in batch]).float()
    for i in range(FIRST_LAYER, model.layers):
        x, _ = model.layer(i, x, positions, lengths, [e.past[i - FIRST_LAYER] for e in batch], lora)
    return model.logits(x[torch.tensor(lengths).cumsum(0) - 1])


@torch.no_grad()
def surer(model: Qwen, encoded: Sequence[Encoded], lora: Lora | None, prompts: Prompts) -> list[float]:
    """How much likelier yes is than no after each, as a difference of logits."""
    found: list[float] = []
    for at in range(0, len(encoded), BATCH):
        logits = last_logits(model, encoded[at : at + BATCH], lora)
        found += (logits[:, prompts.yes] - logits[:, prompts.no]).tolist()
    return found


def new_adapter(model: Qwen) -> Lora:
    """One that changes nothing yet: B is zero."""
    lora: Lora = {}
    for i in range(FIRST_LAYER, model.layers):
        for kind in MATRICES:
            out, wide = model.blocks[i][kind].shape
            a = torch.randn(RANK, wide) / math.sqrt(wide)
            lora[i, kind] = (a.requires_grad_(), torch.zeros(out, RANK).requires_grad_())
    return lora


def read_adapter(path: Path) -> Lora:
    """One that `write_adapter` wrote, to be trained further."""
    found = {t.name: torch.tensor(t.data, dtype=torch.float32).requires_grad_() for t in gguf.GGUFReader(path).tensors}
    names = [name.removesuffix(".weight.lora_a") for name in found if name.endswith("lora_a")]
    placed = [(name, *name.split(".")[1:]) for name in names]
    return {(int(i), kind): (found[f"{n}.weight.lora_a"], found[f"{n}.weight.lora_b"]) for n, i, kind in placed}


def train(
    model: Qwen,
    encoded: Sequence[Encoded],
    prompts: Prompts,
    lora: Lora,
    after_epoch: Callable[[int, Lora], None],
    *,
    rate: float = RATE,
    epochs: int = EPOCHS,
    batch_size: int = BATCH,
) -> Lora:
    """Adam over the cross-entropy of the next word; the rate warms up, then falls along a cosine."""
    parameters = [part for pair in lora.values() for part in pair]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    steps, step = math.ceil(len(encoded) / batch_size) * epochs, 0
    for epoch in range(epochs):
        order = list(range(len(encoded)))
        Random(epoch).shuffle(order)
        for at in range(0, len(order), batch_size):
            batch = [encoded[i] for i in order[at : at + batch_size]]
            wanted = torch.tensor([prompts.yes if e.example.answerable else prompts.no for e in batch])
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / steps)) / 2
            loss = torch.nn.functional.cross_entropy(last_logits(model, batch, lora), wanted)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
        after_epoch(epoch, lora)
    return lora


def right(examples: Sequence[Encoded], surer: Sequence[float]) -> float:
    """Share of the examples on the right side of even odds."""
    return sum((s > 0) == e.example.answerable for e, s in zip(examples, surer, strict=True)) / max(1, len(surer))


def told_apart(examples: Sequence[Encoded], surer: Sequence[float]) -> float:
    """Area under the curve; nan where all are of one kind."""
    sides = (
        [s for e, s in zip(examples, surer, strict=True) if e.example.answerable is side] for side in (True, False)
    )
    value = auroc(*sides).value
    return math.nan if value is None else value


def write_adapter(lora: Lora, invocation: Sequence[int], path: Path) -> None:
    """As llama.cpp reads it."""
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", RANK * SCALE * STRENGTH)
    kinds = gguf.GGUFValueType
    writer.add_key_value("adapter.alora.invocation_tokens", list(invocation), kinds.ARRAY, sub_type=kinds.UINT32)
    for (i, kind), pair in lora.items():
        for name, part in zip("ab", pair, strict=True):
            writer.add_tensor(f"blk.{i}.{kind}.weight.lora_{name}", part.detach().cpu().to(torch.float16).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main(
    prompts: Annotated[Path, typer.Argument(help="What `python -m eval.training.prompts` wrote.")],
    model: Annotated[Path, typer.Argument(help="The local model's weights, a .gguf file (`rag weights` says where).")],
    out: Annotated[Path, typer.Argument(help="Where the adapter goes, a .gguf file.")],
    start: Annotated[Path | None, typer.Option(help="An adapter to train further instead of a new one.")] = None,
    rate: Annotated[float, typer.Option(help="The highest learning rate.")] = RATE,
) -> None:
    """Train the check."""
    started = time.monotonic()

    def say(text: str) -> None:
        typer.echo(f"{time.monotonic() - started:6.0f} s  {text}")

    torch.manual_seed(0)
    torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
    found = read_prompts(prompts)
    qwen = Qwen(model, SCALE)
    watched, others = (
        encode(qwen, [e for e in found.examples if is_watched(e.family) is side]) for side in (True, False)
    )
    say(f"{len(others)} prompts to train on, {len(watched)} to watch")

    def after_epoch(epoch: int, lora: Lora) -> None:
        both = ((name, some, surer(qwen, some, lora, found)) for name, some in (("train", others), ("watch", watched)))
        told = (
            f"{name} right {right(some, sure):.3f}, AUROC {told_apart(some, sure):.3f}" for name, some, sure in both
        )
        say(f"epoch {epoch + 1} of {EPOCHS}: {'; '.join(told)}")

    lora = read_adapter(start) if start else new_adapter(qwen)
    after_epoch(-1, lora)
    write_adapter(train(qwen, others, found, lora, after_epoch, rate=rate), found.invocation, out)
    say(f"written: {out}")


if __name__ == "__main__":
    typer.run(main)
