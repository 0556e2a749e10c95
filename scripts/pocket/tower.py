"""Train the pocket's vision tower to read print and to name icons, without the language model in the loop.

Every image token is classified into the token of the word printed (or the icon drawn) at its centre, by cosine to
the language model's own input embeddings; a head on the middle layer classifies the character under every patch.
Runs on a CPU (hours) or a GPU (minutes), writes a checkpoint every two minutes and continues from it.

    python scripts/pocket/tower.py LM_DIR OUT_DIR [--init TOWER.safetensors] [--seconds 5400]
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from pages import Renderer
from safetensors.torch import load_file, save_file
from sheet import CHARACTERS, Page
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, SmolVLMConfig, SmolVLMForConditionalGeneration

from counterpoise.data import lexicon

VISION = {
    "hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 6,
    "num_attention_heads": 3, "image_size": 224, "patch_size": 16,
}  # fmt: skip
MIDDLE = 2  # the character head reads the output of this layer
SCALE = 30.0


class Pages(torch.utils.data.IterableDataset):
    def __init__(self, words: list[str], index: dict[str, int], seed: int):
        self.words, self.index, self.seed = words, index, seed

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        torch.set_num_threads(1)
        renderer = Renderer(self.words, self.index, self.seed * 1000 + (worker.id if worker else 0))
        while True:
            yield as_tensors(renderer.any_page())


def as_tensors(page: Page) -> tuple[Tensor, Tensor, Tensor]:
    return torch.from_numpy(page.image.copy()), torch.from_numpy(page.word), torch.from_numpy(page.char)


def classes(lm: str) -> tuple[list[str], dict[str, int], Tensor]:
    """Words, word -> class index (0 is blank: a newline), and the language model's embedding of each class."""
    tokenizer = AutoTokenizer.from_pretrained(lm)
    embedding = AutoModelForCausalLM.from_pretrained(lm, dtype=torch.float32).get_input_embeddings().weight.detach()
    words = list(lexicon())
    ids = [tokenizer("\n", add_special_tokens=False).input_ids[0]]
    ids += [tokenizer(" " + w, add_special_tokens=False).input_ids[-1] for w in words]
    ids += [tokenizer(d, add_special_tokens=False).input_ids[0] for d in "123"]
    index = {w: i for i, w in enumerate([*words, "1", "2", "3"], 1)}
    return words, index, embedding[torch.tensor(ids)].clone()


class Tower(nn.Module):
    def __init__(self, lm: str):
        super().__init__()
        text = json.loads((Path(lm) / "config.json").read_text(encoding="utf-8")) | {"num_hidden_layers": 1}
        model = SmolVLMForConditionalGeneration(
            SmolVLMConfig(scale_factor=2, text_config=text, vision_config=VISION)
        ).model
        model.vision_model.config._attn_implementation = "eager"  # its backward is a third faster on a CPU
        self.vision, self.connector = model.vision_model, model.connector
        self.characters = nn.Linear(VISION["hidden_size"], len(CHARACTERS) + 1)
        self.vision.encoder.layers[MIDDLE].register_forward_hook(self.keep)

    def keep(self, module, inputs, output) -> None:
        self.middle = output[0] if isinstance(output, tuple) else output

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        pixels = image.permute(0, 3, 1, 2).float() / 127.5 - 1
        states = self.vision(pixel_values=pixels, patch_attention_mask=None).last_hidden_state
        return self.connector(states).float(), self.characters(self.middle.float())

    def load(self, path: str) -> None:
        state = load_file(path)
        for name in ("characters.weight", "characters.bias"):  # an older head knows fewer characters
            full = self.state_dict()[name].clone()
            full[: len(state[name])] = state[name].float()
            state[name] = full
        self.load_state_dict({k: v.float() for k, v in state.items()})


def loss_of(z: Tensor, char_logits: Tensor, word: Tensor, char: Tensor, targets: Tensor, unit: Tensor, norm: Tensor):
    word, char = word.flatten(1), char.flatten(1)
    some = (word > 0) | (torch.rand(word.shape, device=word.device) < 0.25)  # blanks are many: keep a quarter
    logits = (F.normalize(z[some], dim=-1).to(unit.dtype) @ unit.T).float() * SCALE
    word_loss = F.cross_entropy(logits, word[some])
    pull = (z[some] - targets[word[some]]).pow(2).sum(-1).mean() / norm**2
    few = (char > 0) | ((char == 0) & (torch.rand(char.shape, device=char.device) < 0.3))
    char_loss = F.cross_entropy(char_logits[few], char[few])
    with torch.no_grad():
        right = (logits.argmax(-1) == word[some])[word[some] > 0].float().mean()
        char_right = (char_logits.argmax(-1) == char)[char > 0].float().mean()
    return word_loss + 0.3 * pull + 2 * char_loss, word_loss, char_loss, right, char_right


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("lm"), args.add_argument("out", type=Path), args.add_argument("--init")
    args.add_argument("--seconds", type=float, default=5400), args.add_argument("--lr", type=float, default=4e-4)
    args.add_argument("--batch", type=int, default=64), args.add_argument("--workers", type=int, default=1)
    a = args.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    words, index, targets = classes(a.lm)
    targets = targets.to(device)
    norm, unit = targets.norm(dim=1).mean(), F.normalize(targets, dim=1).to(torch.bfloat16)
    torch.manual_seed(0)
    tower = Tower(a.lm).to(device)
    optimizer = torch.optim.AdamW(tower.parameters(), lr=a.lr, weight_decay=0.01, betas=(0.9, 0.98))
    step, spent, checkpoint = 0, 0.0, a.out / "tower.pt"
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        tower.load_state_dict(kept["tower"]), optimizer.load_state_dict(kept["optimizer"])
        step, spent = kept["step"], kept["spent"]
    elif a.init:
        tower.load(a.init)
    forward = torch.compile(tower)  # a third faster on a CPU
    loader = torch.utils.data.DataLoader(
        Pages(words, index, step + 1), batch_size=a.batch, num_workers=a.workers, prefetch_factor=4
    )
    log = (a.out / "tower.jsonl").open("a", encoding="utf-8")
    start = time.time() - spent

    def save() -> None:
        state = {
            "tower": tower.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": step,
            "spent": time.time() - start,
        }
        torch.save(state, checkpoint.with_suffix(".tmp"))
        checkpoint.with_suffix(".tmp").rename(checkpoint)
        half = {k: v.to("cpu", torch.float16).contiguous() for k, v in tower.state_dict().items()}
        save_file(half, a.out / "tower.safetensors.tmp")
        (a.out / "tower.safetensors.tmp").rename(a.out / "tower.safetensors")

    saved = time.time()
    for image, word, char in loader:
        done = (time.time() - start) / a.seconds
        if done > 1:
            break
        step += 1
        for group in optimizer.param_groups:
            group["lr"] = a.lr * min(1, step / 100) * max(0.02, math.cos(math.pi / 2 * done))
        with torch.autocast(device, torch.bfloat16):
            z, char_logits = forward(image.to(device))
        loss, *parts = loss_of(z, char_logits, word.to(device), char.to(device), targets, unit, norm)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            names = ("word_loss", "char_loss", "word_right", "char_right")
            row = {"step": step, "seconds": round(time.time() - start), "pages": step * a.batch}
            row |= {n: round(float(p), 4) for n, p in zip(names, parts, strict=True)}
            log.write(json.dumps(row) + "\n"), log.flush()
        if time.time() - saved > 120:
            save()
            saved = time.time()
    save()


if __name__ == "__main__":
    main()
