# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Texts without what is secret. Pure."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, unquote, urlsplit

REDACTED = "(redacted)"
SHORTEST = 4  # what is shorter stands in every text by chance
NAMES = re.compile(r"(?i)(user_?name|_user|login)$")  # who somebody is, is told to whoever is to help
WORDS = ("true", "false", "none", "null")
PATTERNS = (
    # A private key, also as JSON has it.
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL), REDACTED),
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@\"'<>]+@"), r"\1%s@" % REDACTED),
    (re.compile(r"(?i)\b((?:basic|bearer) )[A-Za-z0-9+/=._~-]{4,}"), r"\1%s" % REDACTED),
    (
        re.compile(
            r"(?i)((?:password|passwd|secret|token|api_?key|private_?key)\\?[\"']?\s*[:=]\s*\\?[\"']?)(?!\(redacted\))[^\s\"'\\,;{}()\[\]]+"
        ),
        r"\1%s" % REDACTED,
    ),
)


def secrets(objects):
    """Yield what the given Secrets keep."""
    for secret in objects:
        said = {key: _decoded(value) for key, value in (secret.get("data") or {}).items()}
        said.update(secret.get("stringData") or {})
        for key, value in said.items():
            if not NAMES.search(key):
                yield value


def hidden(manifest):
    """Return a manifest, a Secret without its values."""
    if manifest.get("kind") != "Secret":
        return manifest
    fields = {
        field: dict.fromkeys(manifest[field], REDACTED) for field in ("data", "stringData") if manifest.get(field)
    }
    return dict(manifest, **fields)


def _decoded(value):
    try:
        return base64.b64decode(value).decode()
    except ValueError:
        return value  # no text: it can stand nowhere but as it is


class Redactor:
    """Takes the given values, in the forms that they have in files, and what looks like a secret out of texts."""

    def __init__(self, values):
        found = {form for value in values for form in _forms(value)}
        found = {form for form in found if len(form) >= SHORTEST and form.lower() not in WORDS}
        # The longest first, as one may be a part of another.
        known = sorted(found, key=lambda form: (-len(form), form))
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text):
        if self._known:
            text = self._known.sub(REDACTED, text)
        for pattern, instead in PATTERNS:
            text = pattern.sub(instead, text)
        return text


def _forms(value):
    for part in _parts(value):
        encoded = base64.b64encode(part.encode()).decode()
        for form in (part, encoded, encoded.rstrip("="), quote(part, safe=""), quote(part)):
            yield form
            yield json.dumps(form)[1:-1]
            yield json.dumps(form, ensure_ascii=False)[1:-1]


def _parts(value):
    yield value
    yield value.strip()
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        for line in lines:
            if len(line) >= 8:
                yield line
            # NAME=VALUE and NAME: VALUE, as in files of settings.
            name, said = re.match(r"([^=:]*)[=:]?(.*)", line).groups()
            if re.search(r"(?i)(password|passwd|secret|token|key)$", name.strip()):
                yield said.strip().strip("\"'")
            # user_NAME="PASSWORD", as in JAAS.
            yield from re.findall(r"\"([^\"]{6,})\"", line)
    if "://" in value:
        try:
            password = urlsplit(value).password
        except ValueError:  # no URL after all
            return
        if password:
            yield password
            yield unquote(password)
