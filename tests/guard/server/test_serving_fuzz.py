"""Random requests made from the server's own OpenAPI document: whatever comes, no 500 and always a defined shape."""

import contextlib
import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis.errors import Unsatisfiable
from serving import RED, data_url, live, settings
from soak_parts import Upstream, listening

WORDS = (
    "default", "input", "output", "forbidden", "hi", "", " ", "\x00", "half \ud800", "\u202e北京🔥", "<|im_end|>",
    "a" * 300, "https://example.com/a.png", "data:image/png;base64,AAAA", data_url(), data_url(RED),
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 0.5, 1e308, 10**30, True, False)


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with listening(Upstream()) as url, live(settings(upstream={"base_url": url})) as address:
        yield address


def resolved(schema: Any, whole: Any) -> Any:
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = whole["components"]["schemas"][name]
    return schema


def junk(draw: random.Random, depth: int = 0) -> Any:
    """Any JSON."""
    kind = draw.randrange(8 if depth < 3 else 6)
    if kind == 6:
        return [junk(draw, depth + 1) for _ in range(draw.randrange(4))]
    if kind == 7:
        return {draw.choice(WORDS): junk(draw, depth + 1) for _ in range(draw.randrange(4))}
    return None if kind == 5 else draw.choice(NUMBERS) if kind == 4 else draw.choice(WORDS)


def made(schema: Any, whole: Any, draw: random.Random) -> Any:
    """A value of a schema, now and then with something else in the place of a part."""
    schema = resolved(schema, whole)
    if draw.random() < 0.01:
        return junk(draw)
    if kinds := schema.get("anyOf"):
        return made(draw.choice(kinds), whole, draw)
    if "const" in schema or "enum" in schema:
        return schema.get("const", draw.choice(schema.get("enum", [None])))
    if schema.get("type") == "array":
        least = schema.get("minItems", 0)
        return [made(schema.get("items", {}), whole, draw) for _ in range(draw.randint(least, 3))]
    if "properties" in schema:
        must = schema.get("required", ())
        own = schema["properties"].items()
        return {name: made(each, whole, draw) for name, each in own if name in must or draw.random() < 0.3}
    if "pattern" in schema:
        return draw.choice(("default", "fine", "org/model-1"))
    if schema.get("type") == "object":
        return draw.choice(({}, {"note": draw.choice(WORDS)}))
    simple = {"string": WORDS, "integer": (1, 2, 3), "number": (0.1, 0.9, 1), "boolean": (True, False), "null": (None,)}
    return draw.choice(simple[schema["type"]]) if schema.get("type") in simple else junk(draw)


def fuzz(base: str, cases: int) -> Counter[str]:
    """Sends so many requests; how many were answered, and by path how many of them with 200."""
    whole, draw, found = httpx.get(f"{base}/openapi.json").json(), random.Random(cases), Counter[str]()
    asked = {path: methods["post"]["requestBody"]["content"]["application/json"]["schema"]
             for path, methods in whole["paths"].items() if "post" in methods}  # fmt: skip
    assert len(asked) == 6
    with httpx.Client(timeout=60) as client:
        for _ in range(cases):
            path = draw.choice(list(asked))
            body = json.dumps(made(asked[path], whole, draw))
            answer = client.post(f"{base}{path}", content=body, headers={"content-type": "application/json"})
            assert answer.status_code < 500, (path, body, answer.text)
            assert answer.status_code == 200 or set(answer.json()["error"]) == {"message", "type", "param", "code"}
            found += Counter({"done": 1, path: answer.status_code == 200})
    assert min(found[path] for path in asked) >= max(1, cases // 250), found  # not all end at the check of their shape
    return found


def test_two_hundred_random_requests(base: str) -> None:
    assert fuzz(base, 200)["done"] == 200


@pytest.mark.slow
def test_twenty_thousand_random_requests(base: str) -> None:
    assert fuzz(base, 22_000)["done"] >= 20_000  # by themselves, without those of Schemathesis below


def schemathesis_cases(base: str, cases: int, only: str = "") -> int:
    """So many cases of Schemathesis, positive and negative, over all endpoints or `only` one."""
    schemathesis = pytest.importorskip("schemathesis")
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {"/v1/moderations", "/v1/guard/check", "/v1/checks"} <= {each.path for each in operations}
    operations = [each for each in operations if only in ("", each.path)]
    done = 0
    for operation in operations:
        for mode in schemathesis.GenerationMode:
            share = max(1, cases // (2 * len(operations)))

            @hypothesis(max_examples=share, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            @given(case=operation.as_strategy(generation_mode=mode))
            def run(case: Any) -> None:
                nonlocal done
                done += 1
                assert case.call(base_url=base).status_code != 500

            with contextlib.suppress(Unsatisfiable, schemathesis.errors.SchemathesisError):  # nothing to make wrong
                run()
    return done


def test_schemathesis(base: str) -> None:
    assert schemathesis_cases(base, 20, only="/v1/checks") >= 10


@pytest.mark.slow
def test_schemathesis_long(base: str) -> None:
    assert schemathesis_cases(base, 3_000) > 1_000
