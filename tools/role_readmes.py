"""Writes each role's README.md from its argument specs and defaults; with --check, says which ones are out of date."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
LONGEST_DEFAULT = 60
"""Characters; a longer default is shown below the table."""


class _Loader(yaml.SafeLoader):
    """Reads Ansible's YAML, whose tags (``!unsafe``, ``!vault``) mean nothing here."""


_Loader.add_multi_constructor("!", lambda loader, _suffix, node: loader.construct_scalar(node))


def load(path: Path) -> Any:
    """The content of a YAML file of Ansible's."""
    return yaml.load(path.read_text(), Loader=_Loader)


def roles(root: Path = ROOT) -> list[Path]:
    """The folders of the collection's roles."""
    return sorted(path.parent.parent for path in root.glob("roles/*/tasks/main.yml"))


def readme(role: Path) -> str:
    """The text of a role's README."""
    specs = load(role / "meta/argument_specs.yml")["argument_specs"]
    defaults = load(role / "defaults/main.yml") if (role / "defaults/main.yml").exists() else None
    lines = ["<!-- Written by `make docs` from meta/argument_specs.yml and defaults/main.yml. -->", ""]
    lines += [f"# cctv.pipeline.{role.name}", ""]
    for name, spec in specs.items():
        if name != "main":
            lines += [f"## Entry point `{name}`", ""]
        lines += [spec["short_description"].rstrip(".") + ".", ""]
        for paragraph in _paragraphs(spec.get("description", [])):
            lines += [paragraph, ""]
        options = spec.get("options") or {}
        if name != "main" and options == specs.get("main", {}).get("options"):
            continue
        if options:
            lines += ["## Variables" if name == "main" else "### Variables", ""]
            lines += _table(options, defaults or {})
        for path, suboptions in _nested(options):
            lines += [f"### `{path}`", "", *_table(suboptions, {})]
    lines += ["## License", "", "Apache-2.0", ""]
    return "\n".join(lines)


def _paragraphs(text: str | list[str]) -> list[str]:
    return [
        re.sub(r"\b[A-Z]\(([^)]*)\)", r"`\1`", " ".join(part.split()))
        for part in ([text] if isinstance(text, str) else text)
    ]


def _nested(options: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, option in options.items():
        if "options" in option:
            inner = f"{path}{name}" + ("[]" if option.get("elements") else "")
            yield inner, option["options"]
            yield from _nested(option["options"], f"{inner}.")


def _table(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    lines = ["| Variable | Type | Default | Meaning |", "|---|---|---|---|"]
    long = []
    for name, option in options.items():
        kind = option.get("type", "str") + (f" of {option['elements']}" if "elements" in option else "")
        meaning = " ".join(_paragraphs(option["description"]))
        if "choices" in option:
            meaning += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
        default = defaults.get(name, option.get("default"))
        if option.get("required"):
            shown = "required"
        elif default is None:
            shown = ""
        elif len(shown := _code(default)) > LONGEST_DEFAULT or "\n" in shown:
            long.append((name, default))
            shown = "below"
        lines.append(f"| `{name}` | {kind} | {_cell(shown)} | {_cell(meaning)} |")
    lines.append("")
    for name, default in long:
        text = yaml.safe_dump({name: default}, sort_keys=False, allow_unicode=True, width=110).rstrip()
        lines += [f"The default of `{name}`:", "", "```yaml", text, "```", ""]
    return lines


def _code(value: Any) -> str:
    if isinstance(value, str):
        return f"`{value}`" if value else '`""`'
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write or check all roles' READMEs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for role in roles():
        path, text = role / "README.md", readme(role)
        if path.exists() and path.read_text() == text:
            continue
        stale.append(path.relative_to(ROOT))
        if not check:
            path.write_text(text)
            print(f"wrote {stale[-1]}")
    if check and stale:
        print("make docs: these do not say what their role's specs say: " + ", ".join(map(str, stale)), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
