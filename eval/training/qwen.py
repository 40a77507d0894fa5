"""Qwen2 read from a GGUF file into plain torch, so that a small adapter can be trained for the end of a prompt.

The beginning of a prompt (the passages) is read once: its keys and values do not change, and nothing is learnt there.
Sequences of several lengths are packed into the rows of one matrix; only attention looks at each by itself.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from gguf import GGUFReader, dequantize

MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")

Cache = list[tuple[torch.Tensor, torch.Tensor]]  # keys and values of each sequence, (tokens, heads, head size)
Lora = dict[tuple[int, str], tuple[torch.Tensor, torch.Tensor]]  # (layer, matrix) -> A (rank, in), B (out, rank)


class Qwen:
    """The weights as bfloat16, what passes between the layers as float32. `scale`: of the adapter's part."""

    def __init__(self, path: Path, scale: float) -> None:
        reader = GGUFReader(path)
        tensors = {tensor.name: tensor for tensor in reader.tensors}

        def number(key: str) -> float:
            return float(reader.fields[f"qwen2.{key}"].contents())

        def weights(name: str, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
            tensor = tensors[name]
            values = torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type)))
            return values.to(torch.get_default_device(), dtype)

        self.scale = scale
        self.layers = int(number("block_count"))
        self.heads, self.kv_heads = int(number("attention.head_count")), int(number("attention.head_count_kv"))
        self.head_size = int(number("embedding_length")) // self.heads
        self.epsilon, self.theta = number("attention.layer_norm_rms_epsilon"), number("rope.freq_base")
        self.embeddings = weights("token_embd.weight")
        self.head = weights("output.weight") if "output.weight" in tensors else self.embeddings
        self.norm = weights("output_norm.weight", torch.float32)
        self.blocks = [
            {kind: weights(f"blk.{i}.{kind}.weight") for kind in MATRICES}
            | {f"{kind}.bias": weights(f"blk.{i}.{kind}.bias", torch.float32) for kind in MATRICES[:3]}
            | {kind: weights(f"blk.{i}.{kind}.weight", torch.float32) for kind in ("attn_norm", "ffn_norm")}
            for i in range(self.layers)
        ]

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.embeddings[tokens].float()

    def layer(
        self,
        i: int,
        x: torch.Tensor,
        positions: torch.Tensor,
        lengths: Sequence[int],
        past: Sequence[tuple[torch.Tensor, torch.Tensor]] = (),
        lora: Lora | None = None,
    ) -> tuple[torch.Tensor, Cache]:
        """x (rows, width) of sequences of `lengths` after layer i, and their keys and values; they also attend to `past`."""
        h = self._normal(x, self.blocks[i]["attn_norm"])
        queries = self._turned(self._times(i, "attn_q", h, lora).view(-1, self.heads, self.head_size), positions)
        keys, values = self.keys_and_values(i, x, positions, lora)
        said, cache, at = [], [], 0
        for j, n in enumerate(lengths):
            q, k, v = queries[at : at + n], keys[at : at + n], values[at : at + n]
            at += n
            cache.append((k.to(torch.bfloat16), v.to(torch.bfloat16)))
            if past:
                k, v = torch.cat([past[j][0].float(), k]), torch.cat([past[j][1].float(), v])
            seen = torch.ones(n, len(k), dtype=torch.bool).tril(len(k) - n)
            k, v = (part.transpose(0, 1).repeat_interleave(self.heads // self.kv_heads, 0) for part in (k, v))
            out = F.scaled_dot_product_attention(q.transpose(0, 1)[None], k[None], v[None], attn_mask=seen)
            said.append(out[0].transpose(0, 1).reshape(n, -1))
        x = x + self._times(i, "attn_output", torch.cat(said), lora)
        h = self._normal(x, self.blocks[i]["ffn_norm"])
        gated = F.silu(self._times(i, "ffn_gate", h, lora)) * self._times(i, "ffn_up", h, lora)
        return x + self._times(i, "ffn_down", gated, lora), cache

    def keys_and_values(
        self, i: int, x: torch.Tensor, positions: torch.Tensor, lora: Lora | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(rows, heads, head size) of what comes into layer i."""
        h = self._normal(x, self.blocks[i]["attn_norm"])
        keys, values = (
            self._times(i, kind, h, lora).view(-1, self.kv_heads, self.head_size) for kind in ("attn_k", "attn_v")
        )
        return self._turned(keys, positions), values

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        return (self._normal(x, self.norm).to(torch.bfloat16) @ self.head.T).float()

    def _normal(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon) * weight

    def _turned(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Rotary positions (Su et al., 2021), the halves of a head as pairs."""
        frequency = self.theta ** (-torch.arange(0, self.head_size, 2).float() / self.head_size)
        angle = (positions.float()[:, None] * frequency).repeat(1, 2)[:, None]
        first, second = x.chunk(2, -1)
        return x * angle.cos() + torch.cat([-second, first], -1) * angle.sin()

    def _times(self, i: int, kind: str, x: torch.Tensor, lora: Lora | None) -> torch.Tensor:
        y = (x.to(torch.bfloat16) @ self.blocks[i][kind].T).float()
        bias = self.blocks[i].get(f"{kind}.bias")
        if bias is not None:
            y = y + bias
        if lora is not None and (i, kind) in lora:
            a, b = lora[i, kind]
            y = y + (x @ a.T) @ b.T * self.scale
        return y
