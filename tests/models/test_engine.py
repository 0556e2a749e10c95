"""The engine against one-at-a-time `generate` and plain forward passes, on every architecture, in fp32."""

import threading
from concurrent.futures import wait

import numpy as np
import pytest
import torch

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, user
from counterpoise.models import Decoding, Engine, EngineError, Loaded, encode, load
from counterpoise.models import _engine as engine_module

N_NEW = 12


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root, made = tmp_path_factory.mktemp("models"), {}

    def get(arch: str) -> Loaded:
        if arch not in made:
            made[arch] = load(str(tiny.build(arch, root / arch)), dtype="float32", device="cpu")
        return made[arch]

    return get


def picture(seed: int, size: tuple[int, int] = (48, 40)) -> Image:
    return Image.from_pil(tiny.picture(seed, size))


def prompts(loaded: Loaded) -> list:
    """Prompts of several lengths with 0, 1 and 2 images, images of several shapes."""
    texts = ["what is printed", "hi", "please answer the question about this image, in a few words", "who?"]
    rows = [(user(text),) for text in texts]
    if loaded.is_vlm:
        rows += [(user(picture(n, (40 + 20 * n, 60)), text),) for n, text in enumerate(texts)]
        rows += [(user(picture(n), "and", picture(n + 9, (90, 40)), text),) for n, text in enumerate(texts)]
    return rows


def alone(loaded: Loaded, conversation, **options) -> list[int]:
    """New token ids by transformers' own generate, one prompt at a time."""
    inputs = encode(loaded, [conversation], add_generation_prompt=True, padding_side="left")
    out = loaded.model.generate(**inputs, do_sample=False, max_new_tokens=N_NEW, **options)
    return out[0, inputs["input_ids"].shape[1] :].tolist()


@pytest.fixture(params=(*tiny.ARCHITECTURES, *tiny.QWEN, *tiny.HYBRID))
def loaded(request, models):
    return models(request.param)


def test_batched_greedy_equals_one_at_a_time(loaded):
    rows = prompts(loaded)
    answers = Engine(loaded, max_batch=5).generate(rows, Decoding(max_new_tokens=N_NEW))
    for row, answer in zip(rows, answers, strict=True):
        expected = loaded.tokenizer.decode(alone(loaded, row), skip_special_tokens=True).strip()
        assert answer.text == expected


def test_rows_that_stop_early_leave_the_batch_and_change_nothing_for_others(loaded, monkeypatch):
    rows = prompts(loaded)
    # make tokens that really occur end a reply, so that rows finish at different steps
    seen = [alone(loaded, row) for row in rows]
    chosen = {ids[min(i % 7 + 1, len(ids) - 1)] for i, ids in enumerate(seen)}
    chosen -= {ids[0] for ids in seen}
    ends = [*sorted(chosen)[:6], loaded.tokenizer.eos_token_id]
    monkeypatch.setattr(loaded.model.generation_config, "eos_token_id", ends)
    answers = Engine(loaded).generate(rows, Decoding(max_new_tokens=N_NEW))
    cut = [next((i + 1 for i, t in enumerate(ids) if t in ends), N_NEW) for ids in seen]
    assert len(set(cut)) > 1  # the test is about rows that end at different steps
    for ids, n, answer in zip(seen, cut, answers, strict=True):
        assert answer.n_new == n
        assert answer.text == loaded.tokenizer.decode(ids[:n], skip_special_tokens=True).strip()
        assert answer.finish == ("stop" if ids[n - 1] in ends else "length")


def reference_logprobs(loaded, row, option: str) -> list[float]:
    """Each token's log probability from one plain forward pass over prompt + option."""
    inputs = encode(loaded, [row], add_generation_prompt=True, padding_side="left")
    ids = loaded.tokenizer(option, add_special_tokens=False)["input_ids"]
    n = inputs["input_ids"].shape[1]
    extra = torch.tensor([ids])
    inputs["input_ids"] = torch.cat([inputs["input_ids"], extra], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    for name in ("token_type_ids", "mm_token_type_ids"):
        if name in inputs:
            inputs[name] = torch.cat([inputs[name], torch.zeros_like(extra)], 1)
    with torch.inference_mode():
        logp = loaded.model(**inputs).logits.log_softmax(-1)[0, n - 1 : -1]
    return logp.gather(-1, extra.T)[:, 0].tolist()


def test_options_and_answers_are_scored_as_by_a_plain_forward_pass(loaded):
    rows = prompts(loaded)
    options = [["A", "yes please", "no, not this one"], ["B", "C"]] * (len(rows) // 2)
    engine = Engine(loaded, max_batch=7)
    scores = engine.score_options(rows, options)
    answers = engine.score_answers(rows, [own[-1] for own in options])
    for row, own, found, answer in zip(rows, options, scores, answers, strict=True):
        expected = [sum(reference_logprobs(loaded, row, option)) for option in own]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(answer.logprobs, reference_logprobs(loaded, row, own[-1]), rtol=1e-4, atol=1e-4)
        assert answer.total == pytest.approx(found[-1], rel=1e-4)


def test_hidden_states_do_not_depend_on_the_batch(loaded):
    rows = prompts(loaded)
    engine = Engine(loaded)
    for layer, position in ((1, -1), (-1, -2), (0, 0), (1, 3)):
        together = engine.hidden_states(rows, layer=layer, position=position)
        assert together.shape == (len(rows), 32)
        for row, found in zip(rows, together, strict=True):
            inputs = encode(loaded, [row], add_generation_prompt=True, padding_side="left")
            with torch.inference_mode():
                states = loaded.model(**inputs, output_hidden_states=True).hidden_states
            np.testing.assert_allclose(found, states[layer][0, position], rtol=1e-3, atol=1e-3)
    with pytest.raises(InputError, match="layer 99"):
        engine.hidden_states(rows, layer=99)


def test_states_of_several_layers_come_from_one_pass_that_ends_at_the_deepest(loaded):
    """Those of a plain pass with all hidden states, whatever the batch; blocks behind the deepest are not run."""
    from counterpoise.models import decoder_layers

    rows, engine, ran = prompts(loaded), Engine(loaded), []
    found = engine.layer_states(rows, (1, 2))
    assert found.shape == (len(rows), 2, 32)
    for row, states in zip(rows, found, strict=True):
        inputs = encode(loaded, [row], add_generation_prompt=True, padding_side="left")
        with torch.inference_mode():
            out = loaded.model(**inputs, output_hidden_states=True)
            norm = getattr(loaded.model.get_decoder(), "norm", torch.nn.Identity())  # LFM2's last state is not normed
            normed = norm(torch.tensor(states[1]))
        np.testing.assert_allclose(states[0], out.hidden_states[1][0, -1], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(normed, out.hidden_states[2][0, -1], rtol=1e-3, atol=1e-3)
    hook = decoder_layers(loaded.model)[1].register_forward_hook(lambda *_: ran.append(1))
    np.testing.assert_allclose(engine.layer_states(rows, (1,))[:, 0], found[:, 0], rtol=1e-4, atol=1e-4)
    hook.remove()
    assert not ran and engine.layer_states([], (1,)).shape == (0, 1, 32)
    for layers, message in (((99,), "layer 99"), ((0,), "layer 0"), ((), "no layer")):
        with pytest.raises(InputError, match=message):
            engine.layer_states(rows, layers)


def test_submitted_requests_get_the_same_answers_and_a_bad_one_fails_alone(models):
    loaded = models("llava")
    rows, decoding = prompts(loaded), Decoding(max_new_tokens=5)
    engine = Engine(loaded)
    expected = engine.generate(rows, decoding)
    bad = (user(Image.from_bytes(b"not an image", "broken.png"), "what?"),)
    futures = [engine.submit(row, decoding) for row in rows]
    broken = engine.submit(bad, decoding)
    wait([*futures, broken], timeout=60)
    assert [f.result() for f in futures] == expected
    with pytest.raises(InputError, match=r"broken\.png"):
        broken.result()
    engine.close()
    with pytest.raises(InputError, match="closed"):
        engine.submit(rows[0])


def test_a_failing_batch_does_not_take_its_other_members_with_it(models, monkeypatch):
    loaded = models("llama")
    engine, decoding = Engine(loaded), Decoding(max_new_tokens=3)
    real = engine_module.generate_batch

    def fails_on_long_rows(loaded, rows, decoding):
        if any(len(row.ids) > 40 for row in rows):
            raise ZeroDivisionError("boom")
        return real(loaded, rows, decoding)

    monkeypatch.setattr(engine_module, "generate_batch", fails_on_long_rows)
    futures = [engine.submit((user(text),), decoding) for text in ("a", "b", "long " * 30, "c")]
    assert isinstance(futures[2].exception(timeout=60), ZeroDivisionError)
    assert all(futures[i].result(timeout=60).n_new == 3 for i in (0, 1, 3))
    engine.close()
    assert engine.detours["reasons"] == {"ZeroDivisionError: boom": engine.splits} and engine.splits > 0


def test_a_broken_cache_stops_the_run_with_its_cause(models, monkeypatch, capsys):
    """A cache that is not cut makes every batch fail and no row: going on one by one would crawl without a word."""
    from transformers import DynamicCache

    loaded = models("llama")
    monkeypatch.setattr(DynamicCache, "reorder_cache", lambda self, rows: None)
    rows, seen = prompts(loaded), [alone(loaded, row) for row in prompts(loaded)]
    ends = [seen[0][1], seen[1][2], loaded.tokenizer.eos_token_id]  # rows end at different steps, so that rows are cut
    monkeypatch.setattr(loaded.model.generation_config, "eos_token_id", ends)
    engine, asked = Engine(loaded), 0
    real = engine_module.generate_batch

    def counted(*args):
        nonlocal asked
        asked += 1
        return real(*args)

    monkeypatch.setattr(engine_module, "generate_batch", counted)
    futures = [engine.submit(row, Decoding(max_new_tokens=N_NEW)) for row in rows * 4]
    for future in futures:
        with pytest.raises(InputError, match=r"cache layer 0 \(DynamicLayer\) holds \d+ rows where \d+ were kept"):
            future.result(timeout=60)
    engine.close()
    assert asked < len(futures) / 2  # it stopped at the first batch, and did not answer them one by one
    assert engine.detours["splits"] > 0 and "failed and is split" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="cache layer 0"):
        Engine(loaded).generate(rows, Decoding(max_new_tokens=N_NEW))


def test_logits_that_are_no_numbers_stop_the_run_and_name_their_origin(models, monkeypatch):
    loaded = models("llama")
    weight = loaded.model.model.layers[1].mlp.down_proj.weight
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight[0, 0] = float("nan")
        for ask in (
            lambda e: e.generate(prompts(loaded), Decoding(max_new_tokens=3)),
            lambda e: e.generate(prompts(loaded)[:1], Decoding(max_new_tokens=3)),
            lambda e: e.submit(prompts(loaded)[0], Decoding(max_new_tokens=3)).result(60),
            lambda e: e.score_options(prompts(loaded)[:1], [["A", "B"]]),
            lambda e: e.look(prompts(loaded), [5]),
            lambda e: e.look_shared(prompts(loaded), [5]),
        ):
            with pytest.raises(InputError, match=r"not numbers.*layers\.1\.mlp\.down_proj\.weight"):
                ask(Engine(loaded))
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    hook = loaded.model.model.layers[0].mlp.act_fn.register_forward_hook(lambda m, i, out: out * float("inf"))
    with pytest.raises(InputError, match=r"they begin in model\.layers\.0\.mlp\.act_fn"):
        Engine(loaded).generate(prompts(loaded), Decoding(max_new_tokens=3))
    hook.remove()


def test_one_row_without_numbers_is_an_outcome_of_its_own(models):
    loaded = models("llama")
    rows, decoding = prompts(loaded), Decoding(max_new_tokens=6)
    expected = Engine(loaded).generate(rows, decoding)
    n = len(max(rows, key=lambda row: len(row[0].text))[0].text)
    bad = next(i for i, row in enumerate(rows) if len(row[0].text) == n)

    def spoil(module, given, out):  # the longest row stands first in a batch; it leaves as soon as it is noticed
        return out.index_fill(0, torch.tensor([0]), float("nan")) if len(out) == len(rows) else out

    hook = loaded.model.get_output_embeddings().register_forward_hook(spoil)
    try:
        answers = Engine(loaded).generate(rows, decoding)
    finally:
        hook.remove()
    assert [a.problem for a in answers] == ["not_finite" if i == bad else None for i in range(len(rows))]
    assert [a for i, a in enumerate(answers) if i != bad] == [a for i, a in enumerate(expected) if i != bad]
    assert not answers[bad].whole


def test_a_prompt_that_alone_overflows_is_an_outcome_also_in_a_batch_of_one(models):
    loaded = models("llama")
    rows, decoding = prompts(loaded), Decoding(max_new_tokens=3)
    longest = max(range(len(rows)), key=lambda n: len(rows[n][0].text))
    width = len(encode(loaded, [rows[longest]], add_generation_prompt=True, padding_side="left")["input_ids"][0])

    def spoil(module, given, out):  # hidden states of a prompt of that length are no numbers
        return out * float("nan") if out.shape[1] >= width and len(out) == 1 else out

    hook = loaded.model.model.layers[0].mlp.register_forward_hook(spoil)
    try:
        answers = Engine(loaded, max_batch=1).generate(rows, decoding)
        assert [a.problem == "not_finite" for a in answers] == [n == longest for n in range(len(rows))]
        scores = Engine(loaded, max_batch=1).score_options(rows, [["A", "B"]] * len(rows))
        assert [np.isnan(row).all() for row in scores] == [n == longest for n in range(len(rows))]
    finally:
        hook.remove()


def test_the_same_error_for_every_prompt_is_nobodys_row(models, monkeypatch):
    loaded, asked = models("llama"), []

    def fails(loaded, rows, decoding):
        asked.append(len(rows))
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(engine_module, "generate_batch", fails)
    engine = Engine(loaded, max_batch=8)
    futures = [engine.submit((user(f"{n}?"),), Decoding(max_new_tokens=3)) for n in range(64)]
    for future in futures:
        assert "all of" in str(future.exception(60)) and "boom" in str(future.exception(60))
    engine.close()
    assert len(asked) < 32  # one batch was searched, and no more


def test_submitting_never_waits_for_a_running_batch(models, monkeypatch):
    loaded = models("llama")
    engine, running, go_on = Engine(loaded), threading.Event(), threading.Event()
    real = engine_module.generate_batch

    def slow(loaded, rows, decoding):
        running.set()
        assert go_on.wait(30)
        return real(loaded, rows, decoding)

    monkeypatch.setattr(engine_module, "generate_batch", slow)
    first = engine.submit((user("a"),), Decoding(max_new_tokens=2))
    assert running.wait(30)
    second = engine.submit((user("b"),), Decoding(max_new_tokens=2))
    assert not first.done()  # the batch is still held up
    go_on.set()
    assert first.result(30).n_new and second.result(30).n_new
    engine.close()


def test_out_of_memory_halves_the_batch_and_goes_on(models, monkeypatch):
    loaded = models("smolvlm")
    rows, decoding = prompts(loaded), Decoding(max_new_tokens=4)
    expected = Engine(loaded).generate(rows, decoding)
    real = engine_module.generate_batch

    def small_machine(loaded, rows, decoding):
        if len(rows) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return real(loaded, rows, decoding)

    monkeypatch.setattr(engine_module, "generate_batch", small_machine)
    engine = Engine(loaded)
    assert engine.generate(rows, decoding) == expected
    assert engine.halvings > 0 and engine.max_batch <= 2
    assert engine.detours["halvings"] == engine.halvings and "out of memory" in next(iter(engine.detours["reasons"]))

    def no_machine(loaded, rows, decoding):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    monkeypatch.setattr(engine_module, "generate_batch", no_machine)
    with pytest.raises(InputError, match="out of memory on cpu with a single prompt"):
        engine.generate(rows[:1], decoding)


def test_greedy_ignores_left_over_sampling_settings(models, monkeypatch):
    loaded = models("llama")
    rows = prompts(loaded)
    expected = Engine(loaded).generate(rows, Decoding(max_new_tokens=6))
    for name, value in {"do_sample": True, "temperature": 9.0, "top_k": 3, "repetition_penalty": 5.0}.items():
        monkeypatch.setattr(loaded.model.generation_config, name, value)
    assert Engine(loaded).generate(rows, Decoding(max_new_tokens=6)) == expected


def test_sampling_depends_on_the_seed_and_not_on_the_batch(models):
    loaded = models("llama")
    rows = prompts(loaded)
    sampling = Decoding(max_new_tokens=8, temperature=1.5, top_p=0.9, seed=3)
    together = Engine(loaded).generate(rows, sampling)
    assert Engine(loaded, max_batch=1).generate(rows, sampling) == together
    assert Engine(loaded).generate(rows, Decoding(8, 1.5, 0.9, seed=4)) != together
    cold = Decoding(max_new_tokens=8, temperature=1.5, top_p=1e-9, seed=3)  # only the first token stays: greedy
    assert Engine(loaded).generate(rows, cold) == Engine(loaded).generate(rows, Decoding(max_new_tokens=8))


@pytest.mark.parametrize("top_p", [1.0, 0.999, 0.9, 0.3, 1e-9])
@pytest.mark.parametrize("spread", [0.1, 3.0, 9.0])
def test_sampling_by_the_likeliest_tokens_draws_what_the_whole_vocabulary_does(top_p, spread):
    """Flat rows, whose draw often falls behind the sorted front, and sharp ones."""
    import torch

    from counterpoise.models._generate import FRONT, sample

    logits = spread * torch.randn(64, FRONT * 5, generator=torch.Generator().manual_seed(1))
    p, order = logits.softmax(-1).sort(dim=-1, descending=True)
    p = p.masked_fill(p.cumsum(-1) - p >= top_p, 0)
    u = torch.stack([torch.rand((), generator=torch.Generator().manual_seed(seed)) for seed in range(64)])
    place = (p.cumsum(-1) < (u * p.sum(-1))[:, None]).sum(-1)
    drawn = sample(logits, Decoding(5, 1.0, top_p), [torch.Generator().manual_seed(seed) for seed in range(64)])
    wrong = (drawn != order.gather(-1, place[:, None])[:, 0]).sum()
    assert int(wrong) <= 1  # a draw within rounding of the edge between two tokens


def test_a_stop_string_ends_the_reply_before_it(models):
    loaded = models("llama")
    row = prompts(loaded)[0]
    whole = Engine(loaded).generate([row], Decoding(max_new_tokens=10))[0]
    end = whole.text[3:5]
    cut = Engine(loaded).generate([row], Decoding(max_new_tokens=10, stop=(end,)))[0]
    assert cut.text == whole.text.partition(end)[0].strip()
    assert cut.finish == "stop" and cut.n_new < whole.n_new


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="max_new_tokens"):
        Decoding(max_new_tokens=0)
    with pytest.raises(InputError, match="top_p"):
        Decoding(top_p=0)


def test_what_is_wrong_with_the_model_is_said_after_one_batch(models, monkeypatch):
    """No row is at fault when the forward pass takes no cache: trying each alone took minutes until the line came."""
    loaded = models("llama")

    def forward(input_ids, attention_mask=None):
        raise AssertionError("never called")

    monkeypatch.setattr(loaded.model, "forward", forward)
    engine, asked, real = Engine(loaded), [], engine_module.generate_batch

    def counted(loaded, rows, decoding):
        asked.append(len(rows))
        return real(loaded, rows, decoding)

    monkeypatch.setattr(engine_module, "generate_batch", counted)
    futures = [engine.submit((user(f"question {n}"),), Decoding(max_new_tokens=3)) for n in range(40)]
    for future in futures:
        with pytest.raises(EngineError, match="its forward pass takes no cache"):
            future.result(timeout=60)
    engine.close()
    assert asked in ([40], [asked[0]]) and engine.detours == {}


def test_a_prompt_that_does_not_fit_fails_alone(models, monkeypatch):
    loaded = models("llama")
    real = engine_module.generate_batch

    def small_machine(loaded, rows, decoding):
        if any(len(row.ids) > 40 for row in rows):
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return real(loaded, rows, decoding)

    monkeypatch.setattr(engine_module, "generate_batch", small_machine)
    engine = Engine(loaded)
    futures = [engine.submit((user(text),), Decoding(max_new_tokens=3)) for text in ("a", "b", "long " * 30, "c")]
    with pytest.raises(InputError, match="with a single prompt of"):
        futures[2].result(timeout=60)
    assert all(futures[i].result(timeout=60).n_new == 3 for i in (0, 1, 3))
    engine.close()
