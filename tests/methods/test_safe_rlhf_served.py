"""Rollouts by a server that is given the adapter of every update."""
# ruff: noqa: F811  (a fixture of another file)

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from lora_server import LoraServer, serving
from test_safe_rlhf_train import PPO, asks, config, plan, trained  # noqa: F401  (fixture)

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, user
from counterpoise.methods import get
from counterpoise.methods.safe_rlhf import _served
from counterpoise.methods.safe_rlhf._episodes import end_of_turn, look
from counterpoise.methods.safe_rlhf._ppo import Loop
from counterpoise.methods.safe_rlhf._rollouts import roll_out
from counterpoise.methods.safe_rlhf._served import Served
from counterpoise.models import Loaded, encode_row
from counterpoise.train import training


@pytest.fixture
def server(folder: Path) -> Iterator[LoraServer]:
    with serving(folder) as made:
        yield made


def test_every_update_is_sampled_with_the_adapter_of_that_moment(
    server: LoraServer, model: Loaded, trained: Path, tmp_path: Path
) -> None:
    """What the server says of its tokens is what our own pass says of them, also after the policy has moved; images
    and texts alike. Between updates it keeps no adapter."""
    ppo = PPO.model_copy(update={"server": server.url})
    settings = plan(trained, ppo).model_copy(update={"learning_rate": 0.2})  # an update changes what the policy says
    with training(model, settings, tmp_path, total=3, run="x") as stepper:
        loop = Loop(stepper, ppo, asks(), [], 0)
        lines = [loop.update() for _ in range(3)]
    assert all(line["served_gap"] < 1e-3 for line in lines) and lines[-1]["kl_k3"] > 1e-3
    names = [name for kind, name in server.seen if kind == "load"]
    assert len(set(names)) == 3 and not server.adapters and not (tmp_path / "served").exists()
    first = server.requests[0]
    assert first["top_k"] == -1 and first["repetition_penalty"] == 1 and first["temperature"] == 1
    asked = {(request["model"], str(request["messages"])): request["seed"] for request in server.requests}
    assert len(server.requests) == 9 and len(set(asked.values())) == len(asked)
    assert {type(request["messages"][0]["content"]) for request in server.requests} == {str, list}


def test_episodes_hold_the_servers_tokens(server: LoraServer, model: Loaded, trained: Path, tmp_path: Path) -> None:
    with training(model, plan(trained), tmp_path, total=1, run="x") as stepper:
        own = Served(server.url, tmp_path / "served", 2)
        episodes, dropped = roll_out(stepper, asks(), PPO, 3, own)
        again, _ = roll_out(stepper, asks(), PPO, 3, own)
        other, _ = roll_out(stepper, asks(), PPO, 4, own)
        look(stepper, episodes, end_of_turn(model))
    assert not dropped and [e.tokens.row.ids for e in episodes] == [e.tokens.row.ids for e in again]
    assert [e.tokens.row.ids for e in episodes] != [e.tokens.row.ids for e in other]
    for episode in episodes:
        ids, n = episode.tokens.row.ids, episode.tokens.n_labels
        assert 1 <= n <= 5 and len(episode.served) == n and episode.whole == (ids[-1] == end_of_turn(model))
        assert model.tokenizer.decode(ids[-n:], skip_special_tokens=True) == episode.text


def test_a_reply_with_the_token_of_an_image_is_dropped(
    server: LoraServer, model: Loaded, trained: Path, tmp_path: Path
) -> None:
    """No forward pass reads it again: there is no image for it."""
    server.faults.add("image token")
    with training(model, plan(trained), tmp_path, total=1, run="x") as stepper:
        assert roll_out(stepper, asks(), PPO, 3, Served(server.url, tmp_path / "served")) == ([], 4)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("no lora", "load_lora_adapter.*start vLLM with --enable-lora"),
        ("no ids", "returns no token ids; rollouts need vLLM"),
        ("other template", "makes another prompt than this run, from token"),
        ("other pixels", "makes another prompt than this run, from token"),
        ("no logprobs", "returns no log-probability of each token"),
        ("short", r"a reply ended after 2 of 5 tokens \(length\)"),
    ],
)
def test_a_server_that_cannot_do_it_says_so(
    fault: str, says: str, server: LoraServer, model: Loaded, trained: Path, tmp_path: Path
) -> None:
    server.faults.add(fault)
    with (
        training(model, plan(trained), tmp_path, total=1, run="x") as stepper,
        pytest.raises(InputError, match=says),
    ):
        roll_out(stepper, asks(), PPO, 0, Served(server.url, tmp_path / "served"))
    assert not server.adapters and not (tmp_path / "served").exists()


def test_a_server_that_counts_an_image_once_makes_the_same_prompt(
    server: LoraServer, model: Loaded, trained: Path, tmp_path: Path
) -> None:
    server.faults.add("images once")
    with training(model, plan(trained), tmp_path, total=1, run="x") as stepper:
        episodes, dropped = roll_out(stepper, asks(), PPO, 3, Served(server.url, tmp_path / "served"))
    assert len(episodes) + dropped == 4


def test_other_images_under_the_same_words_are_other_draws(model: Loaded) -> None:
    shown = [(user(Image.from_pil(tiny.picture(i)), "What is it?"),) for i in (0, 1)]
    rows = [encode_row(model, prompt, add_generation_prompt=True) for prompt in shown]
    assert rows[0].ids == rows[1].ids
    first, second = (_served._seed(7, *each) for each in zip(shown, rows, strict=True))
    assert first != second and first == _served._seed(7, shown[0], rows[0]) != _served._seed(8, shown[0], rows[0])


def test_a_server_with_other_weights_shows_and_stops_the_run(
    server: LoraServer, model: Loaded, trained: Path, tmp_path: Path
) -> None:
    server.faults.add("stale")
    ppo = PPO.model_copy(update={"server": server.url, "beta": 0.0})
    settings = plan(trained, ppo).model_copy(update={"learning_rate": 0.2})
    with training(model, settings, tmp_path, total=2, run="x") as stepper:
        loop = Loop(stepper, ppo, asks(), [], 0)
        assert loop.update()["served_gap"] < 1e-3  # a fresh actor is the base
        with pytest.raises(InputError, match="differ from this run's by"):
            loop.update()


def test_a_run_goes_on_when_its_server_was_away(
    folder: Path, model: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_served, "RETRIES", 0)
    method, data = get("safe-rlhf-v"), tmp_path / "d"
    for stage in ("reward", "cost"):
        method.align(model, config(data, stage=stage), tmp_path / "run")
    with serving(folder) as server:
        ppo = config(data, stage="ppo", ppo=PPO.model_copy(update={"server": server.url}))
    gone = ppo.ppo.server
    with pytest.raises(InputError, match="Connection error; the run goes on from its checkpoint"):
        method.align(model, ppo, tmp_path / "run")
    assert not (tmp_path / "run" / "ppo" / "done.json").exists()
    with serving(folder) as server:
        later = config(data, stage="ppo", ppo=PPO.model_copy(update={"server": server.url}))
        assert later.ppo.server != gone
        method.align(model, later, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "ppo" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2] and all(line["served_gap"] < 1e-3 for line in lines)


def test_a_servers_address_is_checked() -> None:
    with pytest.raises(ValueError, match="server"):
        config(Path("/tmp"), ppo=PPO.__class__(server="localhost:8000"))
