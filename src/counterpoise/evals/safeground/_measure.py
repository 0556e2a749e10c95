"""Measure a dual encoder: embed quadruples, form SafeGround's rows, and compare two encoders tuple by tuple."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from counterpoise.base import (
    InputError,
    Progress,
    Row,
    atomic_write,
    environment,
    notice,
    read_json,
    save_rows,
    sha256_bytes,
    write_json,
)
from counterpoise.chat import Image
from counterpoise.data import Quadruple

from ..stats import Difference, holm, paired_difference, rate
from ._preference import METRICS, Embeddings, Matrix, Verdicts, preferences, recalls, unit, zero_shot

if TYPE_CHECKING:
    from counterpoise.models import DualEncoder

SCORER = "safeground:v1"
PARTS = ("safe_images", "unsafe_images", "safe_texts", "unsafe_texts")
TEMPLATE = "a photo of a {}."


@dataclass(frozen=True, eq=False)
class Measured:
    """What one encoder did on the quadruples."""

    ids: tuple[str, ...]
    tags: tuple[str, ...]
    verdicts: Mapping[str, Verdicts]
    """Every metric by name, (N,) over the tuples that could be scored; zero-shot accuracy over its own images."""
    unscored: int
    """Tuples with an empty text, which has nothing to prefer."""
    revision: str
    """Hash of ids and texts."""

    def rows(self, model: str, run: str) -> list[Row]:
        """One scorecard row for each metric, with Wilson's interval."""
        made = []
        for metric, values in self.verdicts.items():
            missing = 0 if metric == "zero_shot" else self.unscored
            found = rate([*map(float, values), *[None] * missing])
            made.append(
                Row(
                    model=model, run=run, benchmark="safeground", revision=self.revision, split="all",
                    modality="image" if metric == "zero_shot" else "image and text", metric=metric, direction="higher",
                    scorer=SCORER, value=found.value, ci_low=found.low, ci_high=found.high,
                    n_scored=found.n_scored, n_unscored=found.n_unscored, n_empty=missing,
                    reasons={"empty_text": missing} if missing else {},
                )
            )  # fmt: skip
        return made


def measure(
    encoder: "DualEncoder",
    rows: Sequence[Quadruple],
    out: Path,
    *,
    run: str = "safeground",
    classes: Mapping[str, Sequence[Image]] | None = None,
    batch: int = 128,
    force: bool = False,
) -> Measured:
    """Measure and write `out/scorecard.json`, `out/items.jsonl`, `out/run.json`; embeddings stay in `out/embeddings`.

    Args:
        classes: images by class name, for zero-shot accuracy with the template "a photo of a {}.".
        force: replace what the folder holds of another encoder or other quadruples, which is refused otherwise.

    Each of the four matrices is kept as soon as it is there, under the hashes of encoder and inputs: a run that was
    stopped embeds only what is missing. Tuples with an empty text are counted as unscored. Raises InputError when no
    tuple is left, or an embedding is no number.
    """
    kept = [each for each in rows if each.safe_text.strip() and each.unsafe_text.strip()]
    if not kept:
        raise InputError(f"all {len(rows)} quadruples have an empty text; nothing can be preferred")
    if len(kept) < len(rows):
        notice(f"{len(rows) - len(kept)} of {len(rows)} quadruples have an empty text and are unscored")
    parts: dict[str, list[Any]] = {
        "safe_images": [each.safe_image for each in kept], "unsafe_images": [each.unsafe_image for each in kept],
        "safe_texts": [each.safe_text for each in kept], "unsafe_texts": [each.unsafe_text for each in kept],
    }  # fmt: skip
    texts = json.dumps([[each.id, each.safe_text, each.unsafe_text] for each in kept], ensure_ascii=True)
    revision = sha256_bytes(texts.encode())[:12]
    _refuse_other(out, encoder, revision, force=force)
    store = out / "embeddings"
    embeddings = Embeddings(**{name: embedded(encoder, parts[name], store, batch) for name in PARTS})
    verdicts = preferences(embeddings) | recalls(embeddings)
    if classes:
        verdicts["zero_shot"] = _zero_shot(encoder, classes, store, batch)
    done = Measured(
        tuple(each.id for each in kept), tuple(each.tag for each in kept), verdicts, len(rows) - len(kept),
        revision,
    )  # fmt: skip
    _write(done, encoder, out, run)
    return done


def embedded(encoder: "DualEncoder", items: Sequence[Image | str], store: Path, batch: int) -> Matrix:
    """Embeddings of images or of texts, from the store when they were made before; (N, d)."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file, save_file

    hashes = [item.sha256 if isinstance(item, Image) else f"text:{item}" for item in items]
    key = sha256_bytes(json.dumps([encoder.fingerprint, hashes]).encode())[:24]
    file = store / f"{key}.safetensors"
    if file.is_file():
        with suppress(SafetensorError, KeyError):  # cut off: embedded again
            return np.asarray(load_file(file)["embeddings"], np.float64)
    if isinstance(items[0], Image):
        found = encoder.embed_images(_shown(items, "images"), batch=batch)
    else:
        found = encoder.embed_texts(_shown(items, "texts"), batch=batch)
    store.mkdir(parents=True, exist_ok=True)
    part = store / f".{key}"
    save_file({"embeddings": found.numpy()}, part)
    part.replace(file)
    return np.asarray(found.numpy(), np.float64)


def _refuse_other(out: Path, encoder: "DualEncoder", revision: str, *, force: bool) -> None:
    file = out / "run.json"
    if force or not file.is_file():
        return
    known = read_json(file)
    if not isinstance(known, dict) or (known.get("fingerprint"), known.get("revision")) != (
        encoder.fingerprint, revision,
    ):  # fmt: skip
        raise InputError(f"{file}: of another encoder or other quadruples; choose another --out or --force")


def _shown(items: Sequence[Any], what: str) -> Iterator[Any]:
    """The items one by one, under a progress bar."""
    with Progress(f"embedding {what}", len(items), unit=what) as progress:
        for item in items:
            yield item
            progress.advance()


def _zero_shot(encoder: "DualEncoder", classes: Mapping[str, Sequence[Image]], store: Path, batch: int) -> Verdicts:
    names = sorted(classes)
    images = [image for name in names for image in classes[name]]
    labels = np.repeat(np.arange(len(names)), [len(classes[name]) for name in names])
    texts = embedded(encoder, [TEMPLATE.format(name.replace("_", " ")) for name in names], store, batch)
    pictures = embedded(encoder, images, store, batch)
    return zero_shot(unit(pictures, "images"), unit(texts, "class names"), labels.astype(np.int64))


def _write(done: Measured, encoder: "DualEncoder", out: Path, run: str) -> None:
    """Rows, one line for each tuple, and what was measured."""
    with atomic_write(out / "items.jsonl") as file:
        named = [name for name in done.verdicts if name != "zero_shot"]
        for place, (key, tag) in enumerate(zip(done.ids, done.tags, strict=True)):
            scores = {name: int(done.verdicts[name][place]) for name in named}
            file.write(json.dumps({"id": key, "tag": tag, "scores": scores}, ensure_ascii=False) + "\n")
    artifact = encoder.artifact
    facts = {
        "model": encoder.name, "fingerprint": encoder.fingerprint, "dtype": encoder.dtype,
        "artifact": None if artifact is None else {"kind": artifact.kind, "fingerprint": artifact.fingerprint},
        "edit_proof": None if encoder.proof is None else vars(encoder.proof),
        "tuples": len(done.ids), "unscored": done.unscored, "revision": done.revision,
    }  # fmt: skip
    write_json(out / "run.json", facts | environment())
    save_rows(out / "scorecard.json", done.rows(encoder.name, run))


def compared(before: Measured, after: Measured) -> dict[str, tuple[Difference, float]]:
    """By metric: after minus before over the same tuples, and its p value, Holm-adjusted over the nine preferences.

    Recalls and zero-shot accuracy are a family of their own. Raises InputError when the tuples are not the same.
    """
    if before.ids != after.ids or before.revision != after.revision:
        raise InputError("the two measurements are not of the same quadruples; measure both again")
    found = {
        metric: paired_difference(after.verdicts[metric].astype(float), values.astype(float))
        for metric, values in before.verdicts.items()
        if metric in after.verdicts and len(after.verdicts[metric]) == len(values)
    }
    adjusted: dict[str, float] = {}
    for family in ([m for m in found if m in METRICS], [m for m in found if m not in METRICS]):
        adjusted |= dict(zip(family, holm([found[metric].p for metric in family]), strict=True))
    return {metric: (difference, adjusted[metric]) for metric, difference in found.items()}
