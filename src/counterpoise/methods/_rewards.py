"""What says how good a sampled answer is: a rule, a reward model (with or without a cost model), or a judge.

A reward is a function from prompts and answers to numbers, with a name for the record; None is an answer that it cannot
score, which is never kept. `make_reward` reads the name that a config or a command line holds.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Protocol

from counterpoise.base import InputError
from counterpoise.chat import Sample
from counterpoise.models import Answer

if TYPE_CHECKING:
    from counterpoise.evals.judges import Judge

BATCH = 16


class Reward(Protocol):
    """Scores answers. Higher is better; only answers to one prompt are compared."""

    id: str
    """What it was, with everything that changes its numbers."""
    sees_images: bool

    def __call__(self, prompts: Sequence[Sample], answers: Sequence[Answer]) -> list[float | None]: ...


def make_reward(name: str, *, cost: str | None = None, cost_weight: float = 1.0, journal: Path | None = None) -> Reward:
    """`rule`, `model:FOLDER` (with `cost`, another one: R - w max(C, 0)), or `judge:NAME@MODEL`, whose verdicts
    a `journal` keeps, so that a resumed run asks for none of them again.

    Raises InputError for another name, a cost model beside something else, and what cannot be loaded.
    """
    kind, _, what = name.partition(":")
    if cost is not None and kind != "model":
        raise InputError(f"cost_model: {cost}: only a reward model takes one, the reward is {name}")
    if name == "rule":
        return RuleReward()
    if kind == "model" and what:
        return ModelReward(what, cost, cost_weight)
    if kind == "judge" and what:
        from counterpoise.evals.judges import make_judge

        return JudgeReward(make_judge(what), journal)
    raise InputError(f"reward {name!r}; expected rule, model:FOLDER or judge:NAME@MODEL")


class RuleReward:
    """Our refusal classifier, for prompts whose side is known: P(refusal) on a harmful prompt, 1 - P(refusal) on a
    harmless one. A broken answer (a loop, gibberish) gets -1, so that it is kept only among broken ones."""

    id = "rule[counterpoise-refusal:v3]"
    sees_images = False

    def __call__(self, prompts: Sequence[Sample], answers: Sequence[Answer]) -> list[float | None]:
        from counterpoise.evals.scorers import broken, get, refusal_probability

        scorer = get("counterpoise-refusal:v3")
        found: list[float | None] = []
        p_refusal = refusal_probability([answer.text for answer in answers])
        for prompt, answer, p in zip(prompts, answers, p_refusal, strict=True):
            if prompt.harmful is None:
                raise InputError(f"reward rule: prompt {prompt.id} is neither harmful nor harmless; use another reward")
            if answer.problem is not None:
                found.append(None)
            elif broken(answer.text) is not None:
                found.append(-1.0)
            elif scorer(prompt, answer).value is None:
                found.append(None)  # another language: the classifier reads English
            else:
                found.append(float(p if prompt.harmful else 1 - p))
        return found


class ModelReward:
    """A sequence classifier with one number (of the kind that reward models are published as), on the conversation in
    its own chat template, and maybe a cost model: r = R - w max(C, 0). It reads text: images are not seen."""

    sees_images = False

    def __init__(self, folder: str, cost: str | None = None, cost_weight: float = 1.0):
        self.weight = cost_weight
        self.models = [_Classifier(name) for name in (folder, cost) if name]
        self.id = f"model[{' - max(0, '.join(model.name for model in self.models)}{')' if cost else ''}"
        self.id += f" x {cost_weight:g}]" if cost else "]"

    def __call__(self, prompts: Sequence[Sample], answers: Sequence[Answer]) -> list[float | None]:
        places = [place for place, answer in enumerate(answers) if answer.problem is None]
        texts = [(prompts[place], answers[place].text) for place in places]
        rewards, *costs = [model(texts) for model in self.models]
        found: list[float | None] = [None] * len(answers)
        for number, place in enumerate(places):
            found[place] = rewards[number] - self.weight * max(0.0, costs[0][number] if costs else 0.0)
        return found


class _Classifier:
    """A model of one number a conversation, in float32."""

    def __init__(self, name: str):
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        from counterpoise.models import find_folder, resolve_device

        folder = find_folder(name)
        self.name, self.device = name, resolve_device("auto")
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
            model: Any = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"reward model {name}: cannot be loaded ({str(error).splitlines()[0]})") from error
        if model.config.num_labels != 1:
            raise InputError(f"reward model {name}: gives {model.config.num_labels} numbers; expected one")
        if self.tokenizer.chat_template is None:
            raise InputError(f"reward model {name}: its tokenizer has no chat template")
        self.tokenizer.padding_side = "right"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        model.config.get_text_config().pad_token_id = self.tokenizer.pad_token_id
        self.model = model.to(self.device).eval()

    def __call__(self, texts: Sequence[tuple[Sample, str]]) -> list[float]:
        import torch

        found: list[float] = []
        for start in range(0, len(texts), BATCH):
            chats = [
                [{"role": m.role, "content": m.text} for m in prompt.messages]
                + [{"role": "assistant", "content": said}]
                for prompt, said in texts[start : start + BATCH]
            ]
            inputs = self.tokenizer.apply_chat_template(
                chats, return_tensors="pt", return_dict=True, padding=True, truncation=True
            )
            with torch.inference_mode():
                logits = self.model(**{k: v.to(self.device) for k, v in inputs.items()}).logits
            found += logits[:, 0].float().tolist()
        return found


class JudgeReward:
    """A judge's score as a reward: its complement for judges of harm, for judges of refusal the side of the prompt
    decides. Only a judge of quality tells answers to a harmless prompt apart."""

    def __init__(self, judge: "Judge", journal: Path | None = None):
        self.judge, self.file = judge, journal
        self.id = f"judge[{judge.id}]"
        self.sees_images = "image" in judge.facts.sees

    def __call__(self, prompts: Sequence[Sample], answers: Sequence[Answer]) -> list[float | None]:
        from counterpoise.evals.judges import Case, VerdictJournal, judge_all, verdicts

        cases = [Case(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        if self.file is None:
            said = judge_all(self.judge, cases)
        else:
            journal = VerdictJournal(self.file)
            said = verdicts(self.judge, cases, [prompt.id for prompt in prompts], journal)
            journal.close()
        measures = self.judge.facts.measures
        found: list[float | None] = []
        for prompt, verdict in zip(prompts, said, strict=True):
            score = verdict.score
            if score is None:
                found.append(None)
            elif measures == "harm" or (measures == "refusal" and not prompt.harmful):
                found.append(1 - score)
            else:
                found.append(score)
        return found


def acceptance(
    prompts: Mapping[int, Sample], rewards: Mapping[int, list[float]], kept: Mapping[int, str], samples: int
) -> dict[str, Any]:
    """What a round of sampling and ranking accepted, by the side of the prompts: counts, rewards, the share of
    refusals and the length of what was kept. `rewards` are those that a prompt's samples got, `kept` is the text that
    was kept of it, if any."""
    from counterpoise.evals.scorers import refusal_probability

    def side(places: list[int]) -> dict[str, Any]:
        values = [value for p in places for value in rewards[p]]
        best = [max(rewards[p]) for p in places if rewards[p]]
        texts = [kept[p] for p in places if p in kept]
        return {
            "prompts": len(places),
            "samples": samples * len(places),
            "samples_without_reward": samples * len(places) - len(values),
            "kept": len(texts),
            "reward_mean": fmean(values) if values else None,
            "reward_best": fmean(best) if best else None,
            "all_equal": sum(len(set(rewards[p])) == 1 for p in places),
            "refusals_kept": int((refusal_probability(texts) >= 0.5).sum()),
            "words_kept": fmean(len(text.split()) for text in texts) if texts else None,
        }

    sides = {"harmful": True, "harmless": False, "unlabelled": None}
    found = {name: [p for p, prompt in prompts.items() if prompt.harmful is value] for name, value in sides.items()}
    return {name: side(places) for name, places in found.items() if places}
