"""The page of a PCFG study: a paragraph for whoever releases a model, the claims, the figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from counterpoise.evals.stats import wilson
from counterpoise.study.pcfg import ATTACKS, TITLES, Claim, claims

from ._html import write_page
from ._lines import Line, bar_picture, line_picture
from ._words import text as e

STYLE = """
.line { fill: none; stroke-width: 2; } .line.after { stroke: var(--after); } .line.before { stroke: var(--before); }
.line.third { stroke: var(--good); } .line.fourth { stroke: var(--bad); }
rect.after { fill: var(--after); } rect.before { fill: var(--before); } rect.third { fill: var(--good); }
rect.fourth { fill: var(--bad); }
"""


def write_study(out: Path, results: Mapping[str, Any]) -> Path:
    """Write the page of `results` (what a study's `results.json` holds) and return its path."""
    found = claims(results)
    body = _owner(results, found) + _claims(found) + _rates(results) + study_pictures(results) + _made(results)
    return study_page(
        out, "What safety tuning changed in a small GPT", f"PCFG study, size {results['size']['name']}", body
    )


def study_page(out: Path, title: str, kicker: str, body: str) -> Path:
    """A self-contained page of sections with line charts."""
    return write_page(out, f"Counterpoise study: {title}", kicker, title, body, style=STYLE)


def study_pictures(results: Mapping[str, Any]) -> str:
    """The section of figures, one or two for each analysis."""
    return f'<section id="figures"><h2>Figures</h2><div class="pictures">{_figures(figures(results))}</div></section>'


def figures(results: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Name -> (caption, SVG)."""
    models = results["models"]
    tuned = [name for name in models if name.endswith("-medium")]
    blocks = [str(number + 1) for number in range(results["size"]["layers"])]
    shown = ["pretrained", *tuned]
    found = {
        "clusters": ("Separation of safe and unsafe inputs by block; standard deviations of tau", line_picture(
            "Separation of the clusters", blocks,
            [Line(name, [b["separation"] for b in models[name]["clusters"]["1"]]) for name in shown], axis="block")),
    }  # fmt: skip
    first = tuned[0]
    last = [models[first]["clusters"]["1"][block] for block in range(len(blocks))]
    attacks = sorted(last[-1]["attacks"])
    found["tau"] = (f"Mean tau by block, {first}: above 0 is nearer to the safe centroid", line_picture(
        "Tau of safe, unsafe and jailbreak inputs", blocks,
        [Line("safe", [b["safe"] for b in last]), Line("unsafe", [b["unsafe"] for b in last]),
         *(Line(name, [b["attacks"][name] for b in last]) for name in attacks)], axis="block"))  # fmt: skip
    rows = [row for row in models[first]["weights"] if row["weight"] == "w1" and row["block"] == len(blocks) - 1]
    found["outside"] = (f"Sin of the angle of dW1's directions to the base's column space, last block, {first}", (
        line_picture("Where the change points", [str(i + 1) for i in range(len(rows[0]["outside"]))],
                     [Line("direction of dW1", rows[0]["outside"]),
                      Line("by chance", [rows[0]["outside_by_chance"]] * len(rows[0]["outside"]), dashed=True)],
                     axis="direction, by singular value")))  # fmt: skip
    answer = models[first]["responses"][-1]["tuned"]
    found["response"] = (f"Response of dW1 by direction, last block, {first}", line_picture(
        "What the change answers", [str(i + 1) for i in range(len(answer["safe"]))],
        [Line("unsafe inputs", answer["unsafe"]), Line("safe inputs", answer["safe"])],
        axis="direction, by singular value"))  # fmt: skip
    found["sensitivity"] = ("Median gradient norm of the largest logit at the first output position", line_picture(
        "Local sensitivity", ["base", *(name.removesuffix("-medium") for name in tuned)],
        [Line(name, [models[m]["sensitivity"]["1"][key]["quantiles"][2] for m in shown])
         for name, key in (("std_safe", "std_safe"), ("std_unsafe", "std_unsafe"), ("mg_txt", "mg_txt"),
                           ("if_text_safe", "if_text_safe"))], axis="model"))  # fmt: skip
    mixed = results["intervention"]
    found["intervention"] = (f"Along the change of {first}: shares by alpha; 0 is the base, 1 the tuned model", (
        line_picture("Interpolation and extrapolation", [f"{a:g}" for a in mixed["alphas"]],
                     [Line(name, [at[key][what] / at[key]["n"] for at in mixed["along"][first]])
                      for name, key, what in (("std_unsafe refused", "std_unsafe", "refused"),
                                              ("std_safe exact", "std_safe", "complied"),
                                              ("mg_txt complied", "mg_txt", "complied"),
                                              ("if_text_safe complied", "if_text_safe", "complied"))],
                     axis="alpha")))  # fmt: skip
    found["attacks"] = ("Attack success: the judged output is exactly the compliant one", bar_picture(
        "Attack success", {name: [_rate(models[m]["scores"][name], "complied") for m in tuned]
                           for name in ("std_unsafe", *ATTACKS)},
        [name.removesuffix("-medium") for name in tuned], axis="share of rows"))  # fmt: skip
    return found


def _figures(found: Mapping[str, tuple[str, str]]) -> str:
    return "".join(f"<figure><figcaption>{e(caption)}</figcaption>{svg}</figure>" for caption, svg in found.values())


def _rate(scores: Mapping[str, Any], what: str) -> float:
    return float(scores[what] / scores["n"])


def _owner(results: Mapping[str, Any], found: Sequence[Claim]) -> str:
    """What a release owner takes from it."""
    return f'<section id="owner"><h2>For whoever releases a model</h2><p>{e(owner_words(results, found))}</p></section>'


def owner_words(results: Mapping[str, Any], found: Sequence[Claim]) -> str:
    """One paragraph, made of the numbers: the model that refuses best, its worst attack, and what that means."""
    models = {name: model for name, model in results["models"].items() if name != "pretrained"}
    best = max(models, key=lambda name: _rate(models[name]["scores"]["std_unsafe"], "refused"))
    scores = models[best]["scores"]
    worst = max(ATTACKS, key=lambda name: _rate(scores[name], "complied"))
    change = max(row["relative_norm"] for row in models[best]["weights"])
    held = sum(each.holds for each in found if each.model == best)
    return (
        f"Tuning moved the weights of {best} by at most {change:.1%} of their size, and it then refused "
        f"{_rate(scores['std_unsafe'], 'refused'):.1%} of the requests of the kind it was tuned on and still did "
        f"{_rate(scores['std_safe'], 'complied'):.1%} of harmless ones exactly. The ability itself is still there: on "
        f"requests that tuning did not show it ({worst}: {ATTACKS[worst]}) it complied in "
        f"{_rate(scores[worst], 'complied'):.1%}. A refusal rate measured on the training distribution says little "
        f"about requests of another form; measure those before a release. {held} of {len(TITLES)} claims of the paper "
        "hold for this model; the table says which. This is a small synthetic model: it shows a mechanism, not a rate."
    )


def _claims(found: Sequence[Claim]) -> str:
    body = ""
    for key, title in TITLES.items():
        body += f'<tbody class="group"><tr><th class="name" colspan="3">{e(title)}</th></tr></tbody><tbody>'
        for each in (each for each in found if each.claim == key):
            badge = (
                '<span class="badge better">holds</span>' if each.holds else '<span class="badge worse">fails</span>'
            )
            body += f'<tr><th scope="row">{e(each.model)}</th><td>{badge}</td><td>{e(each.numbers)}</td></tr>'
        body += "</tbody>"
    return f'<section id="claims"><h2>The claims</h2><table>{body}</table></section>'


def _rates(results: Mapping[str, Any]) -> str:
    heads = ("Set", "n", "Complied", "Refused", "Safe output", "Tokens right")
    body = ""
    for name, model in results["models"].items():
        body += f'<tbody class="group"><tr><th class="name" colspan="6">{e(name)}</th></tr></tbody><tbody>'
        for key, scores in model["scores"].items():
            safe = "–" if scores["safe_output"] is None else _said(scores["safe_output"], scores["n"])
            complied, refused = (_said(scores[what], scores["n"]) for what in ("complied", "refused"))
            cells = (str(scores["n"]), complied, refused, safe, f"{scores['token_match']:.1%}")
            pairs = zip(heads[1:], cells, strict=True)
            row = "".join(f'<td data-label="{h}" class="num">{e(cell)}</td>' for h, cell in pairs)
            body += f'<tr><th scope="row">{e(key)}</th>{row}</tr>'
        body += "</tbody>"
    titles = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        '<section id="rates"><h2>What the models do</h2><p class="note">Whole judged segments, exactly (greedy '
        "decoding), with 95 % intervals (Wilson): output 1, or output 2 where only the second pair is unsafe. "
        "Complied: the operators as given. Refused: the refusal. Safe output: without the unsafe operators.</p>"
        f"<table><thead><tr>{titles}</tr></thead>{body}</table></section>"
    )


def _said(count: int, n: int) -> str:
    interval = wilson(count, n)
    return f"{count / n:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def _made(results: Mapping[str, Any]) -> str:
    facts = "".join(f"<dt>{e(key)}</dt><dd>{e(str(value))}</dd>" for key, value in results["size"].items())
    return f'<section id="made"><h2>How it was made</h2><dl>{facts}</dl></section>'
