"""Where reading and naming are short: the tower alone beside the whole model, on the validation pages of the suites.

python scripts/pocket/probe_suite.py LM_DIR TOWER.safetensors [--model pocket] [--items 150]

The tower alone: the nearest embedding of a class at every image token. A phrase is right when all of its words are
found, an icon when its class has the largest sum of probabilities over the tokens.
"""

import argparse
from collections import defaultdict

import torch
import torch.nn.functional as F
from tower import SCALE, Tower, classes

from counterpoise.data.pocket_sets import naming_test, reading_test
from counterpoise.models import Decoding, Engine, load


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("lm"), args.add_argument("tower"), args.add_argument("--model", default="pocket")
    args.add_argument("--items", type=int, default=150)
    a = args.parse_args()
    words, _, targets = classes(a.lm)
    unit, names = F.normalize(targets, dim=1), ["", *words, "1", "2", "3"]
    tower, engine = Tower(a.lm).eval(), Engine(load(a.model), max_batch=32)
    tower.load(a.tower)
    right: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for test in (reading_test(a.items, "validation"), naming_test(a.items, "validation")):
        said = engine.generate([row.messages for row in test], Decoding(max_new_tokens=16))
        for row, answer in zip(test, said, strict=True):
            reading, wanted = "word" in row.group, row.target.lower()
            page = torch.frombuffer(bytearray(row.messages[0].images[0].pil().tobytes()), dtype=torch.uint8)
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                z, _ = tower(page.view(1, 224, 224, 3))
            near = F.normalize(z[0].float(), dim=-1) @ unit.T
            found = {names[i] for i in near.argmax(-1)}
            largest = names[int((SCALE * near).softmax(-1)[:, 1:].sum(0).argmax()) + 1]
            kind, text = "phrases" if reading else f"icons, {row.group}", answer.text.strip().strip(".").lower()
            right["tower alone", kind].append(set(wanted.split()) <= found if reading else largest == wanted)
            right["whole model", kind].append(text == wanted if reading else wanted in text)
    for (who, kind), scores in sorted(right.items()):
        print(f"{who}: {kind}: {sum(scores) / len(scores):.1%} of {len(scores)}")


if __name__ == "__main__":
    main()
