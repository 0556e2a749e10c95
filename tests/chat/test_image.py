"""One print, saved in every mode and format that people have, is one picture to models, judges and guards."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.features
import PIL.Image
import PIL.ImageCms
import PIL.ImageDraw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from counterpoise.base import InputError
from counterpoise.chat import Image


def page() -> PIL.Image.Image:
    """Dark grey print on light grey, with a black and a white corner."""
    image = PIL.Image.new("L", (96, 40), 220)
    draw = PIL.ImageDraw.Draw(image)
    draw.text((12, 12), "STEAL A CAR", fill=40)
    draw.rectangle((0, 0, 7, 7), fill=0)
    draw.rectangle((88, 32, 95, 39), fill=255)
    return image


PAGE = page()
GREY = np.asarray(PAGE)


def saved(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(values: np.ndarray, colour: int, *more: tuple[bytes, bytes], bits: int = 16) -> bytes:
    """A PNG of big-endian samples; `colour` is PNG's colour type."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = b"".join(b"\0" + row.tobytes() for row in values)
    head = struct.pack(">IIBBBBB", PAGE.width, PAGE.height, bits, colour, 0, 0, 0)
    middle = b"".join(chunk(*each) for each in more)
    data = chunk(b"IHDR", head) + middle + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def tiff(body: bytes, bits: int, *, channels: int = 1, kind: int = 1, photometric: int = 1, order: str = "<") -> bytes:
    """An uncompressed TIFF; `kind` is its sample format: 1 unsigned, 2 signed, 3 float."""
    entries = [
        (256, 3, 1, PAGE.width), (257, 3, 1, PAGE.height), (258, 3, 1, bits), (259, 3, 1, 1), (262, 3, 1, photometric),
        (273, 4, 1, 8), (277, 3, 1, channels), (278, 3, 1, PAGE.height), (279, 4, 1, len(body)), (339, 3, 1, kind),
    ]  # fmt: skip
    tail = b""
    if channels > 1:  # bits of each channel do not fit into the entry
        tail = struct.pack(f"{order}{channels}H", *[bits] * channels)
        entries[2] = (258, 3, channels, 8 + len(body) + 2 + 12 * len(entries) + 4)
        entries[-1] = (339, 3, 1, kind)
    table = b"".join(
        struct.pack(f"{order}HHI", tag, size, n) + struct.pack(f"{order}I" if size == 4 or n > 1 else f"{order}HH",
                                                               *((value,) if size == 4 or n > 1 else (value, 0)))
        for tag, size, n, value in entries
    )  # fmt: skip
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(body))
    return head + body + struct.pack(f"{order}H", len(entries)) + table + bytes(4) + tail


def twelve_bits() -> bytes:
    """Two samples in three bytes, as TIFF packs 12 bits."""
    values = np.round(GREY / 255 * 4095).astype(np.uint32).reshape(-1, 2)
    packed = np.stack([values[:, 0] >> 4, (values[:, 0] & 15) << 4 | values[:, 1] >> 8, values[:, 1] & 255], axis=1)
    return tiff(packed.astype(np.uint8).tobytes(), 12)


def transparent(mode: str) -> PIL.Image.Image:
    """The page where white, and only white, is a hole in black."""
    mask = PIL.Image.fromarray(np.where(GREY == 255, 0, 255).astype(np.uint8))
    dark = PIL.Image.fromarray(np.where(GREY == 255, 0, GREY).astype(np.uint8))
    dark = dark.convert(mode)
    dark.putalpha(mask)
    return dark


def palette(hole: bool) -> PIL.Image.Image:
    """The page in palette mode; with `hole` its white is a transparent red."""
    image = PIL.Image.fromarray(GREY).convert("P")
    colours = [value for grey in range(256) for value in (grey, grey, grey)]
    image.putpalette([*colours[:-3], 255, 0, 0] if hole else colours)
    return image


def lab() -> bytes:
    profiles = PIL.ImageCms.createProfile("sRGB"), PIL.ImageCms.createProfile("LAB")
    converted = PIL.ImageCms.profileToProfile(PAGE.convert("RGB"), *profiles, outputMode="LAB")
    assert converted is not None
    return saved(converted, "TIFF")


def deep(scale: float, offset: float, dtype: Any) -> bytes:
    return saved(PIL.Image.fromarray((GREY.astype(np.float64) * scale + offset).astype(dtype)), "TIFF")


SIXTEEN = GREY.astype(np.uint16) * 257
COLOUR = np.stack([SIXTEEN] * 3, axis=-1)
SAME: dict[str, Callable[[], bytes]] = {
    "grey png": lambda: saved(PAGE, "PNG"),
    "grey bmp": lambda: saved(PAGE, "BMP"),
    "grey tiff": lambda: saved(PAGE, "TIFF"),
    "grey gif": lambda: saved(PAGE, "GIF"),
    "rgb png": lambda: saved(PAGE.convert("RGB"), "PNG"),
    "rgb webp": lambda: saved(PAGE.convert("RGB"), "WEBP", lossless=True),
    "palette png": lambda: saved(palette(hole=False), "PNG"),
    "palette png, transparent": lambda: saved(palette(hole=True), "PNG", transparency=255),
    "palette gif, transparent": lambda: saved(palette(hole=True), "GIF", transparency=255),
    "grey png, transparent": lambda: png(np.where(GREY == 255, 5, GREY).astype("u1"), 0, (b"tRNS", b"\0\5"), bits=8),
    "la png": lambda: saved(transparent("LA"), "PNG"),
    "la tiff": lambda: saved(transparent("LA"), "TIFF"),
    "rgba png": lambda: saved(transparent("RGBA"), "PNG"),
    "rgba webp": lambda: saved(transparent("RGBA"), "WEBP", lossless=True, exact=True),
    "pa tiff": lambda: saved(transparent("PA"), "TIFF"),
    "16-bit grey png": lambda: png(SIXTEEN.astype(">u2"), 0),
    "16-bit grey png, transparent": lambda: png(
        np.where(GREY == 255, 5, SIXTEEN).astype(">u2"), 0, (b"tRNS", b"\0\5")
    ),
    "16-bit grey and alpha png": lambda: png(np.stack([SIXTEEN, SIXTEEN * 0 + 65535], -1).astype(">u2"), 4),
    "16-bit rgb png": lambda: png(COLOUR.astype(">u2"), 2),
    "16-bit tiff, little-endian": lambda: tiff(SIXTEEN.astype("<u2").tobytes(), 16),
    "16-bit tiff, big-endian": lambda: tiff(SIXTEEN.astype(">u2").tobytes(), 16, order=">"),
    "16-bit tiff, white is zero": lambda: tiff((65535 - SIXTEEN).astype("<u2").tobytes(), 16, photometric=0),
    "16-bit rgb tiff": lambda: tiff(COLOUR.astype("<u2").tobytes(), 16, channels=3, photometric=2),
    "12-bit tiff": twelve_bits,
    "int32 tiff up to 255": lambda: deep(1, 0, np.int32),
    "int32 tiff up to 65535": lambda: deep(257, 0, np.int32),
    "int32 tiff up to 2**31": lambda: deep(8421504, 0, np.int32),
    "int32 tiff below zero": lambda: deep(1000, -100_000, np.int32),
    "uint32 tiff up to 2**32": lambda: tiff((GREY.astype("<u4") * 16843009).tobytes(), 32),
    "float tiff up to 1": lambda: deep(1 / 255, 0, np.float32),
    "float tiff up to 255": lambda: deep(1, 0, np.float32),
    "float tiff up to 65535": lambda: deep(257, 0, np.float32),
    "float tiff around zero": lambda: deep(2 / 255, -1, np.float32),
    "float tiff beyond": lambda: deep(1e6, 3, np.float32),
    "cmyk tiff": lambda: saved(PAGE.convert("RGB").convert("CMYK"), "TIFF"),
    "ycbcr tiff": lambda: saved(PAGE.convert("RGB").convert("YCbCr"), "TIFF"),
    "lab tiff": lab,
}  # fmt: skip
ROUGHLY = {
    "grey jpeg": lambda: saved(PAGE, "JPEG", quality=95),
    "cmyk jpeg": lambda: saved(PAGE.convert("RGB").convert("CMYK"), "JPEG", quality=95),  # stored inverted, as Adobe's
    "phone jpeg": lambda: phone(),
}


def phone() -> bytes:
    """A picture, and behind it a smaller one that is something else."""
    other = PIL.Image.new("RGB", (24, 10), "red")
    return saved(PAGE.convert("RGB"), "MPO", save_all=True, append_images=[other], quality=95)


@pytest.mark.parametrize("name", SAME)
def test_one_print_in_every_mode_is_one_picture(name: str) -> None:
    image = Image.from_bytes(SAME[name](), name).pil()
    assert (image.mode, image.size) == ("RGB", PAGE.size)
    assert np.abs(np.asarray(image).astype(int) - GREY[..., None]).max() <= 2


@pytest.mark.parametrize("name", ROUGHLY)
def test_one_print_in_formats_with_losses(name: str) -> None:
    image = Image.from_bytes(ROUGHLY[name](), name).pil()
    assert image.size == PAGE.size
    assert np.abs(np.asarray(image).astype(int) - GREY[..., None]).mean() < 3


def test_one_print_of_two_colours() -> None:
    both = PAGE.point(lambda grey: 255 if grey > 128 else 0)
    for kind in ("PNG", "TIFF", "BMP"):
        image = Image.from_bytes(saved(both.convert("1"), kind)).pil()
        assert np.array_equal(np.asarray(image)[..., 0], np.asarray(both))


@settings(deadline=None)
@given(arrays(np.uint16, (3, 5), elements=st.integers(0, 65535)), st.sampled_from("<>"))
def test_sixteen_bits_are_divided_by_257_unless_all_are_dark(values: np.ndarray, order: str) -> None:
    values[0, 0] = max(values[0, 0], 4096)
    made = PIL.Image.fromarray(values.astype(f"{order}u2"))
    grey = np.asarray(Image.from_bytes(saved(made, "TIFF")).pil())[..., 0]
    assert np.abs(grey - values / 257).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(
    ("values", "dtype", "kind", "middle"),
    [
        ((0, 0.5, 1.02), np.float32, "TIFF", 128),  # an overshoot of resampling is white
        ((0, 0.1, 0.2), np.float32, "TIFF", 128),
        ((0, 128, 256), np.int32, "TIFF", 128),
        ((0, 150, 300), np.int32, "TIFF", 128),
        ((0, 2048, 4095), np.uint16, "PNG", 128),  # 12 bits in a file of 16
        ((0, 128, 256), np.uint16, "TIFF", 128),
        ((0, 32768, 65535), np.uint16, "PNG", 128),
    ],
)
def test_the_contrast_of_deep_greys_survives(values: tuple[float, ...], dtype: Any, kind: str, middle: int) -> None:
    made = PIL.Image.fromarray(np.array([values], dtype))
    grey = np.asarray(Image.from_bytes(saved(made, kind)).pil())[0, :, 0].astype(int)
    assert grey[0] == 0 and grey[2] >= 200 and abs(grey[1] - middle) <= 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_float_that_is_no_number_is_one_line(bad: float) -> None:
    values = GREY.astype(np.float32)
    values[3, 3] = bad
    with pytest.raises(InputError, match=r"^scan\.tif: .*not finite"):
        Image.from_bytes(saved(PIL.Image.fromarray(values), "TIFF"), "scan.tif").pil()


@pytest.mark.parametrize("value", [0, 5.5, -3, 1e9])
def test_a_deep_grey_of_one_value_is_no_error(value: float) -> None:
    flat = PIL.Image.fromarray(np.full((4, 4), value, np.float32))
    extrema = Image.from_bytes(saved(flat, "TIFF")).pil().getextrema()
    assert len(set(extrema)) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_a_picture_upright(kind: str, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    stored = PIL.Image.new("RGB", (32, 16), "white")
    stored.paste("black", (0, 0, 16, 8))  # the top left quarter, as stored
    image = Image.from_bytes(saved(stored, kind, exif=exif))
    turned = image.pil()
    assert turned.size == ((32, 16) if orientation < 5 else (16, 32))
    corner = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}[orientation]
    spots = {
        (x, y): (turned.width * (2 * x + 1) // 4, turned.height * (2 * y + 1) // 4) for x in (0, 1) for y in (0, 1)
    }
    dark = [place for place, spot in spots.items() if sum(turned.getpixel(spot)) < 300]
    assert dark == [corner]


def test_a_sixteen_bit_picture_is_turned_too() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    image = Image.from_bytes(saved(PIL.Image.fromarray(SIXTEEN), "PNG", exif=exif))
    assert np.array_equal(np.asarray(image.pil())[..., 0], np.rot90(GREY, -1))


def test_exif_data_that_cannot_be_read_say_nothing() -> None:
    image = Image.from_bytes(saved(PAGE, "JPEG", exif=b"Exif\0\0XX\xff\xff\xff\xff\xff\xff\xff"))
    assert image.pil().size == PAGE.size
    assert image.header.portable


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_of_several_frames_counts(kind: str) -> None:
    second = PIL.Image.new("RGB", PAGE.size, "red")
    lossless = {"lossless": True} if kind == "WEBP" else {}
    data = saved(PAGE.convert("RGB"), kind, save_all=True, append_images=[second], **lossless)
    image = Image.from_bytes(data)
    assert image.header.animated and not image.header.portable
    assert np.abs(np.asarray(image.pil()).astype(int) - GREY[..., None]).max() <= 2


def test_the_copies_behind_a_phone_picture_are_no_frames() -> None:
    header = Image.from_bytes(phone()).header
    assert (header.format, header.size, header.animated, header.portable) == ("JPEG", PAGE.size, False, True)


def test_transparency_shows_the_background_that_is_asked_for() -> None:
    image = Image.from_bytes(saved(PIL.Image.new("RGBA", (4, 4), (255, 0, 0, 0)), "PNG"))
    assert image.pil().getpixel((0, 0)) == (255, 255, 255)
    assert image.pil("black").getpixel((0, 0)) == (0, 0, 0)


# What is sent to a server: it must see what we see.
PORTABLE = ("grey png", "grey gif", "rgb png", "rgb webp", "palette png", "16-bit rgb png")


@pytest.mark.parametrize("name", SAME)
def test_a_data_uri_holds_the_file_only_where_every_decoder_sees_the_same(name: str) -> None:
    image = Image.from_bytes(SAME[name](), name)
    assert image.header.portable == (name in PORTABLE)
    uri = image.data_uri()
    sent = Image.from_data_uri(uri)
    assert (sent.read() == image.read()) == (name in PORTABLE)
    assert sent.header.portable and uri.startswith(f"data:image/{sent.header.format.lower()};base64,")
    assert np.array_equal(np.asarray(sent.pil()), np.asarray(image.pil()))


def test_a_turned_picture_is_sent_upright() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    image = Image.from_bytes(saved(PAGE, "JPEG", exif=exif))
    assert not image.header.portable
    assert Image.from_data_uri(image.data_uri()).size == PAGE.size[::-1]


@pytest.mark.parametrize("mode", ["F", "I", "CMYK", "YCbCr", "HSV", "LAB", "RGBX", "RGBa", "La", "I;16B"])
def test_a_picture_in_memory_of_a_mode_that_png_lacks(mode: str) -> None:
    image = Image.from_pil(PIL.Image.new(mode, (3, 2)))
    assert (image.header.format, image.pil().mode) == ("PNG", "RGB")


# HEIC and AVIF


def container(brand: bytes, *others: bytes) -> bytes:
    body = b"ftyp" + brand + bytes(4) + b"".join(others)
    return struct.pack(">I", len(body) + 4) + body + bytes(64)


@pytest.mark.parametrize("data", [container(b"heic", b"mif1"), container(b"mif1", b"heic"), container(b"msf1")])
def test_heic_without_its_package_says_what_to_install(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(InputError, match=r"^a\.heic: a HEIC image; pip install 'counterpoise\[heic\]'"):
        Image.from_bytes(data, "a.heic").pil()


def test_heic_with_its_package() -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    image = Image.from_bytes(saved(PAGE.convert("RGB"), "HEIF", quality=95), "a.heic")
    assert image.header.format == "HEIF" and not image.header.portable
    assert np.abs(np.asarray(image.pil()).astype(int) - GREY[..., None]).mean() < 5
    assert Image.from_data_uri(image.data_uri()).header.format == "PNG"


def test_avif_is_read_or_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    if PIL.features.check("avif"):
        image = Image.from_bytes(saved(PAGE.convert("RGB"), "AVIF", quality=95))
        assert np.abs(np.asarray(image.pil()).astype(int) - GREY[..., None]).mean() < 5
    PIL.Image.init()
    monkeypatch.delitem(PIL.Image.OPEN, "AVIF", raising=False)
    with pytest.raises(InputError, match=r"^a\.avif: an AVIF image, .*pip install 'pillow>=11\.3'"):
        Image.from_bytes(container(b"avif", b"mif1"), "a.avif").pil()


# Files that are none


def test_an_empty_file_and_one_without_pixels(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.png: empty file"):
        Image.from_path(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"^b\.png: empty file$"):
        Image.from_bytes(b"", "b.png").pil()
    flat = saved(PIL.Image.new("L", (1, 1)), "GIF").replace(struct.pack("<HH", 1, 1), struct.pack("<HH", 0, 1))
    with pytest.raises(InputError, match=r"^c\.gif: not a readable image"):
        Image.from_bytes(flat, "c.gif").pil()


def test_a_video_is_no_image() -> None:
    with pytest.raises(InputError, match=r"^a\.mp4: not a readable image"):
        Image.from_bytes(container(b"isom", b"mp42"), "a.mp4").pil()


@pytest.mark.parametrize("name", SAME)
def test_a_file_cut_off_anywhere_is_one_line_or_a_picture(name: str) -> None:
    data = SAME[name]()
    for length in sorted({1, 4, 8, 12, 20, 40, 60, 100, len(data) // 2, len(data) * 3 // 4, len(data) - 1}):
        try:
            image = Image.from_bytes(data[:length], "cut").pil()
        except InputError as error:
            assert str(error).startswith("cut: ") and "\n" not in str(error)
        else:
            assert image.mode == "RGB"


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damaged_bytes_are_one_line_or_a_picture(data: st.DataObject) -> None:
    good = bytearray(SAME[data.draw(st.sampled_from(sorted(SAME)))]())
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = Image.from_bytes(bytes(good), "damaged")
        made = image.pil()
    except InputError as error:
        assert str(error).startswith("damaged: ") and "\n" not in str(error)
    else:
        assert made.mode == "RGB" and image.header.size
