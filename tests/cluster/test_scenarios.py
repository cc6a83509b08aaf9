"""Bare hosts become a cluster, and hosts that cannot are told why: Molecule's scenarios, from nothing to nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize("scenario", ["broken", "cluster"])
def test_scenario(scenario: str, molecule_test: Callable[[str], None]) -> None:
    molecule_test(scenario)
