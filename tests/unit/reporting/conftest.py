"""The sample documents as fixtures (test folders are no packages, so the module is loaded by its path)."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def samples() -> ModuleType:
    """The module ``sample_documents``."""
    spec = importlib.util.spec_from_file_location("sample_documents", Path(__file__).with_name("sample_documents.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
