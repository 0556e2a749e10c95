"""CLUE on tiny random models of the papers' architectures, and its encoders and detectors with real classes."""

import json

import numpy as np
import pytest

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, assistant, user
from counterpoise.guard import Exchange, make_guard
from counterpoise.guard.clue import (
    BASELINES,
    Box,
    ClipEncoder,
    Clue,
    ClueGuard,
    Constants,
    EngineAsker,
    Found,
    OwlDetector,
    Query,
    Settings,
    baseline,
    make_clue,
    parse_constitution,
    scan_with,
    yes_share,
)
from counterpoise.models import Engine, Loaded, load

ARCHS = ("llava", "smolvlm", "internvl", *tiny.QWEN)
LETTERS = {"yes": ("Y", "y"), "no": ("N", "n")}
"""The tiny tokenizer knows no words; the scoring is the same with letters."""
ANY_MASS = Settings(Constants(least_mass=0.0))
RULES = parse_constitution(
    {
        "rules": [
            {"id": "r1", "text": "a dog at a table", "preconditions": ["a dog is visible", "a table is visible"]},
            {"id": "r2", "text": "fire", "preconditions": [{"any": ["a flame", "smoke"]}, "a house", "it touches"]},
            {"id": "r3", "text": "a cat", "preconditions": ["a cat"], "central": ["[cat]"]},
        ]
    },
    "test",
)

CAT = parse_constitution(
    {"rules": [{"id": "r3", "text": "a cat", "preconditions": ["a cat"], "central": ["[cat]"]}]}, "one rule"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root, made = tmp_path_factory.mktemp("models"), {}

    def get(arch: str) -> Loaded:
        if arch not in made:
            made[arch] = load(str(tiny.build(arch, root / arch)), dtype="float32", device="cpu")
        return made[arch]

    return get


@pytest.fixture(params=ARCHS)
def loaded(request, models):
    return models(request.param)


def picture(seed: int) -> Image:
    return Image.from_pil(tiny.picture(seed), f"picture {seed}")


def asker(loaded: Loaded, **more) -> EngineAsker:
    return EngineAsker(Engine(loaded), reasoning_tokens=4, summary_tokens=4, spellings=LETTERS, **more)


class Passes:
    """Forward passes of the language model and of the image encoder."""

    def __init__(self, loaded: Loaded):
        body = loaded.model.model
        tower = next(getattr(body, n) for n in ("vision_tower", "vision_model", "visual") if hasattr(body, n))
        self.language = self.images = 0
        head = loaded.model.get_output_embeddings()
        self.hooks = [head.register_forward_hook(self._language), tower.register_forward_hook(self._images)]

    def _language(self, *_):
        self.language += 1

    def _images(self, *_):
        self.images += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()


def test_the_prior_has_no_image_token(loaded):
    """Not even when the content speaks of one."""
    from counterpoise.models import encode_row

    token = loaded.model.config.image_token_id
    one = asker(loaded)
    for content in ("a dog", "<image> <|image_pad|> <IMG_CONTEXT>"):
        talk = one._talks(Query(None, content))[0]
        assert token not in encode_row(loaded, talk, add_generation_prompt=True).ids
        assert token in encode_row(loaded, one._talks(Query(picture(0), content))[0], add_generation_prompt=True).ids
    assert 0 <= one.read([Query(None, "a dog")])[0].m <= 1


def test_m_is_read_where_the_model_would_write(loaded):
    """Against the logits behind the whole prompt, by transformers alone."""
    import torch

    from counterpoise.models import encode

    one = asker(loaded)
    query = Query(picture(1), "a dog")
    inputs = encode(loaded, [one._talks(query)[0]], add_generation_prompt=True, padding_side="left")
    with torch.inference_mode():
        logp = loaded.model(**inputs).logits[0, -1].float().log_softmax(-1)
    expected = yes_share([float(logp[t]) for t in one.yes], [float(logp[t]) for t in one.no])
    assert one.read([query])[0] == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow  # a random model reasons until its token limit
def test_batched_equals_naive_with_one_image_pass(loaded):
    images = [picture(n) for n in range(3)]
    found = {}
    for batched in (False, True):
        clue = Clue(asker(loaded, shared=batched), RULES, settings=ANY_MASS, batched=batched)
        with Passes(loaded) as passes:
            found[batched] = clue.judge(images)
        if batched:
            assert passes.images <= 1 + 3 * 4  # the queries, then reasoning
    assert [(v.label, v.violated) for v in found[True]] == [(v.label, v.violated) for v in found[False]]
    for one, other in zip(found[True], found[False], strict=True):
        a, b = readings(one), readings(other)
        assert set(a) & set(b)
        assert all(a[key] == pytest.approx(b[key], abs=1e-4) for key in set(a) & set(b))


def readings(verdict):
    """M with the image by rule and text; the two orders need not ask about the same preconditions."""
    evidence = [(f.rule, e) for f in verdict.findings for group in f.chain for e in group]
    return {(rule, e.text): e.image.m for rule, e in evidence if e.image is not None}


@pytest.mark.parametrize("arch", ["llava", "smolvlm", "internvl"])
def test_at_most_a_quarter_of_the_passes(arch, models):
    loaded, images = models(arch), [picture(n) for n in range(4)]
    settings, counts = Settings(Constants(least_mass=0.0), reasoning=False), {}
    for batched in (False, True):
        one = asker(loaded, shared=batched)
        one.read([Query(None, t) for rule in RULES.rules for g in rule.groups for t in g])  # both keep priors
        with Passes(loaded) as passes:
            Clue(one, RULES, settings=settings, batched=batched).judge(images)
        counts[batched] = passes
    assert counts[True].images <= counts[False].images / 4
    assert counts[True].language <= counts[False].language / 4


class Everywhere:
    """A detector that finds each word in the same large part of every image."""

    id = "everywhere"

    def find(self, image, words):
        return [Found(Box(0, 0, 20, 20), 0.9) for _ in words]


def test_step_c_costs_no_pass_where_m_cannot_fall_far_enough(models):
    """One pass for each query in the naive order: with the image, without it (kept), and with the region removed only
    where M lies above the constant."""
    loaded, counts = models("smolvlm"), {}
    images = [picture(n) for n in range(3)]
    reads = [asker(loaded, shared=False).read([Query(each, "a cat")])[0].m for each in images]
    able = sorted(reads)[1]  # one M lies above it, one is it, one below
    for centre in (0.0, able, 1.0):
        constants = Constants(absent=0.0, shown=1.0, centre=centre, least_mass=0.0)
        clue = Clue(
            asker(loaded, shared=False), CAT, Everywhere(), settings=Settings(constants, reasoning=False), batched=False
        )
        clue.asker.read([Query(None, "a cat")])
        with Passes(loaded) as passes:
            clue.judge(images)
        counts[centre] = passes.language
    assert list(counts.values()) == [6, 4, 3]


def test_priors_are_asked_once_and_kept(models, tmp_path):
    loaded, file = models("smolvlm"), tmp_path / "priors.json"
    one = asker(loaded, priors=file)
    with Passes(loaded) as passes:
        first = one.read([Query(None, "a dog"), Query(None, "a dog")])
        assert passes.language > 0
    with Passes(loaded) as passes:
        assert asker(loaded, priors=file).read([Query(None, "a dog")]) == [first[0]] and passes.language == 0
    key = next(iter(json.loads(file.read_text())))
    assert loaded.fingerprint in key and "a dog" in key
    other = load(str(tiny.build("smolvlm", tmp_path / "other", seed=1)), dtype="float32", device="cpu")
    assert asker(other, priors=file).read([Query(None, "a dog")]) != [first[0]]  # another model, another prior
    file.write_text('{"x": 1}')
    with pytest.raises(InputError, match="not a file of priors"):
        asker(loaded, priors=file)


def test_a_tokenizer_without_yes(models):
    with pytest.raises(InputError, match="no single token for 'yes'"):
        EngineAsker(Engine(models("llava")), spellings={"yes": ("Yes of course",), "no": ("N",)})


def test_a_random_model_says_nothing_for_sure(loaded):
    """Its probability on yes and no is small, and its reasoning unreadable: unknown, not safe."""
    found = Clue(asker(loaded), RULES).judge([picture(0)])
    assert found[0].label == "unknown" and found[0].counts["reasoned queries"] > 0


@pytest.mark.parametrize("kind", BASELINES)
def test_baselines(kind, loaded):
    broken = Image.from_bytes(b"GIF89a", "broken.gif")
    images = [picture(0), broken, picture(1)]
    found = baseline(kind, asker(loaded), RULES, images, least_mass=0.0)
    assert [v.image for v in found] == [i.source for i in images] and found[1].label == "unknown"
    # reasoning that ends in no rating is asked again for one word, which counts if it has any mass that is required
    assert {found[0].label, found[2].label} <= {"safe", "unsafe"}
    if kind.endswith("cot"):
        unread = baseline(kind, asker(loaded), RULES, images[:1], least_mass=0.99)
        assert (unread[0].label, unread[0].reason) == ("unknown", "unreadable rating")
    with pytest.raises(InputError, match="unknown baseline"):
        baseline("x", asker(loaded), RULES, images)  # type: ignore[arg-type]


# The guard


class Fixed:
    """A judge's asker that finds what the test wrote."""

    id, tokens, prompts = "fixed", "none", "none"

    def __init__(self, m: float):
        self.m = m

    def read(self, queries):
        from counterpoise.guard.clue import Reading

        return [Reading(self.m if q.image is not None else 0.2, 1.0) for q in queries]

    def reason(self, queries):
        raise AssertionError("nothing is left open")


def test_the_guard_reads_no_text_and_says_so():
    bad, good = (ClueGuard(Clue(Fixed(m), RULES)) for m in (0.99, 0.01))
    shown, text = Exchange((user(picture(0)),)), Exchange((user("hello"),))
    both, answered = Exchange((user(picture(0), picture(1), "hello"),)), Exchange((user(picture(0)),), "an answer")
    assert bad.sees.texts is False and bad.sees.images is None
    [verdict] = bad.check([shown])
    assert verdict.label == "unsafe" and verdict.categories == ("r1", "r2", "r3") and verdict.inspected.images == 1
    assert "r1: a dog is visible (yes, b)" in (verdict.rationale or "")
    labels = [v.label for v in good.check([shown, text, both, answered])]
    assert labels == ["safe", "unknown", "unknown", "unknown"]
    assert [v.label for v in bad.check([text, both, answered])] == ["unknown", "unsafe", "unsafe"]
    [mixed] = good.check([both])
    assert (mixed.inspected.texts, mixed.inspected.images, mixed.reason) == (0, 2, "the guard does not read text")


def test_the_guard_on_broken_and_missing_images():
    good = ClueGuard(Clue(Fixed(0.01), RULES))
    broken = Exchange((user(picture(0), Image.from_bytes(b"x", "broken.png")),))
    [verdict] = good.check([broken])
    assert verdict.label == "unknown" and verdict.inspected.images == 1 and "broken.png" in (verdict.reason or "")
    assert good.check([]) == []
    nothing = Exchange((user(" "), assistant(" ")))
    assert good.check([nothing])[0].label == "unknown"


def test_by_name(models, tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text("name: mine\nrules: [{id: r, text: a dog, preconditions: [a dog]}]")
    with pytest.raises(InputError, match="single token"):  # the registry reaches the judge; tiny models have no "Yes"
        make_guard(f"clue:{file}", model=models("llava").path, encoder="none", detector="none")
    with pytest.raises(InputError, match="No such file"):
        make_guard(f"clue:{tmp_path / 'none.yaml'}")
    with pytest.raises(InputError, match="text-only"):
        make_clue(models("llama").path, encoder="none", detector="none")


# Encoders and detectors


def words(tok_texts: list[str]):
    """A whole-word tokenizer with CLIP's ends."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab = {w: n for n, w in enumerate(["<pad>", "<s>", "</s>", "<unk>", *tok_texts])}
    made = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=16,
    )


SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
VOCABULARY = ["a", "photo", "of", "dog", "cat", "flame", "house"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    import torch
    import transformers as t

    folder, torch_seed = tmp_path_factory.mktemp("clip"), torch.manual_seed(0)
    assert torch_seed is not None
    tok = words(VOCABULARY)
    config = t.CLIPConfig(
        text_config={**SMALL, "vocab_size": len(tok), "eos_token_id": 2, "max_position_embeddings": 16},
        vision_config={**SMALL, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    t.CLIPModel(config).save_pretrained(folder)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    t.CLIPProcessor(t.CLIPImageProcessorPil(**size), tok).save_pretrained(folder)
    return folder


def test_a_clip_from_a_folder(clip):
    import torch
    import transformers as t

    encoder, images, texts = ClipEncoder(str(clip), "cpu"), [picture(0), picture(1)], ["a dog", "a photo of a cat"]
    found = encoder.similarity(images, texts)
    assert found.shape == (2, 2) and np.all(np.abs(found) <= 1 + 1e-6)
    model, processor = t.CLIPModel.from_pretrained(clip), t.CLIPProcessor.from_pretrained(clip, backend="pil")
    inputs = processor(text=texts, images=[i.pil() for i in images], return_tensors="pt", padding=True)
    with torch.inference_mode():
        out = model(**inputs)
    expected = (out.image_embeds @ out.text_embeds.T).numpy()
    assert np.allclose(found, expected, atol=1e-5)


def test_a_threshold_belongs_to_its_encoder(clip):
    assert scan_with(ClipEncoder("openai/clip-vit-base-patch16")).threshold == 0.22
    with pytest.raises(InputError, match="its threshold is not known"):
        scan_with(ClipEncoder(str(clip)))
    assert scan_with(ClipEncoder(str(clip)), 0.1).threshold == 0.1


def test_a_model_without_text_features(models):
    with pytest.raises(InputError):
        ClipEncoder(models("llama").path, "cpu").similarity([picture(0)], ["a dog"])


@pytest.fixture(scope="module")
def owl(tmp_path_factory):
    import torch
    import transformers as t

    folder = tmp_path_factory.mktemp("owl")
    torch.manual_seed(0)
    tok = words(VOCABULARY)
    config = t.Owlv2Config(
        text_config={**SMALL, "vocab_size": len(tok), "max_position_embeddings": 16, "eos_token_id": 2},
        vision_config={**SMALL, "image_size": 32, "patch_size": 8},
        projection_dim=32,
    )
    t.Owlv2ForObjectDetection(config).save_pretrained(folder)
    images = t.Owlv2ImageProcessorPil(size={"height": 32, "width": 32})
    t.Owlv2Processor(images, tok).save_pretrained(folder)
    return folder


def test_owlv2_gives_the_best_box_of_each_word(owl):
    shown = Image.from_pil(tiny.picture(0, (60, 40)))
    found = OwlDetector(str(owl), "cpu").find(shown, ["dog", "cat", "dog"])
    assert len(found) == 3 and found[0] == found[2]
    for one in found:
        assert isinstance(one, Found) and 0 <= one.confidence <= 1 and isinstance(one.box, Box)
    assert OwlDetector(str(owl), "cpu").find(shown, []) == []


def test_no_such_detector():
    with pytest.raises(InputError, match="no such model folder"):
        OwlDetector("./nowhere", "cpu").find(picture(0), ["dog"])


def test_the_whole_chain_with_real_parts(models, clip, owl):
    """A tiny model, CLIP and OWLv2 together: every rule ends somewhere, and equals the naive order."""
    loaded, found = models("internvl"), {}
    for batched in (False, True):
        clue = Clue(
            asker(loaded, shared=batched),
            RULES,
            OwlDetector(str(owl), "cpu"),
            scan_with(ClipEncoder(str(clip), "cpu"), -1.0),
            ANY_MASS,
            batched,
        )
        found[batched] = clue.judge([picture(3)])
    assert [(v.label, v.violated) for v in found[True]] == [(v.label, v.violated) for v in found[False]]
    assert len(found[True][0].scan) == 3 and all(s.kept for s in found[True][0].scan)
