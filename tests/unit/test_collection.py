"""What holds for every role, plugin and file of the collection."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import checkout
import pytest
import yaml

sys.path.insert(0, str(checkout.ROOT / "tools"))
import role_readmes

ROLES = role_readmes.roles(checkout.ROOT)

# Written in parts, so that this file passes its own test.
REGISTRIES = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("npmjs", "org"),
            ("npmjs", "com"),
            ("repo", "maven", "apache", "org"),
            ("maven", "org"),
            ("proxy", "golang", "org"),
            ("sum", "golang", "org"),
            ("crates", "io"),
            ("deb", "debian", "org"),
            ("archive", "ubuntu", "com"),
            ("galaxy", "ansible", "com"),
        )
    )
)
MACHINE = re.compile("|".join(("/work" + "/(main|shared)", "/opt" + "/w/")))


def name(path: Path) -> str:
    return path.name


def defaults_of(role: Path) -> dict[str, object]:
    path = role / "defaults/main.yml"
    return (role_readmes.load(path) or {}) if path.exists() else {}


def text_files() -> list[tuple[Path, str]]:
    files = []
    for path in checkout.tracked():
        try:
            files.append((path, (checkout.ROOT / path).read_text()))
        except (UnicodeDecodeError, IsADirectoryError):
            continue
    return files


@pytest.mark.parametrize("role", ROLES, ids=name)
def test_every_variable_of_a_role_is_specified(role: Path) -> None:
    options = role_readmes.load(role / "meta/argument_specs.yml")["argument_specs"]["main"].get("options") or {}
    defaults = defaults_of(role)
    assert set(defaults) == {key for key, option in options.items() if not option.get("required")}


@pytest.mark.parametrize("role", ROLES, ids=name)
def test_variables_begin_with_their_role(role: Path) -> None:
    defaults = defaults_of(role)
    assert [key for key in defaults if not key.startswith(role.name + "_")] == []


@pytest.mark.parametrize("role", ROLES, ids=name)
def test_readme_of_a_role_is_up_to_date(role: Path) -> None:
    assert (role / "README.md").read_text() == role_readmes.readme(role), "make docs"


def test_there_are_roles() -> None:
    assert {role.name for role in ROLES} >= {
        "workload",
        "zookeeper",
        "kafka",
        "tf_serving",
        "producer",
        "consumer",
        "video",
    }


def test_requirements_are_galaxys() -> None:
    galaxy = yaml.safe_load((checkout.ROOT / "galaxy.yml").read_text())
    required = yaml.safe_load((checkout.ROOT / "collections/requirements.yml").read_text())["collections"]
    assert {entry["name"]: entry["version"] for entry in required} == galaxy["dependencies"]


def test_dependencies_are_the_collections_that_are_used() -> None:
    galaxy = yaml.safe_load((checkout.ROOT / "galaxy.yml").read_text())
    used = {
        found
        for path, text in text_files()
        if path.parts[0] in ("roles", "playbooks") and path.suffix == ".yml"
        for found in re.findall(r"^ +((?:ansible|community|kubernetes|containers|cctv)\.\w+)\.\w+:$", text, re.M)
    }
    assert set(galaxy["dependencies"]) == used - {"ansible.builtin", "cctv.pipeline"}


def test_names_of_playbooks_are_importable() -> None:
    assert [
        path.name for path in (checkout.ROOT / "playbooks").glob("*.yml") if not re.fullmatch(r"\w+\.yml", path.name)
    ] == []


def test_nothing_is_left_out_of_the_checks() -> None:
    assert [path for path in checkout.tracked() if re.search(r"^tests/sanity/|\.ansible-lint-ignore$", str(path))] == []


def test_plugins_carry_the_licence_of_what_they_import() -> None:
    plugins = [path for path, __ in text_files() if path.parts[0] == "plugins" and path.suffix == ".py"]
    for path in plugins:
        head = (checkout.ROOT / path).read_text()[:600]
        assert "GNU General Public License v3.0+" in head, path


def test_no_file_names_a_registry() -> None:
    # Which registry is used is for the machine's own configuration to say.
    named = {str(path): found.group() for path, text in text_files() if (found := REGISTRIES.search(text))}
    assert named == {}


def test_no_file_names_a_developers_machine() -> None:
    named = {str(path): found.group() for path, text in text_files() if (found := MACHINE.search(text))}
    assert named == {}


def test_no_file_is_large() -> None:
    sizes = {str(path): (checkout.ROOT / path).lstat().st_size for path in checkout.tracked()}
    assert {path: size for path, size in sizes.items() if size > 1_000_000} == {}


def test_readme_says_what_galaxy_wants() -> None:
    text = (checkout.ROOT / "README.md").read_text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [
        wanted
        for wanted in (
            "Description",
            "Requirements",
            "Installation",
            "Use Cases",
            "Testing",
            "Contributing",
            "Support",
            "Release Notes",
            "License",
        )
        if wanted not in headings
    ] == []
    variables = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    known = {key for role in ROLES for key in defaults_of(role)}
    assert set(variables) - known - {"cameras"} == set()
    relative = [
        link
        for link in re.findall(r"\]\(([^)]+)\)", text)
        if not link.startswith(("https://", "http://127.0.0.1", "#"))
    ]
    assert relative == []
