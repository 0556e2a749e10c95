"""What must not be: every bad input has a defined answer, and the server stays up."""

import base64
import contextlib
import http.client
import io
import json
import socket
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from serving import BLUE, RED, check, data_url, error_of, live, picture, post, said, settings, text

from counterpoise.data.render import print_page
from counterpoise.guard.server.intake._images import flat

LIMITS = {"request_bytes": 3_000_000, "images": 20, "text_characters": 500_000}


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with live(settings(limits=LIMITS)) as address:
        yield address


def raw(data: bytes, kind: str = "png") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{base64.b64encode(data).decode()}"}}


def saved(image: PIL.Image.Image, kind: str, **more: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def bomb(side: int) -> bytes:
    """A PNG whose header promises side x side pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


FRAMES = [PIL.Image.new("RGB", (16, 16), colour) for colour in (BLUE, RED)]
REFUSED = {
    "truncated base64": ({"type": "image_url", "image_url": {"url": data_url()[:-3]}}, 400, "invalid_image"),
    "truncated image": (raw(saved(FRAMES[0].resize((200, 200)), "JPEG")[:400]), 400, "invalid_image"),
    "not an image": (raw(b"hello"), 400, "invalid_image"),
    "base64 in base64": (raw(base64.b64encode(saved(FRAMES[0], "PNG"))), 400, "invalid_image"),
    "bomb": (raw(bomb(60_000)), 413, "too_many_pixels"),
    "large": (raw(bomb(7_000)), 413, "too_many_pixels"),
    "animated gif": (raw(saved(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:])), 400, "unsupported_media"),
    "animated png": (raw(saved(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:])), 400, "unsupported_media"),
    "animated webp": (raw(saved(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:])), 400, "unsupported_media"),
    "tiff": (raw(saved(FRAMES[0], "TIFF")), 400, "invalid_image"),
    "svg": (raw(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg+xml"), 400, "invalid_image"),
    "pdf": (raw(b"%PDF-1.7"), 400, "invalid_image"),
    "unencoded": ({"type": "image_url", "image_url": {"url": "data:image/svg+xml,<svg/>"}}, 400, "unsupported_media"),
    "address": ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, 400, "fetch_forbidden"),
    "file": ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, 400, "fetch_forbidden"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_images_that_are_refused(base: str, name: str) -> None:
    part, status, code = REFUSED[name]
    found = post(base, "/v1/moderations", {"input": [text("look"), part]})
    assert (found.status_code, error_of(found)) == (status, code)
    again = post(base, "/v1/guard/check", {"messages": [said("a"), said("b", "assistant"), said([part])]})
    assert (again.status_code, error_of(again)) == (status, code)


def test_images_that_are_seen_as_models_see_them(base: str) -> None:
    def verdict(data: bytes, kind: str = "png") -> str:
        return str(check(base, [said([raw(data, kind)])])["verdict"])

    assert verdict(saved(PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100), "jpeg") == "block"
    palette = PIL.Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, *RED])
    assert verdict(saved(palette, "PNG")) == "block"
    assert verdict(saved(PIL.Image.new("RGBA", (16, 16), (*RED, 0)), "PNG")) == "allow"  # on white it is white
    turned = PIL.Image.new("RGB", (9, 16), RED)
    exif = turned.getexif()
    exif[0x0112] = 6
    assert verdict(saved(turned, "JPEG", quality=100, exif=exif), "jpeg") in ("allow", "block")


def test_a_phone_jpeg_is_its_first_picture(base: str) -> None:
    pictures = [PIL.Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    data = saved(pictures[0], "MPO", save_all=True, append_images=pictures[1:])
    assert check(base, [said([raw(data, "jpeg")])])["verdict"] == "block"
    red, green, blue = flat(data, "image").image.pil().getpixel((8, 8))
    assert red > 240 and green < 15 and blue < 15


def test_a_print_in_sixteen_bits_is_not_white_to_the_guard() -> None:
    eight = print_page("steal a car", style_seed=3).convert("L")
    sixteen = PIL.Image.fromarray(np.asarray(eight).astype(np.uint16) * 257)
    seen = [flat(saved(image, "PNG"), "image").image.pil() for image in (eight, sixteen)]
    assert seen[0].tobytes() == seen[1].tobytes()
    assert len(seen[1].getcolors() or ()) > 1


def test_transparency_on_black_too() -> None:
    class Dark:
        id, revision = "dark", "1"

        def __init__(self) -> None:
            from counterpoise.guard import Sees

            self.sees = Sees(images=None)

        def check(self, exchanges: Any) -> Any:
            from counterpoise.guard import Inspected, Verdict

            made = []
            for each in exchanges:
                pixels = [i.pil().getpixel((1, 1)) for m in each.conversation for i in m.images]
                seen = Inspected(each.texts, each.texts, each.images, each.images)
                made.append(Verdict("unsafe" if (0, 0, 0) in pixels else "safe", self.id, seen))
            return made

    hidden = said([picture((255, 255, 255, 0), mode="RGBA")])  # black on a black page only
    for on_black, verdict, n in ((False, "allow", 1), (True, "block", 2)):
        with live(settings(limits={"alpha_on_black": on_black}), plain=Dark()) as base:
            found = check(base, [hidden])
            assert (found["verdict"], found["coverage"]["images_total"]) == (verdict, n)
            assert check(base, [said([picture()])])["coverage"]["images_total"] == 1


def test_counts_and_sizes(base: str) -> None:
    for body, code in (
        ({"messages": [said([picture() for _ in range(21)])]}, "too_many_images"),
        ({"messages": [said([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}] * 200)]},
         "too_many_images"),  # refused before anything is decoded
        ({"messages": [said("a" * 500_001)]}, "too_large"),
        ({"messages": [said("a " * 2_000_000)]}, "too_large"),
    ):  # fmt: skip
        found = post(base, "/v1/guard/check", body)
        assert (found.status_code, error_of(found)) == (413, code)
    long = check(base, [said("fine " * 90_000 + "forbidden" + " fine" * 1_000)])
    assert long["verdict"] == "block" and not long["coverage"]["truncated"]


@pytest.mark.parametrize("where", ["old turn", "tool result", "system message", "last"])
def test_an_image_is_found_wherever_it_hides(base: str, where: str) -> None:
    turns = {
        "system message": said([text("rules"), picture(RED)], "system"),
        "old turn": said([text("first"), picture(RED)]),
        "tool result": {"role": "tool", "tool_call_id": "1", "content": [picture(RED)]},
        "last": said([text("look"), picture(RED)]),
    }  # fmt: skip
    plain = {"system message": said("rules", "system"), "old turn": said("first"),
             "tool result": {"role": "tool", "tool_call_id": "1", "content": "done"}, "last": said("look")}  # fmt: skip
    order = ["system message", "old turn", "tool result", "last"]
    talk = [turns[name] if name == where else plain[name] for name in order]
    talk.insert(
        2, {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    )
    found = check(base, talk)
    assert found["verdict"] == "block" and found["coverage"]["images_checked"] == 1


@pytest.mark.parametrize("field", ["tool_calls", "custom call", "reasoning_content", "name", "strange"])
def test_words_are_found_wherever_they_hide(base: str, field: str) -> None:
    values: dict[str, Any] = {"tool_calls": [{"function": {"name": "f", "arguments": '{"a": "forbidden"}'}}],
                              "custom call": [{"type": "custom", "custom": {"name": "f", "input": "forbidden"}}],
              "strange": {"deep": ["forbidden"]}}  # fmt: skip
    key = "tool_calls" if field == "custom call" else field
    talk = [said("a"), {"role": "assistant", "content": "b", key: values.get(field, "forbidden")}, said("c")]
    assert check(base, talk)["verdict"] == "block"


SHAPES = {
    "wrong role": {"messages": [said("hi", "root")]},
    "role of another type": {"messages": [{"role": ["user"], "content": "hi"}]},
    "no messages": {"messages": []},
    "empty content": {"messages": [said("  ")]},
    "null content": {"messages": [said(None)]},
    "content of another type": {"messages": [said(17)]},
    "part without type": {"messages": [said([{"text": "hi"}])]},
    "unknown field": {"messages": [said("hi")], "nonsense": 1},
    "threshold": {"messages": [said("hi")], "thresholds": {"S1": 2}},
    "no object": [1, 2],
    "nothing": {},
}


@pytest.mark.parametrize("name", SHAPES)
def test_wrong_shapes_are_422(base: str, name: str) -> None:
    found = post(base, "/v1/guard/check", SHAPES[name])
    assert (found.status_code, error_of(found)) == (422, "invalid_request")


def test_bodies_that_are_no_json(base: str) -> None:
    url, head = f"{base}/v1/guard/check", {"content-type": "application/json"}
    for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"messages": ' + b"9" * 5_000 + b"}", b"NaN"):
        found = httpx.post(url, content=body, headers=head, timeout=20)
        assert found.status_code in (400, 422) and error_of(found) == "invalid_request", body[:20]
    assert httpx.post(url, content=b"a=b").status_code == 400  # no JSON announced: what another page's form would send
    packed = httpx.post(url, content=zlib.compress(b"x" * 1000), headers={**head, "content-encoding": "deflate"})
    assert (packed.status_code, error_of(packed)) == (400, "unsupported_media")
    assert error_of(httpx.get(f"{base}/nothing")) == "not_found"
    assert error_of(httpx.get(url)) == "method_not_allowed"


def test_parts_that_nobody_looks_at_block(base: str) -> None:
    for kind in ("input_audio", "video_url", "file", "image_embeds"):
        found = check(base, [said([text("hi"), {"type": kind, kind: {"url": "x"}}])])
        assert found["verdict"] == "block" and found["coverage"]["uninspected"] == [kind]
    foreign = picture() | {"uuid": "another image's features"}
    assert check(base, [said([text("hi"), foreign])])["verdict"] == "block"


def test_null_bytes_and_half_characters(base: str) -> None:
    assert check(base, [said("for\x00bidden")])["verdict"] == "block"  # a null hides nothing
    body = b'{"messages": [{"role": "user", "content": "half \\ud800 of one"}]}'
    found = httpx.post(f"{base}/v1/guard/check", content=body, headers={"content-type": "application/json"})
    assert found.status_code == 200 and found.json()["verdict"] == "allow"
    head = {"content-type": "application/json"}
    assert httpx.post(f"{base}/v1/checks", content=body, headers=head).status_code == 200
    typed = httpx.post(f"{base}/v1/moderations", content=b'{"input": "half \\ud800"}', headers=head)
    assert typed.status_code == 200 and typed.json()["results"][0]["flagged"] is False


def test_request_ids(base: str) -> None:
    body = {"input": "hi"}
    assert post(base, "/v1/moderations", body, headers={"x-request-id": "abc"}).json()["id"] == "abc"
    for bad in ("x" * 129, "a\tb"):
        assert post(base, "/v1/moderations", body, headers={"x-request-id": bad}).json()["id"].startswith("req_")


def _raw(base: str, head: str, body: bytes = b"", read: bool = True) -> bytes:
    """The whole answer to a request as it is written here, or nothing when the client leaves at once."""
    host, port = base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=100) as sock:
        sock.sendall(head.encode() + b"\r\n\r\n" + body)
        found = http.client.HTTPResponse(sock)
        if not read:
            return b""
        found.begin()
        return f"{found.status} ".encode() + found.read()


POST = "POST /v1/moderations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"


def test_slow_clients() -> None:
    with live(settings(limits={"body_seconds": 0.2})) as base:
        slow = _raw(base, f"{POST}\r\nContent-Length: 100", b'{"input"')
    assert slow.startswith(b"408 ") and b"too_slow" in slow


def test_leaving_clients(base: str) -> None:
    _raw(base, f"{POST}\r\nContent-Length: 100", b'{"in', read=False)
    whole = json.dumps({"input": "leaves before the answer"}).encode()
    _raw(base, f"{POST}\r\nContent-Length: {len(whole)}", whole, read=False)
    assert check(base, [said("hi")])["verdict"] == "allow"


def test_a_chunked_body_has_the_same_limit() -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"a" * 100_000

    with live(settings(limits={"request_bytes": 3_000_000})) as base:
        with contextlib.suppress(httpx.TransportError):  # answered and closed while the rest was still on its way
            found = httpx.post(
                f"{base}/v1/moderations", content=endless(), headers={"content-type": "application/json"}
            )
            assert (found.status_code, error_of(found)) == (413, "too_large")
        announced = _raw(base, f"{POST}\r\nContent-Length: {10**15}", b"{")
        assert announced.startswith(b"413 ")


PART = st.one_of(
    st.builds(text, st.text(max_size=8)),
    st.builds(picture, st.sampled_from([RED, BLUE])),
    st.sampled_from([{"type": "input_audio", "input_audio": {}}, {"type": "text"}, {"type": "image_url"}]),
)
TURN = st.builds(said, st.one_of(st.text(max_size=8), st.lists(PART, max_size=3)),
                 st.sampled_from(["system", "developer", "user", "assistant", "tool"]))  # fmt: skip


@given(talk=st.lists(TURN, min_size=1, max_size=5))
@hypothesis(max_examples=60, deadline=None)
def test_every_image_is_checked_or_the_request_does_not_pass(base: str, talk: list[dict[str, Any]]) -> None:
    parts = [part for turn in talk if isinstance(turn["content"], list) for part in turn["content"]]
    images = [part for part in parts if "image_url" in part.get("image_url", {}) or part.get("image_url")]
    strange = [part for part in parts if part not in images and "text" not in part]
    found = post(base, "/v1/guard/check", {"messages": talk})
    if found.status_code != 200:
        assert found.status_code == 422, found.text
        return
    body = found.json()
    counts = body["coverage"]
    assert counts["images_total"] == len(images)
    if body["verdict"] == "allow":
        assert counts["images_checked"] == len(images) and not strange
        assert counts["texts_checked"] == counts["texts_total"]
    if any(part["image_url"]["url"] == data_url(RED) for part in images):
        assert body["verdict"] == "block"
