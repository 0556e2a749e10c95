"""Optional packages: one line when they are missing, or do not work."""

import pytest

from counterpoise.base import MissingPackageError, require


def test_a_package_that_does_not_fit_another_one_is_named_with_what_it_said(tmp_path, monkeypatch):
    """As torchvision of another release than torch: its import raises RuntimeError and not ImportError."""
    (tmp_path / "misfit.py").write_text("raise RuntimeError('operator nms does not exist\\nmore')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        MissingPackageError, match=r"FID needs misfit, which does not work .*\(operator nms does not exist\)"
    ):
        require("misfit", purpose="FID", install="counterpoise[fid]")
