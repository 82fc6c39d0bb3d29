"""Weights on a hub of this machine."""

from __future__ import annotations

import pytest

from hub_server import hub, shipped_files

pytest.importorskip("huggingface_hub", reason="needs the extra hub")

__all__ = ["hub", "shipped_files"]
