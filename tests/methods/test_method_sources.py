"""Images of training rows are decoded before training."""

import io

import PIL.Image
import pytest

from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.methods import _sources, check_images


def jpeg() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.effect_noise((64, 64), 90).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


def sample(number: int, image: Image) -> Sample:
    return Sample(id=str(number), messages=(user(image, "What?"), assistant("That.")), modality="image", split="train")


def test_a_half_written_picture_in_any_row_stops_before_training() -> None:
    whole = jpeg()
    rows = [sample(number, Image.from_bytes(whole)) for number in range(200)]
    check_images(rows)
    rows[1] = sample(1, Image.from_bytes(whole[: len(whole) // 2], "cut.jpg"))
    with pytest.raises(InputError, match=r"row 1\b.*cut.jpg: corrupt or truncated"):
        check_images(rows)


def test_a_spread_of_very_many_pictures_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_sources, "DECODED", 10)
    whole = jpeg()
    rows = [sample(number, Image.from_bytes(whole)) for number in range(25)]
    rows[24] = sample(24, Image.from_bytes(whole[: len(whole) // 2], "cut.jpg"))
    with pytest.raises(InputError, match="row 24"):  # 0, 3, ..., 24
        check_images(rows)
    assert "one in 3 of 25" in capsys.readouterr().err
