"""The page at `/`: try a text or an image, and see what a policy says about it."""

import base64
import hashlib
import html
import re
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from ._config import ServerConfig


def router(config: ServerConfig) -> APIRouter:
    """One self-contained page: nothing is loaded from elsewhere, and only its own script may run."""
    routes = APIRouter()
    text = files("counterpoise.guard.server").joinpath("page.html").read_text(encoding="utf-8")
    names = [config.default_policy, *(name for name in config.policies if name != config.default_policy)]
    options = "".join(f"<option>{html.escape(name)}</option>" for name in names)
    page = text.replace("<!-- policies -->", options).replace("<!-- key -->", "" if config.api_keys_env else "hidden")
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src data: blob:; style-src {_hash(page, 'style')}; "
        f"script-src {_hash(page, 'script')}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

    @routes.get("/", include_in_schema=False)
    async def show() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)

    return routes


def _hash(page: str, tag: str) -> str:
    """The hash by which a browser knows the page's own style or script."""
    found = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    assert found is not None
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()}'"
