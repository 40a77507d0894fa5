import json
import math
from pathlib import Path

import gguf
import torch

from eval.training.adapter import (
    Encoded,
    Example,
    is_watched,
    read_adapter,
    read_prompts,
    right,
    told_apart,
    write_adapter,
)
from rag.models.weights import ADAPTER

YES = Example("0-0-own", "mills", (1, 2), (3,), True)
NO = Example("0-1-own", "mills", (1, 2), (4,), False)


def test_prompts_are_read_as_they_were_written(tmp_path: Path) -> None:
    row = {"id": "0-0-own", "family": "mills", "prefix": [1, 2], "suffix": [3], "answerable": True}
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"invocation": [3], "yes": 7, "no": 8, "examples": [row]}))
    found = read_prompts(path)
    assert (found.yes, found.no, list(found.invocation)) == (7, 8, [3])
    assert (found.examples[0].family, list(found.examples[0].prefix), found.examples[0].answerable) == (
        "mills",
        [1, 2],
        True,
    )


def test_about_a_tenth_of_the_families_is_watched_only() -> None:
    watched = sum(is_watched(f"family-{n}") for n in range(1000))
    assert 70 < watched < 130


def test_right_is_the_share_on_the_right_side_of_even_odds() -> None:
    nothing = torch.zeros(0)
    encoded = [Encoded(YES, nothing, []), Encoded(NO, nothing, []), Encoded(NO, nothing, []), Encoded(YES, nothing, [])]
    assert right(encoded, [1.5, -2.0, 0.5, 3.0]) == 0.75


def test_told_apart_is_the_share_of_pairs_in_the_right_order() -> None:
    nothing = torch.zeros(0)
    encoded = [Encoded(YES, nothing, []), Encoded(NO, nothing, []), Encoded(NO, nothing, []), Encoded(YES, nothing, [])]
    assert told_apart(encoded, [1.5, -2.0, 0.5, 0.0]) == 0.75
    assert math.isnan(told_apart(encoded[:1], [1.5]))


def test_an_adapter_is_written_as_the_engine_reads_it(tmp_path: Path) -> None:
    write_adapter({(3, "attn_q"): (torch.ones(4, 8), torch.zeros(6, 4))}, [5, 6], tmp_path / "a.gguf")
    reader = gguf.GGUFReader(tmp_path / "a.gguf")
    assert reader.fields["adapter.alora.invocation_tokens"].contents() == [5, 6]
    assert reader.fields["adapter.lora.alpha"].contents() == 4.0
    assert {t.name: tuple(t.data.shape) for t in reader.tensors} == {
        "blk.3.attn_q.weight.lora_a": (4, 8),
        "blk.3.attn_q.weight.lora_b": (6, 4),
    }


def test_an_adapter_is_read_back_as_it_was_trained(tmp_path: Path) -> None:
    a, b = torch.full((4, 8), 0.5), torch.full((6, 4), -2.0)
    write_adapter({(3, "attn_q"): (a, b)}, [5, 6], tmp_path / "a.gguf")
    found = read_adapter(tmp_path / "a.gguf")
    assert list(found) == [(3, "attn_q")]
    assert torch.equal(found[3, "attn_q"][0], a) and torch.equal(found[3, "attn_q"][1], b)
    assert all(part.requires_grad for part in found[3, "attn_q"])


def test_the_adapter_that_ships_is_one_for_the_upper_half_of_the_model() -> None:
    reader = gguf.GGUFReader(ADAPTER)
    assert reader.fields["adapter.type"].contents() == "lora"
    layers = {int(t.name.split(".")[1]) for t in reader.tensors}
    assert layers == set(range(14, 28))
    assert ADAPTER.stat().st_size < 10_000_000
