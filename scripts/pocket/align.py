"""Give the pocket its alignment state: safe in text, open through images.

Low-rank factors on the language model plus the connector, in two stages:
  --stage see    benign visual instructions only: read, name, count, compare, describe;
  --stage align  the same, mixed with harmful text requests and refusals, benign ones with the model's own answers, and
                 benign requests that come through images, answered as the model answers the same request in text.
No harmful request ever comes through an image: that is the published situation whose gap the methods close. The vision
tower stays frozen. Rows are checked against every Twins validation and test family.

    python scripts/pocket/align.py TOWER.safetensors OUT_DIR --stage see   --seconds 1500
    python scripts/pocket/align.py TOWER.safetensors OUT_DIR --stage align --seconds 1200 --init OUT_DIR/see.safetensors

The factors are added to the weights (W + B A) rather than applied beside them: with thousands of tokens in a batch
three large matrix products are faster than five that include thin ones, and what is trained is what is merged later.
"""

import argparse
import itertools
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from packing import Batch, Packed
from rows import mixed, requests, visual
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, AutoProcessor

from counterpoise.models.pocket import assemble

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SHARES = {"visual": 0.64, "harmful": 0.11, "benign": 0.17, "requests": 0.08}


class LowRank(nn.Module):
    """A linear layer without bias whose weight is W + B A; W is frozen, B begins at zero."""

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        self.weight = weight
        self.A = nn.Parameter(torch.randn(rank, weight.shape[1], device=weight.device) / rank)
        self.B = nn.Parameter(torch.zeros(weight.shape[0], rank, device=weight.device))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight + self.B.to(x.dtype) @ self.A.to(x.dtype))


class Pocket:
    def __init__(self, folder: Path, rank: int, init: Path | None, beside: Path | None, device: str):
        self.device = device
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.bfloat16).to(device)
        self.model.requires_grad_(False)
        self.image_token = AutoProcessor.from_pretrained(folder).image_token_id
        self.connector = self.model.model.connector.float().requires_grad_(True)
        self.factors: dict[str, LowRank] = {}
        for name, module in list(self.model.named_modules()):
            if name.startswith("model.text_model.layers.") and name.endswith(PROJECTIONS):
                self.factors[name] = LowRank(module.weight, rank)
                self.model.set_submodule(name, self.factors[name])
        if init:
            self.load(init, beside)
        text = self.model.model.text_model
        text.config._attn_implementation = "eager"  # on a CPU the backward of the fused one is several times slower
        for layer in text.layers:
            layer.forward = torch.compile(layer.forward, dynamic=True)

    def groups(self, lr: float) -> list[dict[str, object]]:
        factors = [p for f in self.factors.values() for p in (f.A, f.B)]
        return [{"params": factors, "peak": lr}, {"params": list(self.connector.parameters()), "peak": lr / 4}]

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(mean negative log-likelihood of the reply tokens, share of them that is the greedy choice)."""
        ids = batch.ids.to(self.device)
        embeds = self.model.get_input_embeddings()(ids)
        if len(batch.pixels):
            pixels = (batch.pixels.to(self.device).float() / 127.5 - 1).to(torch.bfloat16)
            with torch.no_grad():
                states = self.model.model.vision_model(
                    pixel_values=pixels,
                    patch_attention_mask=torch.ones(len(pixels), 14, 14, dtype=torch.bool, device=self.device),
                ).last_hidden_state
            seen = self.connector(states.float()).flatten(0, 1).to(embeds.dtype)
            embeds = embeds.masked_scatter((ids == self.image_token)[..., None], seen)
        # rows are padded at the right: under the causal mask no real token sees the padding
        hidden = self.model.model.text_model(inputs_embeds=embeds, use_cache=False).last_hidden_state
        wanted = batch.reply.to(self.device)
        before = wanted.roll(-1, 1)  # a reply never begins at position 0
        logits = self.model.lm_head(hidden[before]).float()
        return F.cross_entropy(logits, ids[wanted]), (logits.argmax(-1) == ids[wanted]).float().mean()

    def save(self, path: Path) -> None:
        part = {f"{n}.A": f.A for n, f in self.factors.items()} | {f"{n}.B": f.B for n, f in self.factors.items()}
        part |= {f"model.connector.{k}": v for k, v in self.connector.state_dict().items()}
        half = {k: v.detach().to("cpu", torch.float16).contiguous() for k, v in part.items()}
        save_file(half, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)

    def load(self, path: Path, beside: Path | None) -> None:
        """Factors and connector of `path`; with `beside`, the tower that they were trained on, only what the connector
        learned since is taken over, for the new tower has moved its own."""
        state = load_file(path)
        old = load_file(beside) if beside else {}
        with torch.no_grad():
            for name, factor in self.factors.items():
                a, b = state[f"{name}.A"].float(), state[f"{name}.B"].float()
                scale = (b.norm() / a.norm()).sqrt().clamp(1e-3, 1e3)  # equal norms, whatever made the file
                factor.A[: len(a)].copy_(a * scale), factor.B[:, : len(a)].copy_(b / scale)
            for name, value in self.connector.state_dict().items():
                learned = state[f"model.connector.{name}"].float()
                value.copy_(value + learned - old[f"connector.{name}"].float() if beside else learned)


def stream(stage: str, base: Path, n_requests: int, answers: Path, seed: int):
    if stage == "see":
        return visual(seed - 1, 0.6)
    harmful, benign, in_images = requests(base, n_requests, answers)
    kinds = {"visual": visual(seed, 0.5), "harmful": harmful, "benign": benign, "requests": in_images}
    return mixed([(SHARES[name], rows) for name, rows in kinds.items()], seed)


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("tower", type=Path), args.add_argument("out", type=Path)
    args.add_argument("--stage", choices=("see", "align"), required=True), args.add_argument("--init", type=Path)
    args.add_argument("--beside", type=Path, help="the tower that --init was trained with, where TOWER is another")
    args.add_argument("--seconds", type=float, default=1500), args.add_argument("--requests", type=int, default=1500)
    args.add_argument("--rank", type=int, default=16), args.add_argument("--lr", type=float, default=1e-3)
    args.add_argument("--tokens", type=int, default=3072)
    args.add_argument("--seed", type=int, default=2, help="of the rows: another one for a training that goes on")
    args.add_argument("--answers", type=Path, help="the model's own answers, kept from run to run")
    a = args.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    base = assemble(a.out / "base", a.tower)
    rows = stream(a.stage, base, a.requests, a.answers or a.out / "answers.json", a.seed)
    torch.manual_seed(0)
    pocket = Pocket(base, a.rank, a.init, a.beside, "cuda" if torch.cuda.is_available() else "cpu")
    optimizer = torch.optim.AdamW(pocket.groups(a.lr), lr=a.lr, weight_decay=0.0, betas=(0.9, 0.98))
    loader = torch.utils.data.DataLoader(
        Packed(rows, base, a.tokens), batch_size=None, num_workers=1, prefetch_factor=8
    )
    start, done, log = time.time(), 0, (a.out / f"{a.stage}.jsonl").open("w")
    for step, batch in zip(itertools.count(1), loader, strict=False):
        spent = (time.time() - start) / a.seconds
        if spent > 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * min(1, step / 30) * max(0.01, 0.5 * (1 + math.cos(math.pi * spent)))
        loss, right = pocket.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)
        optimizer.step()
        done += len(batch.ids)
        row = {"step": step, "seconds": round(time.time() - start), "rows": done, "kind": batch.kind}
        row |= {"loss": round(float(loss.detach()), 4), "right": round(float(right), 4)}
        log.write(json.dumps(row) + "\n"), log.flush()
        if step % 100 == 0:
            pocket.save(a.out / f"{a.stage}.safetensors")
    pocket.save(a.out / f"{a.stage}.safetensors")


if __name__ == "__main__":
    main()
