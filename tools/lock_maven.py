"""Write the maven.lock.yml of each SERVICE that is named, or of all: the jars that its pom.xml needs. Needs `mvn`."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SERVICES = Path(__file__).resolve().parents[1] / "services"
HEADER = """\
# Every jar that the service runs from. Made from pom.xml by `make lock-maven`; not to be edited.
"""
COORDINATES = re.compile(r"^\s+([\w.-]+):([\w.-]+):jar:(?:([\w.-]+):)?([\w.-]+):(?:compile|runtime)\b", re.MULTILINE)


def resolve(pom: Path) -> list[dict[str, str]]:
    """Ask Maven for the artifacts of ``pom`` and hash what it has fetched."""
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "list.txt"
        subprocess.run(
            [
                *("mvn", "-q", "-B", "-f", str(pom)),
                *("dependency:list", "dependency:copy-dependencies"),
                *("-DincludeScope=runtime", f"-DoutputFile={listing}", f"-DoutputDirectory={folder}/jars"),
            ],
            check=True,
        )
        artifacts = []
        for group, artifact, classifier, version in COORDINATES.findall(listing.read_text()):
            name = "-".join(filter(None, (artifact, version, classifier))) + ".jar"
            entry = {"group": group, "artifact": artifact, "version": version}
            if classifier:
                entry["classifier"] = classifier
            entry["sha256"] = hashlib.sha256((Path(folder) / "jars" / name).read_bytes()).hexdigest()
            artifacts.append(entry)
        jars = len(list(Path(folder, "jars").iterdir()))
        if jars != len(artifacts):
            raise SystemExit(f"Maven has copied {jars} jars, but {len(artifacts)} were understood from its list")
    return sorted(artifacts, key=lambda entry: (entry["group"], entry["artifact"]))


def render(artifacts: list[dict[str, str]]) -> str:
    """Return the lock's text."""
    lines = [HEADER, "maven_artifacts:\n"]
    for entry in artifacts:
        for number, (key, value) in enumerate(entry.items()):
            lines.append(f'  {"-" if number == 0 else " "} {key}: "{value}"\n')
    return "".join(lines)


if __name__ == "__main__":
    for pom in [SERVICES / name / "pom.xml" for name in sys.argv[1:]] or sorted(SERVICES.glob("*/pom.xml")):
        (pom.parent / "maven.lock.yml").write_text(render(resolve(pom)))
