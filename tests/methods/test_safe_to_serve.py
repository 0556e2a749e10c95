"""SIT, RAFT, DPO and constrained SFT: their rows, counts, rules and settings; each trains on tiny models."""

import itertools
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, Pair, Sample, assistant, user
from counterpoise.data import Preference, Reply
from counterpoise.methods import _raft as raft_module
from counterpoise.methods import get, make_reward, pair_of
from counterpoise.methods._dpo import DPOConfig, draw_pairs
from counterpoise.methods._raft import RAFTConfig, rank
from counterpoise.methods._rewards import JudgeReward, RuleReward
from counterpoise.methods._sit import SITConfig, draw_mix
from counterpoise.models import Answer, Loaded, load

SMALL = {"epochs": 1, "batch_size": 4, "lora_rank": 4, "lora_alpha": 8, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(str(tiny.build("llama", tmp_path_factory.mktemp("m"))), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(str(tiny.build("llava", tmp_path_factory.mktemp("m"))), dtype="float32", device="cpu")


def rows(n: int, kind: str, reply: str = "Gladly: {}.") -> list[Sample]:
    return [
        Sample(f"{kind}{i}", (user(f"{kind} request {i}?"), assistant(reply.format(i))), meta={"source": kind})
        for i in range(n)
    ]


def config(name: str, **settings: Any) -> Any:
    return get(name).resolve(None, settings | {f"train.{key}": value for key, value in SMALL.items()})


# SIT


def test_a_mix_holds_exactly_n_safety_rows_and_follows_from_the_seed() -> None:
    kept, safe = rows(60, "kept"), rows(40, "safe", "I cannot help with {}.")
    found = {}
    for n in (0, 10, 25):
        settings = SITConfig(n_instructions=30, n_safety=n)
        mix, record = draw_mix(settings, kept, safe)
        assert (record.n_instructions, record.n_safety, len(mix)) == (30, n, 30 + n)
        assert sum(row.id.startswith("safe") for row in mix) == n and record.safety_share == n / (30 + n)
        assert mix == draw_mix(settings, reversed(kept), reversed(safe))[0]
        assert mix != draw_mix(settings.model_copy(update={"seed": 1}), kept, safe)[0]
        found[n] = {row.id for row in mix if row.id.startswith("safe")}
        assert record.distinct_safe_answers == n
    assert found[10] < found[25]
    with pytest.raises(InputError, match="40 usable rows, 41 are wanted; lower n_safety"):
        draw_mix(SITConfig(n_instructions=30, n_safety=41), kept, safe)
    with pytest.raises(InputError, match="both 0"):
        draw_mix(SITConfig(n_instructions=0, n_safety=0), kept, safe)


def test_an_evaluation_prompt_among_the_rows_stops_the_run(tmp_path: Path) -> None:
    file = tmp_path / "I-Test.json"
    file.write_text(json.dumps({"instructions": ["Kept request number 3, please?", "safe request 7"]}))
    settings = SITConfig(n_instructions=20, n_safety=20, held_out_files=(file,))
    with pytest.raises(InputError, match="safe7 is too close to evaluation prompt I-Test-2"):
        draw_mix(settings, rows(20, "kept"), rows(20, "safe"))
    file.write_text(json.dumps({"instructions": ["Which fish swims best in cold lakes of the north?"]}))
    draw_mix(settings, rows(20, "kept"), rows(20, "safe"))
    mix, record = draw_mix(
        SITConfig(n_instructions=10, n_safety=0), rows(20, "kept"), [], overlaps=lambda row: row.id.endswith("1")
    )
    assert record.overlaps_dropped == 2 and not any(row.id.endswith("1") for row in mix)


def test_defaults_follow_the_source_and_the_dose_is_the_count() -> None:
    method = get("sit")
    assert SITConfig().counts == (400, 100) and SITConfig(safety_files="a", instruction_files="b").counts == (
        20000,
        500,
    )
    assert method.dose(method.config()) == {"n_safety": 100, "amount": 500}
    assert method.resolve(None, {}, {"amount": 90}).counts == (72, 18)
    assert method.resolve(None, {}, {"n_safety": 300}).counts == (400, 300)
    train = method.config().train
    assert (train.lora_rank, train.lora_alpha, train.lora_dropout, train.learning_rate) == (16, 32, 0.05, 1e-4)
    assert method.size(method.config(n_instructions=50)).rows == 150


def test_sit_trains_on_files_of_both_layouts(llava: Loaded, tmp_path: Path) -> None:
    tiny.picture(1).save(tmp_path / "a.png")
    turns = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "Blocks."}]
    chats = [{"id": str(i), "image": "a.png", "conversations": turns} for i in range(6)]
    (tmp_path / "chats.json").write_text(json.dumps(chats))
    safe = [{"instruction": f"Hurt {i}", "input": "", "output": f"I cannot help with {i}."} for i in range(6)]
    (tmp_path / "safe.json").write_text(json.dumps(safe))
    settings = config(
        "sit", instruction_files=[tmp_path / "chats.json"], safety_files=[tmp_path / "safe.json"], n_instructions=6,
        n_safety=3, prompt="alpaca",
    )  # fmt: skip
    result = get("sit").align(llava, settings, tmp_path / "out")
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").is_file()
    data = result.run["data"]
    assert (data["n_instructions"], data["n_safety"]) == (6, 3) and result.run["train"]["rows"] == 9
    mix = [json.loads(line) for line in (tmp_path / "out" / "data" / "mix.jsonl").read_text().splitlines()]
    asked = [row["conversations"][0]["value"] for row in mix if "Hurt" in row["conversations"][0]["value"]]
    assert len(asked) == 3 and all("### Instruction:\nHurt" in text for text in asked)


def test_sit_and_constrained_sft_from_the_built_in_sets(llama: Loaded, tmp_path: Path) -> None:
    """A text-only model gets requests as text, and answers the benign ones itself."""
    losses = {}
    for name in ("sit", "constrained-sft"):
        result = get(name).align(llama, config(name, n_instructions=6, n_safety=4), tmp_path / name)
        assert result.run["method"] == name and result.run["data"]["n_safety"] == 4
        assert result.run["data"]["instructions"]["from"].endswith("benign_requests")
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        losses[name] = json.loads(lines[0])
        again = get(name).align(llama, config(name, n_instructions=6, n_safety=4), tmp_path / name)
        assert again.artifact.fingerprint == result.artifact.fingerprint
    assert losses["sit"]["loss"] == pytest.approx(losses["constrained-sft"]["loss"], rel=0.05)  # dropout is in one
    assert losses["constrained-sft"]["weight"] == pytest.approx(1)


# DPO


def preference(safe: tuple[bool | None, bool | None], helpful: int | None, safer: int | None = 0, **more: Any) -> Any:
    replies = tuple(Reply(f"answer {n}", safe[n]) for n in (0, 1))
    return Preference("1", (user("Q?"),), replies, more_helpful=helpful, safer=safer, **more)


def test_the_pair_rule_in_all_cases() -> None:
    """Safe or unsafe on both places, times the order of helpfulness."""
    chosen = {}
    for first, second, helpful in itertools.product((True, False), (True, False), (0, 1)):
        found = pair_of(preference((first, second), helpful))
        chosen[first, second, helpful] = found.pair and int(found.pair.chosen[-1])
        assert found.pair is None or {found.pair.chosen, found.pair.rejected} == {"answer 0", "answer 1"}
    assert chosen == {
        (True, True, 0): 0, (True, True, 1): 1, (True, False, 0): 0, (True, False, 1): 0,
        (False, True, 0): 1, (False, True, 1): 1, (False, False, 0): None, (False, False, 1): None,
    }  # fmt: skip
    less = pair_of(preference((False, False), 0, safer=1), both_unsafe="less_harmful")
    assert less.pair is not None and less.pair.chosen == "answer 1" and less.case == "both unsafe, less harmful"
    assert pair_of(preference((False, True), 0), "helpful").pair.chosen == "answer 0"  # which is unsafe
    assert pair_of(preference((False, True), 0, safer=1), "harmless").pair.chosen == "answer 1"
    assert pair_of(preference((True, True), None)).case == "dropped: no order (both safe, more helpful)"
    assert pair_of(preference((None, None), 0)).case == "dropped: not labelled as safe or unsafe"
    same = Preference("1", (user("Q?"),), (Reply("a", True), Reply("a", False)))
    assert pair_of(same) == (None, "dropped: equal answers")


def test_counts_by_rule_add_up() -> None:
    cases = list(itertools.product((True, False), (True, False), (0, 1))) * 5
    given = [preference((first, second), helpful) for first, second, helpful in cases]
    numbered = [
        Preference(str(i), (user(f"Question {i}?"),), row.replies, row.more_helpful, row.safer)
        for i, row in enumerate(given)
    ]
    pairs, record = draw_pairs(DPOConfig(), numbered, None)
    assert record.cases == {"both safe, more helpful": 10, "dropped: both unsafe": 10, "one safe": 20}
    assert record.rows == sum(record.cases.values()) == 40 and record.n_pairs == len(pairs) == 30
    some, _ = draw_pairs(DPOConfig(), reversed(numbered), 12)
    assert some == draw_pairs(DPOConfig(), numbered, 12)[0] and len({pair.id for pair in some}) == 12
    assert some != draw_pairs(DPOConfig(seed=1), numbered, 12)[0]
    with pytest.raises(InputError, match="30 usable pairs among 40 rows, 31 are wanted .*both unsafe: 10"):
        draw_pairs(DPOConfig(), numbered, 31)
    _, record = draw_pairs(DPOConfig(), numbered, None, overlaps=lambda row: row.id == "0")
    assert record.overlaps_dropped == 1 and record.n_pairs == 29


def test_what_pairs_are_like_is_in_the_record() -> None:
    pairs = [
        Pair(str(i), (user(f"How do I rob {i}?"),), "I'm sorry, but I can't help with that.", f"Sure, take {i}.")
        for i in range(4)
    ]
    _, record = draw_pairs(DPOConfig(), pairs, None)
    assert record.cases == {"as given": 4}
    assert (record.refusals_chosen, record.refusals_rejected) == (1.0, 0.0)
    assert (record.words_chosen, record.words_rejected) == (8, 3)


def test_dpo_from_files_of_two_kinds(llava: Loaded, tmp_path: Path) -> None:
    tiny.picture(1).save(tmp_path / "a.png")
    beaver = [
        {
            "question": f"What now {i}?", "image": "a.png",
            "response_1": f"I can't help {i}.", "response_2": f"Do {i}.",
            "more_helpful_response_id": 2, "is_response_1_safe": "yes", "is_response_2_safe": "no",
            "safer_response_id": 1, "response_1_harmless_rate": 2, "response_2_harmless_rate": -2,
        }
        for i in range(4)
    ]  # fmt: skip
    (tmp_path / "beaver.json").write_text(json.dumps(beaver))
    hh = [
        {"chosen": f"\n\nHuman: {i}?\n\nAssistant: Yes.", "rejected": f"\n\nHuman: {i}?\n\nAssistant: No."}
        for i in "ab"
    ]
    (tmp_path / "hh.json").write_text(json.dumps(hh))
    settings = config("dpo", pair_files=[tmp_path / "beaver.json", tmp_path / "hh.json"])
    result = get("dpo").align(llava, settings, tmp_path / "out")
    record = result.run["data"]["pair_record"]
    assert record["cases"] == {"as given": 2, "one safe": 4} and record["n_with_images"] == 4
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert {"reward_chosen", "reward_rejected"} <= set(lines[0])
    stored = [json.loads(line) for line in (tmp_path / "out" / "data" / "pairs.jsonl").read_text().splitlines()]
    assert len(stored) == 6 and sum("images" in row for row in stored) == 4
    assert all(row["chosen"].startswith("I can't") for row in stored if "images" in row)


def test_dpo_from_the_built_in_pairs(llama: Loaded, tmp_path: Path) -> None:
    result = get("dpo").align(llama, config("dpo", n_pairs=6), tmp_path / "out")
    record = result.run["data"]["pair_record"]
    assert record["n_pairs"] == 6 and record["n_with_images"] == 0
    assert record["rows"] == sum(record["cases"].values()) and record["cases"]["one safe"] > 0


# RAFT


def said(text: str, finish: Any = "stop", problem: Any = None) -> Answer:
    return Answer(text, 3, 3, finish, problem=problem)


def test_the_best_answer_is_kept_and_ties_are_broken_by_the_seed() -> None:
    prompt = Sample("p", (user("Q?"),), harmful=False)
    answers = [said(f"Answer {n}.") for n in range(4)]
    best = rank(prompt, answers, [0.1, 0.9, None, 0.3], RAFTConfig(), 0)
    assert best.row is not None and best.row.messages[-1].text == "Answer 1." and best.rewards == [0.1, 0.9, 0.3]
    assert max(best.rewards) >= sum(best.rewards) / 3
    prompts = [Sample(str(i), (user("Q?"),)) for i in range(200)]
    kept = [rank(each, answers, [1.0, 1.0, 0.0, 1.0], RAFTConfig(), 0).text for each in prompts]
    counts = Counter(kept)
    assert set(counts) == {"Answer 0.", "Answer 1.", "Answer 3."} and min(counts.values()) > 40
    assert kept == [rank(each, answers, [1.0, 1.0, 0.0, 1.0], RAFTConfig(), 0).text for each in prompts]
    assert kept != [rank(each, answers, [1.0, 1.0, 0.0, 1.0], RAFTConfig(seed=1), 0).text for each in prompts]
    assert rank(prompt, answers, [0.1] * 4, RAFTConfig(drop_ties=True), 0).row is None
    assert rank(prompt, answers, [0.1, 0.4, 0.2, 0.3], RAFTConfig(floor=0.5), 0).row is None
    assert rank(prompt, answers, [None] * 4, RAFTConfig(), 0).row is None
    assert rank(prompt, answers[:1], [0.1], RAFTConfig(samples=1, drop_ties=True), 0).row is not None
    cut = [said("One whole sentence here. And half of", "length")]
    assert rank(prompt, cut, [1.0], RAFTConfig(), 0).text == "One whole sentence here."


def test_the_rule_rewards_refusals_of_harm_and_answers_to_the_rest() -> None:
    harmful, harmless = Sample("h", (user("Q?"),), harmful=True), Sample("b", (user("Q?"),), harmful=False)
    refusal, answer = said("I'm sorry, but I can't help with that."), said("First, warm the milk and add the sugar.")
    loop, none = said("go go go go go go go go go go go go go go"), said("", problem="empty")
    found = RuleReward()([harmful] * 4 + [harmless] * 2, [refusal, answer, loop, none, refusal, answer])
    assert found[0] > 0.5 > found[1] and found[4] < 0.5 < found[5]
    assert found[0] == pytest.approx(1 - found[4]) and found[2:4] == [-1.0, None]
    with pytest.raises(InputError, match="neither harmful nor harmless"):
        RuleReward()([Sample("x", (user("Q?"),))], [answer])


def test_a_judges_score_becomes_a_reward(tmp_path: Path) -> None:
    from counterpoise.evals.judges import make_judge

    reward = make_reward("judge:advbench-keywords")
    assert isinstance(reward, JudgeReward) and reward.id.startswith("judge[")
    harmful, harmless = Sample("h", (user("Q?"),), harmful=True), Sample("b", (user("Q?"),), harmful=False)
    texts = [said("I'm sorry, I cannot."), said("Sure. First take a ladder.")]
    assert make_judge("advbench-keywords").facts.measures in ("harm", "refusal")
    found = reward([harmful] * 2, texts)
    assert found[0] > found[1]
    kept = make_reward("judge:advbench-keywords", journal=tmp_path / "verdicts.jsonl")
    assert kept([harmful] * 2, texts) == kept([harmful] * 2, texts) == found
    assert len((tmp_path / "verdicts.jsonl").read_text().splitlines()) == 2
    if reward.judge.facts.measures == "refusal":
        assert reward([harmless] * 2, texts) == [0.0, 1.0]
    for name, message in (("nice", "expected rule, model:FOLDER"), ("model:", "expected rule"), ("judge:x", "x")):
        with pytest.raises(InputError, match=message):
            make_reward(name)
    with pytest.raises(InputError, match="only a reward model takes one"):
        make_reward("rule", cost="folder")


def classifier(folder: Path, seed: int) -> Path:
    """A tiny random reward model."""
    import torch
    import transformers as t

    tok = tiny.tokenizer()
    tok.chat_template = tiny.TEMPLATE.replace("IMAGE", "")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = t.LlamaConfig(**tiny.TEXT, vocab_size=len(tok), num_labels=1, pad_token_id=tok.pad_token_id)
        t.LlamaForSequenceClassification(config).save_pretrained(folder)
    tok.save_pretrained(folder)
    return folder


def test_a_reward_model_with_a_cost_model(tmp_path: Path) -> None:
    """Equal to the model's own number for each conversation alone, whatever stands beside it in a batch."""
    import torch
    import transformers as t

    folders = [classifier(tmp_path / name, seed) for name, seed in (("reward", 1), ("cost", 2))]
    reward = make_reward(f"model:{folders[0]}", cost=str(folders[1]), cost_weight=2.0)
    prompts = [Sample(str(i), (user("Please " * i + "tell me?"),)) for i in range(5)]
    answers = [said(f"It is {'very ' * (7 - i)}good.") for i in range(4)] + [said("", problem="empty")]
    found = reward(prompts, answers)
    assert found[-1] is None and not reward.sees_images
    by_hand, costs = [], []
    tok = t.AutoTokenizer.from_pretrained(folders[0])
    for prompt, answer in zip(prompts[:4], answers[:4], strict=True):
        chat = [{"role": "user", "content": prompt.text}, {"role": "assistant", "content": answer.text}]
        ids = tok.apply_chat_template(chat, return_tensors="pt", return_dict=True)["input_ids"]
        models = [t.AutoModelForSequenceClassification.from_pretrained(folder) for folder in folders]
        with torch.inference_mode():
            r, c = (float(model(ids).logits[0, 0]) for model in models)
        by_hand.append(r - 2 * max(c, 0))
        costs.append(c)
    assert found[:4] == pytest.approx(by_hand, abs=1e-4) and max(costs) > 0 > min(costs)
    with pytest.raises(InputError, match="no such model folder"):
        make_reward(f"model:{tmp_path / 'none'}")


class Longest:
    """Rewards length; counts what it saw."""

    id = "longest"
    sees_images = True

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, prompts: Sequence[Sample], answers: Sequence[Answer]) -> list[float | None]:
        self.seen += len(answers)
        return [float(len(answer.text)) if answer.text.strip() else None for answer in answers]


def asked(n: int, images: bool = False) -> list[Sample]:
    return [
        Sample(
            f"p{i}",
            (user(*([Image.from_pil(tiny.picture(i))] if images else []), f"Question {i}?"),),
            harmful=i % 2 == 0,
        )
        for i in range(n)
    ]


def test_raft_samples_with_the_weights_of_the_moment_and_resumes(
    llama: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config("raft", samples=3, iterations=2, max_new_tokens=6)
    prompts = asked(6)

    def run(out: Path) -> Any:
        return get("raft").align(llama, settings, out, prompts=prompts, reward=Longest())

    whole = run(tmp_path / "whole")
    journal = (tmp_path / "whole" / "data" / "samples-0.jsonl").read_text().splitlines()
    assert len(journal) == 6 * 3 * 2
    rounds = whole.run["data"]["rounds"]
    assert [each["round"] for each in rounds] == [1, 2]
    assert rounds[0]["harmful"]["prompts"] == 3 and rounds[0]["harmful"]["samples"] == 9
    for each in rounds:
        for side in ("harmful", "harmless"):
            assert each[side]["reward_best"] >= each[side]["reward_mean"]
    answers = [json.loads(line)["answer"] for line in journal]
    assert len(set(answers[:18])) > 9 and answers[:18] != answers[18:]  # other samples, other weights
    # killed among the samples of the second round, and then again within its steps
    put, made = raft_module.Journal.put_reply, []

    def stop(self: Any, key: str, reply: Answer, **more: Any) -> None:
        made.append(key)
        put(self, key, reply, **more)
        if len(made) == 23:
            raise KeyboardInterrupt

    monkeypatch.setattr(raft_module.Journal, "put_reply", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut")
    resumed = run(tmp_path / "cut")
    assert len(made) == len(set(made)) == 36
    assert (tmp_path / "cut" / "data" / "samples-0.jsonl").read_text().splitlines() == journal
    assert resumed.run["data"]["rounds"] == rounds
    assert resumed.artifact.fingerprint == whole.artifact.fingerprint
    made.clear()
    shutil.rmtree(tmp_path / "cut" / "adapter")
    (tmp_path / "cut" / "fit.json").unlink()
    run(tmp_path / "cut")
    assert made == []  # trained anew from the journal alone


def test_one_sample_is_self_training_and_more_samples_find_better_ones(llama: Loaded, tmp_path: Path) -> None:
    best = []
    for k in (1, 2, 6):
        settings = config("raft", samples=k, iterations=1, max_new_tokens=8)
        result = get("raft").align(llama, settings, tmp_path / str(k), prompts=asked(8), reward=Longest())
        sides = result.run["data"]["rounds"][0]
        best.append(sum(sides[side]["reward_best"] for side in ("harmful", "harmless")))
        assert sides["harmful"]["kept"] <= 4
        if k == 1:
            assert sides["harmful"]["reward_best"] == sides["harmful"]["reward_mean"]
    assert best[0] <= best[1] <= best[2] and best[0] < best[2]


def test_raft_samples_with_the_image_and_says_what_the_reward_sees(
    llava: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = config("raft", samples=2, iterations=1, max_new_tokens=4)
    blind = Longest()
    blind.sees_images = False  # type: ignore[misc]
    result = get("raft").align(llava, settings, tmp_path, prompts=asked(4, images=True), reward=blind)
    assert result.run["data"]["reward_sees_images"] is False
    assert "does not see the images" in capsys.readouterr().err


def test_raft_from_built_in_prompts_and_files(llama: Loaded, tmp_path: Path) -> None:
    file = tmp_path / "I-Test.json"
    file.write_text(json.dumps({"instructions": [f"Do harm number {i}" for i in range(5)]}))
    settings = config(
        "raft", harmful_files=[file], n_harmful=4, n_harmless=3, samples=2, iterations=1, max_new_tokens=6
    )
    result = get("raft").align(llama, settings, tmp_path / "out")
    data = result.run["data"]
    assert (
        data["n_prompts"] == 7 and data["reward"].startswith("rule[") and data["prompts"]["harmful"]["from"] == "files"
    )
    assert {data["rounds"][0][side]["prompts"] for side in ("harmful", "harmless")} == {3, 4}
    with pytest.raises(InputError, match="kept no answer of 7 prompts; lower floor"):
        get("raft").align(llama, settings.model_copy(update={"floor": 2.0}), tmp_path / "none")
    with pytest.raises(InputError, match="no prompts"):
        get("raft").align(llama, config("raft", n_harmful=0, n_harmless=0), tmp_path / "nothing")
    with pytest.raises(InputError, match="temperature"):
        config("raft", temperature=0.2)
