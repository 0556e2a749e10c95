"""The page that `make test-newest` writes."""

import importlib.metadata
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
XML = """<testsuites><testsuite>
<testcase classname="tests.a.test_b" name="test_fine"/><testcase classname="tests.a.test_b" name="test_also"/>
<testcase classname="tests.a.test_b" name="test_broken">
<failure message="assert 1 == `2`&#10;more">...</failure></testcase>
<testcase classname="tests.a.test_b" name="test_left"><skipped message="no rows"/></testcase>
<testcase classname="tests.a.test_c" name="test_set_up"><error message="boom">...</error></testcase>
</testsuite></testsuites>"""


@pytest.fixture(scope="module")
def newest() -> ModuleType:
    spec = importlib.util.spec_from_file_location("newest", ROOT / "scripts" / "newest.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_upper_bounds_go_and_lower_ones_stay(newest: ModuleType) -> None:
    def bare(line: str) -> str:
        return str(newest.without_upper_bound(Requirement(line)))

    assert bare("peft>=0.21,<0.22") == "peft>=0.21" and bare("a<2") == "a" and bare("a~=1.4") == "a"
    assert bare('mkdocstrings[python]>=0.29,<1; python_version > "3"') == (
        'mkdocstrings[python]>=0.29; python_version > "3"'
    )
    assert not any("<" in str(newest.without_upper_bound(each).specifier) for each in newest.direct("dev"))


def test_the_page_counts_and_names_what_failed(newest: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "tests.xml"
    file.write_text(XML, encoding="utf-8")
    page = newest.report(file, "")
    assert "**2 passed, 2 failed, 1 skipped**" in page
    assert "- `tests.a.test_b::test_broken`: assert 1 == 2\n- `tests.a.test_c::test_set_up`: boom" in page
    assert f"| {importlib.metadata.version('transformers')} |" in page and "(only" not in page
    assert "**the tests did not start (only tests/base)**" in newest.report(tmp_path / "absent.xml", "tests/base")


def test_a_failure_is_the_exit_code(newest: ModuleType, tmp_path: Path) -> None:
    file, page = tmp_path / "tests.xml", tmp_path / "page.md"
    file.write_text(XML, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        newest.main("report", str(file), str(page))
    assert ended.value.code == 1 and page.is_file()
    file.write_text('<testsuite><testcase classname="a" name="b"/></testsuite>', encoding="utf-8")
    newest.main("report", str(file), str(page))
    assert "**1 passed, 0 failed, 0 skipped**" in page.read_text(encoding="utf-8")
