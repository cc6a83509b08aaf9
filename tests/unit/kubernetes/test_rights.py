"""Which rights are missing, by the rules that the API server tells, and how they are listed."""

from typing import Any

import pytest
from ansible_collections.cctv.pipeline.plugins.modules.kubernetes_preflight import listed, missing

Rule = dict[str, Any]


def rule(groups: str, resources: str, verbs: str, **more: Any) -> Rule:
    return {"apiGroups": groups.split(","), "resources": resources.split(","), "verbs": verbs.split(","), **more}


@pytest.mark.parametrize(
    "given",
    [
        rule("apps", "deployments", "get,patch"),
        rule("*", "*", "*"),
        rule(",apps", "pods,deployments", "list,get,patch"),
    ],
)
def test_what_a_rule_allows_is_not_missing(given: Rule) -> None:
    assert missing([rule("apps", "deployments", "get,patch")], [given]) == []


@pytest.mark.parametrize(
    "given",
    [
        rule("", "deployments", "get"),
        rule("apps", "statefulsets", "get"),
        rule("apps", "deployments", "list"),
        rule("apps", "deployments/scale", "get"),
        # One object is not all of them.
        rule("apps", "deployments", "get", resourceNames=["video"]),
    ],
)
def test_what_no_rule_allows_is_missing(given: Rule) -> None:
    assert missing([rule("apps", "deployments", "get")], [given]) == [("apps", "deployments", "get")]


@pytest.mark.parametrize(("resources", "lacking"), [("pods/log", 0), ("*/log", 0), ("pods", 1)])
def test_a_subresource_is_a_right_of_its_own(resources: str, lacking: int) -> None:
    assert len(missing([rule("", "pods/log", "get")], [rule("", resources, "get")])) == lacking


def test_rights_are_listed_by_verbs() -> None:
    lacking = missing([rule("apps", "deployments,statefulsets", "get,patch"), rule("", "pods/log", "get")], [])
    assert listed(lacking) == "get, patch of deployments.apps, statefulsets.apps; get of pods/log"
