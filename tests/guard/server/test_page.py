"""The page at `/` in a real browser: verdicts, pictures, hostile text, keyboard, phone, nothing from elsewhere."""

import base64
import io

import httpx
import PIL.Image
import pytest
from serving import Plain, live, settings

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


class Hostile(Plain):
    """Says in its categories and rationale what would run if a page were careless."""

    def one(self, exchange):
        found = super().one(exchange)
        return type(found)("unsafe", HOSTILE, found.inspected, 0.7, categories=(HOSTILE,), rationale=HOSTILE)


@pytest.fixture(scope="module")
def address():
    policies = {"default": {"guards": ["plain"]}, "second <b>": {"guards": ["hostile"]}}
    with live(settings(policies=policies), plain=Plain(), hostile=Hostile()) as base:
        yield base


@pytest.fixture(params=["light", "dark"])
def page(browser, address, request):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=request.param)
    shown = context.new_page()
    troubles = []
    shown.on("console", lambda m: troubles.append(m.text) if m.type in ("error", "warning") else None)
    shown.on("pageerror", lambda error: troubles.append(str(error)))
    shown.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
    ours = (address, "data:")
    shown.on("request", lambda r: troubles.append(r.url) if not r.url.startswith(ours) else None)
    shown.goto(address)
    yield shown
    assert [t for t in troubles if "favicon" not in t] == []
    context.close()


def asked(page):
    page.locator("#go").click()
    page.locator("#answer .verdict").wait_for()
    return page.locator("#answer")


def png(colour="red"):
    out = io.BytesIO()
    PIL.Image.new("RGB", (40, 40), colour).save(out, "PNG")
    return out.getvalue()


def test_a_text_by_keyboard_alone(page):
    page.keyboard.type("a forbidden thing")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "go":
            break
    page.keyboard.press("Enter")
    page.locator("#answer .verdict").wait_for()
    found = page.locator("#answer")
    assert found.locator(".verdict").text_content() == "Blocked"
    assert "plain" in found.locator("li").text_content() and "category S1" in found.locator("li").text_content()
    assert float(found.locator("meter").get_attribute("value")) == 0.9
    assert "1 of 1 texts, 0 of 0 images" in found.locator(".facts").last.text_content()


def test_images_by_file_paste_and_drop(page):
    page.set_input_files("#file", [{"name": "a.png", "mimeType": "image/png", "buffer": png("blue")}])
    page.locator("#images li").nth(0).wait_for()
    assert "0 of 0 texts, 1 of 1 images" in asked(page).locator(".facts").last.text_content()
    assert page.locator("#answer .verdict").text_content() == "Let through"
    send = """([kind, data]) => {
      const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), moved = new DataTransfer();
      moved.items.add(new File([bytes], "b.png", { type: "image/png" }));
      const event = kind === "drop" ? new DragEvent("drop", { dataTransfer: moved, bubbles: true, cancelable: true })
        : new ClipboardEvent("paste", { clipboardData: moved, bubbles: true });
      document.body.dispatchEvent(event);
    }"""
    for number, kind in enumerate(("paste", "drop"), 2):
        page.evaluate(send, [kind, base64.b64encode(png()).decode()])
        page.locator("#images li").nth(number - 1).wait_for()
    page.locator("#answer").evaluate("e => e.replaceChildren()")
    assert "3 of 3 images" in asked(page).locator(".facts").last.text_content()
    assert page.locator("#answer .verdict").text_content() == "Blocked"
    page.get_by_label("Remove image 2").click()
    assert page.locator("#images li").count() == 2


def test_hostile_words_stay_words(page):
    assert page.locator("#policy option").all_text_contents() == ["default", "second <b>"]
    page.locator("#policy").select_option("second <b>")
    page.locator("#text").fill(HOSTILE)
    found = asked(page)
    assert HOSTILE in found.locator("td").first.text_content() and found.locator("img, script").count() == 0


def test_answer_errors_and_nothing_at_all(page):
    page.locator("#text").fill("fine")
    page.locator("#answertext").fill("something forbidden")
    assert asked(page).locator(".verdict").text_content() == "Blocked"


@pytest.mark.parametrize("width", [320, 390, 768])
def test_no_sideways_scrolling(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.locator("#policy").select_option("second <b>")
    page.locator("#text").fill("x" * 300)
    asked(page)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_headers_allow_only_the_pages_own_script(address):
    got = httpx.get(address)
    policy = got.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy and "script-src 'sha256-" in policy
    assert "http" not in policy and "<script src" not in got.text and "second &lt;b&gt;" in got.text
