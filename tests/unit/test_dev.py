"""What sets a checkout up: uv is told what pip was told of where packages come from."""

import os
import sys
from pathlib import Path

import dev
import pytest


def test_uv_gets_the_sources_that_pip_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nindex-url = https://one.invalid/simple\nextra-index-url = a b\ncert = /ca.pem\n")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.setenv("PIP_INDEX_URL", "https://own.invalid/simple")  # rules over the file
    options, environment = dev.settings_of_pip(Path(sys.executable))
    assert "--index-url=https://own.invalid/simple" in options
    assert not any("one.invalid" in option for option in options)
    assert [one for one in options if one.startswith("--extra-index-url")] == [
        "--extra-index-url=a",
        "--extra-index-url=b",
    ]
    assert "--no-index" not in options
    assert environment == {"SSL_CERT_FILE": "/ca.pem"}
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert "--no-index" in dev.settings_of_pip(Path(sys.executable))[0]
