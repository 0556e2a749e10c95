"""FID and CLIP score: the distance against scipy's formula, its properties, and encoders that are tiny or missing."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import tiny
from counterpoise.base import InputError, MissingPackageError
from counterpoise.chat import Image as Chat
from counterpoise.methods.duo import clip_score, fid, frechet, inception_features
from counterpoise.models import load_dual


def features(seed, n=40, d=6, scale=1.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * scale + rng.normal(size=d)


@pytest.mark.parametrize("d", [1, 6])
def test_the_distance_is_the_published_formula(d):
    linalg = pytest.importorskip("scipy.linalg")
    a, b = features(0, d=d), features(1, 30, d=d)
    one, two = (np.cov(each, rowvar=False).reshape(d, d) for each in (a, b))
    gap = a.mean(0) - b.mean(0)
    wanted = gap @ gap + np.trace(one + two - 2 * linalg.sqrtm(one @ two).real)
    assert frechet(a, b) == pytest.approx(wanted, rel=1e-9)
    assert frechet(a.astype(np.float32), b.astype(np.float32)) == pytest.approx(wanted, rel=1e-5)


def test_of_one_feature_it_is_the_difference_of_means_and_of_deviations():
    a, b = np.array([[0.0], [2.0]]), np.array([[3.0], [3.0], [3.0]])
    assert frechet(a, b) == pytest.approx((1 - 3) ** 2 + 2)  # deviation sqrt(2) against 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(3, 12))
def test_it_is_a_distance_also_with_fewer_pictures_than_features(seed, n):
    a, b = features(seed, n, 8), features(seed + 1, 20, 8)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(8, 8)))[0]
    found = frechet(a, b)
    near = {"rel": 1e-6, "abs": 1e-6}
    assert found > 0 and frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet(b, a) == pytest.approx(found, **near)
    assert frechet(a @ turn + 3, b @ turn + 3) == pytest.approx(found, **near)  # the frame does not matter
    assert frechet(2 * a, 2 * b) == pytest.approx(4 * found, **near)
    shift = np.arange(8.0)
    assert frechet(a + shift, a) == pytest.approx(shift @ shift, **near)


def noise(seed, n, low=0, high=255):
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.integers(low, high, (24, 24, 3), dtype=np.uint8)) for _ in range(n)]


def test_pictures_of_another_kind_are_further_away(tmp_path):
    encoder = load_dual(str(tiny.build_dual("clip", tmp_path / "clip")))
    tower = "tiny tower", lambda some: encoder.embed_images(map(Chat.from_pil, some)).numpy()
    like, other = fid(tower, noise(0, 16), noise(1, 16)), fid(tower, noise(0, 16), noise(2, 16, high=60))
    assert 0 < like.value < other.value
    assert (like.features, like.n_real, like.n_drawn) == ("tiny tower", 16, 16)
    with pytest.raises(InputError, match="1 pictures on a side"):
        fid(tower, noise(0, 2), noise(1, 1))
    with pytest.raises(InputError, match=r"shape \(3, 2\) for 2 pictures"):
        fid(("odd", lambda some: np.zeros((3, 2))), noise(0, 2), noise(1, 2))
    with pytest.raises(InputError, match="equal width"):
        frechet(np.zeros((3, 2)), np.zeros((3, 4)))


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_the_clip_score_is_the_mean_cosine_of_each_picture_and_its_own_prompt(tmp_path, kind):
    encoder = load_dual(str(tiny.build_dual(kind, tmp_path / kind)))
    pictures, prompts = noise(0, 5), ["a cat", "a dog", "two birds", "the sea", "a house"]
    found = clip_score(encoder, pictures, prompts)
    cosines = []
    for picture, prompt in zip(pictures, prompts, strict=True):
        a, b = encoder.embed_images([Chat.from_pil(picture)])[0], encoder.embed_texts([prompt])[0]
        cosines.append(float(a @ b / a.norm() / b.norm()))
    assert found.value == pytest.approx(np.mean([100 * max(0, c) for c in cosines]), abs=1e-3) and found.n == 5
    assert found.low <= found.value <= found.high
    with pytest.raises(InputError, match="2 prompts for 5 pictures"):
        clip_score(encoder, pictures, prompts[:2])


def test_without_the_package_or_its_weights_it_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(MissingPackageError, match=r"FID needs torch_fidelity: pip install 'torch-fidelity>=0.4,<0.5'"):
        inception_features(tmp_path / "weights.pth")


def test_the_features_are_those_of_the_network_and_a_pickle_is_not_run(tmp_path):
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    import torch

    with pytest.raises(InputError, match="no such file"):
        inception_features(tmp_path / "none.pth")
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return marker.touch, ()

    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="not the Inception weights"):
        inception_features(tmp_path / "evil.pth")
    assert not marker.exists()
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="not the Inception weights"):
        inception_features(tmp_path / "other.pth")
    net = random_inception(module, tmp_path / "weights.pth")
    name, extract = inception_features(tmp_path / "weights.pth")
    pictures = noise(0, 2)
    wanted = net(torch.from_numpy(np.stack([np.asarray(each) for each in pictures])).permute(0, 3, 1, 2))[0]
    assert name.startswith("inception-2015-12-05 ") and wanted.shape == (2, 2048)
    assert np.allclose(extract(pictures), wanted.numpy(), atol=1e-5)


def random_inception(module, file):
    """The network with random weights, and its file: its constructor wants one, of the shapes that a subclass tells."""
    import torch

    class Bare(module.FeatureExtractorInceptionV3):
        def load_state_dict(self, state, *rest, **options):
            return None

    torch.save({}, file)
    torch.manual_seed(0)
    net = Bare("inception", ["2048"], feature_extractor_weights_path=str(file))
    torch.save(net.state_dict(), file)
    return net
