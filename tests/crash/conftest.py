"""What the crash tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.node import Fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Two nodes with a ledger, and something new in it for oak."""
    with Fleet(tmp_path / "fleet") as made:
        made.stand()
        yield made
