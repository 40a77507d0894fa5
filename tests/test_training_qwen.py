from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from eval.training import adapter
from eval.training.adapter import Example
from eval.training.qwen import Qwen

WIDTH, HIDDEN, HEADS, KV_HEADS, LAYERS, WORDS = 32, 48, 4, 2, 2, 11


@pytest.fixture
def model(tmp_path: Path) -> Qwen:
    """Two small layers of chance."""
    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    random = np.random.default_rng(0)
    narrow = WIDTH // HEADS * KV_HEADS
    shapes = {"attn_q": (WIDTH, WIDTH), "attn_k": (narrow, WIDTH), "attn_v": (narrow, WIDTH)}
    shapes |= {"attn_output": (WIDTH, WIDTH), "ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH)}
    shapes |= {"ffn_down": (WIDTH, HIDDEN)}
    tensors = {"token_embd.weight": (WORDS, WIDTH), "output_norm.weight": (WIDTH,)}
    for i in range(LAYERS):
        tensors |= {f"blk.{i}.{kind}.weight": shape for kind, shape in shapes.items()}
        tensors |= {f"blk.{i}.{kind}.bias": shapes[kind][:1] for kind in ("attn_q", "attn_k", "attn_v")}
        tensors |= {f"blk.{i}.{kind}.weight": (WIDTH,) for kind in ("attn_norm", "ffn_norm")}
    for name, shape in tensors.items():
        writer.add_tensor(name, random.standard_normal(shape, dtype=np.float32) / 4)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Qwen(path, scale=2.0)


def whole(model: Qwen, tokens: list[int]) -> torch.Tensor:
    x, positions = model.embed(torch.tensor(tokens)), torch.arange(len(tokens))
    for i in range(model.layers):
        x, _ = model.layer(i, x, positions, [len(tokens)])
    return model.logits(x)


def test_a_word_looks_only_at_those_before_it(model: Qwen) -> None:
    assert torch.allclose(whole(model, [1, 2, 3, 4])[:2], whole(model, [1, 2, 9, 8])[:2], atol=1e-2)
    assert not torch.allclose(whole(model, [1, 2, 3])[2], whole(model, [2, 1, 3])[2], atol=1e-2)


def test_packed_sequences_do_not_see_each_other(model: Qwen) -> None:
    x = model.embed(torch.tensor([1, 2, 3, 7, 5]))
    positions = torch.tensor([0, 1, 2, 0, 1])
    for i in range(model.layers):
        x, _ = model.layer(i, x, positions, [3, 2])
    both = model.logits(x)
    assert torch.allclose(both[:3], whole(model, [1, 2, 3]), atol=2e-2)
    assert torch.allclose(both[3:], whole(model, [7, 5]), atol=2e-2)


def test_a_suffix_behind_a_kept_prefix_is_as_in_the_whole(model: Qwen) -> None:
    prefix, suffix = [1, 2, 3], [4, 5]
    x, y = model.embed(torch.tensor(prefix)), model.embed(torch.tensor(suffix))
    for i in range(model.layers):
        keys, values = model.keys_and_values(i, x, torch.arange(3))
        x, cache = model.layer(i, x, torch.arange(3), [3])
        assert torch.equal(cache[0][0], keys.to(torch.bfloat16)) and torch.equal(cache[0][1], values.to(torch.bfloat16))
        y, _ = model.layer(i, y, torch.arange(3, 5), [2], past=cache)
    assert torch.allclose(model.logits(y), whole(model, prefix + suffix)[3:], atol=2e-2)


def test_an_adapter_adds_its_product_and_one_of_zeros_nothing(model: Qwen) -> None:
    x = model.embed(torch.tensor([1, 2]))
    a, b = torch.ones(1, WIDTH), torch.ones(WIDTH, 1)
    plain, _ = model.layer(0, x, torch.arange(2), [2])
    nothing, _ = model.layer(0, x, torch.arange(2), [2], lora={(0, "attn_output"): (a, 0 * b)})
    more, _ = model.layer(0, x, torch.arange(2), [2], lora={(0, "attn_output"): (a, b)})
    assert torch.equal(plain, nothing)
    assert not torch.allclose(plain, more, atol=0.1)


def test_beginnings_that_prompts_share_are_read_once_and_each_ends_as_if_alone(
    model: Qwen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "FIRST_LAYER", 1)
    monkeypatch.setattr(adapter, "PACK", 2)
    prefixes = [(1, 2, 3), (1, 2, 3), (1, 2, 4, 5), (1, 2, 6)]
    examples = [Example(f"{n}", "mills", prefix, (7, n), True) for n, prefix in enumerate(prefixes)]
    encoded = adapter.encode(model, examples)
    assert {e.example for e in encoded} == set(examples)
    for e, logits in zip(encoded, adapter.last_logits(model, encoded, None), strict=True):
        assert torch.allclose(logits, whole(model, [*e.example.prefix, *e.example.suffix])[-1], atol=3e-2)
    assert encoded[0].past[0][0] is encoded[1].past[0][0]
