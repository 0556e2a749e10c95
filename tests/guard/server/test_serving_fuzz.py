"""Random requests made from the server's own OpenAPI document: whatever comes, no 500 and always a defined shape."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from serving import error_of, live, settings

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with live(settings(limits={"body_seconds": 5})) as address:
        yield address


def resolved(schema: Any, whole: Any) -> Any:
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = whole["components"]["schemas"][name]
    return schema


def values(schema: Any, whole: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a schema, now and then with something else in the place of a part."""
    schema = resolved(schema, whole)
    kinds = schema.get("anyOf")
    made: st.SearchStrategy[Any]
    if kinds:
        made = st.one_of(*(values(each, whole, depth) for each in kinds))
    elif "const" in schema:
        made = st.just(schema["const"])
    elif "enum" in schema:
        made = st.sampled_from(schema["enum"])
    elif schema.get("type") == "array":
        made = st.lists(values(schema.get("items", {}), whole, depth + 1), max_size=3)
    elif schema.get("type") == "object" and "properties" in schema:
        required = set(schema.get("required", ()))
        own = {name: values(each, whole, depth + 1) for name, each in schema["properties"].items()}
        made = st.fixed_dictionaries({n: v for n, v in own.items() if n in required},
                                     optional={n: v for n, v in own.items() if n not in required})  # fmt: skip
    elif schema.get("type") == "object":
        made = st.dictionaries(st.text(max_size=8), JUNK, max_size=3)
    else:
        simple = {"string": st.text(max_size=30), "integer": st.integers(), "boolean": st.booleans(),
                  "number": st.floats(allow_nan=False, allow_infinity=False), "null": st.none()}  # fmt: skip
        made = simple.get(schema.get("type", ""), JUNK)
    return st.integers(0, 19).flatmap(lambda n: JUNK if n == 0 else made)


def bodies(base: str) -> list[tuple[str, st.SearchStrategy[Any]]]:
    whole = httpx.get(f"{base}/openapi.json").json()
    found = []
    for path, methods in whole["paths"].items():
        if "post" in methods:
            schema = methods["post"]["requestBody"]["content"]["application/json"]["schema"]
            found.append((path, values(schema, whole)))
    return found


def fuzz(base: str, cases: int) -> int:
    made, client = bodies(base), httpx.Client(timeout=60)
    assert len(made) >= 5
    done = 0

    @hypothesis(max_examples=cases, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(data=st.data(), place=st.integers(0, len(made) - 1))
    def run(data: st.DataObject, place: int) -> None:
        nonlocal done
        path, strategy = made[place]
        body = json.dumps(data.draw(strategy)).encode("utf-8", "replace")
        answer = client.post(f"{base}{path}", content=body, headers={"content-type": "application/json"})
        done += 1
        assert answer.status_code != 500, (path, body)
        if answer.status_code != 200:
            error_of(answer)

    run()
    client.close()
    return done


def test_a_hundred_random_requests(base: str) -> None:
    assert fuzz(base, 120) >= 100


@pytest.mark.slow
def test_twenty_thousand_random_requests(base: str) -> None:
    assert fuzz(base, 22_000) >= 20_000  # by themselves, without the ten thousand of Schemathesis below


def schemathesis_cases(base: str, cases: int) -> int:
    """So many cases of Schemathesis, positive and negative, over all endpoints."""
    schemathesis = pytest.importorskip("schemathesis")
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {"/v1/moderations", "/v1/guard/check", "/v1/checks"} <= {each.path for each in operations}
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
    assert schemathesis_cases(base, 80) > 40


@pytest.mark.slow
def test_schemathesis_long(base: str) -> None:
    assert schemathesis_cases(base, 24_000) > 10_000
