"""The UI as a process: what programs and attackers get."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
from cctv_common.settings import EXIT_CONFIG
from integration.ui.helpers import NINE, Service, Site, basic
from ports import free_port
from waiting import until

Start = Callable[..., Service]
MakeSite = Callable[..., Site]


def metric(service: Service, line: str) -> bool:
    return line in service.ask("/metrics").body.decode().splitlines()


def test_a_frame_as_json_is_its_document(site: Site) -> None:
    said = site.recorder.frame("gate", NINE, "astronaut")
    site.recorder.publish(said)
    assert site.service.ask(f"/frames/{said['id']}.json").json() == said
    for unknown in ("gate-1-1", "gate", "../gate", "gate-1-1-"):
        assert site.service.ask(f"/frames/{unknown}").status == 404
        assert site.service.ask(f"/frames/{unknown}.json").status == 404


def test_a_picture_is_kept_by_who_has_it(site: Site) -> None:
    said = site.recorder.frame("gate", NINE, "astronaut")
    path = f"/images/{said['image']}"
    answer = site.service.ask(path)
    assert answer.body == (site.recorder.store / said["image"]).read_bytes()
    assert answer.said["Content-Type"] == "image/jpeg"
    assert answer.said["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.said["Last-Modified"].endswith("GMT")
    again = site.service.ask(path, **{"If-None-Match": f'"other", W/{answer.said["ETag"]}'})
    assert (again.status, again.body, again.said["ETag"]) == (304, b"", answer.said["ETag"])
    assert site.service.ask(path, **{"If-None-Match": '"other"'}).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "../secret.jpg",
        "..%2fsecret.jpg",
        "%2e%2e/secret.jpg",
        "..%252fsecret.jpg",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "gate/../../secret.jpg",
        "gate/2026-06-01/09/../../../../secret.jpg",
        "gate/2026-06-01/09/gate-1780300000000-1.jpg%00.jpg",
        "gate/2026-06-01/09/%2e%2e%2f%2e%2e%2fsecret.jpg",
        "gate/2026-06-01/09/link-1-1.jpg",
        "link/2026-06-01/09/link-1-1.jpg",
        "..\\secret.jpg",
        ".cctv-image-store",
        "",
    ],
)
def test_no_path_leads_out_of_the_store(site: Site, path: str) -> None:
    store = site.recorder.store
    (store.parent / "secret.jpg").write_text("secret")
    site.recorder.frame("gate", NINE, "astronaut")
    (store / "link").symlink_to(store.parent)
    (store / "gate/2026-06-01/09/link-1-1.jpg").symlink_to(store.parent / "secret.jpg")
    # Not by a client that tidies paths before it sends them.
    connection = http.client.HTTPConnection("127.0.0.1", site.service.port, timeout=30)
    connection.request("GET", f"/images/{path}")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 404
    assert b"secret" not in body and b"root:" not in body


@pytest.mark.parametrize(
    "path", ["/", "/results", "/frames/gate-1-1", "/frames/gate-1-1.json", "/images/x", "/static/app.js", "/nothing"]
)
def test_every_answer_is_guarded(site: Site, path: str) -> None:
    said = site.service.ask(path).said
    assert said["X-Frame-Options"] == "DENY"
    assert said["X-Content-Type-Options"] == "nosniff"
    assert "script-src 'self'" in said["Content-Security-Policy"] and "unsafe" not in said["Content-Security-Policy"]


def test_nothing_can_be_changed(site: Site) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.service.port, timeout=30)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for path in ("/", "/frames/gate-1-1", "/images/x"):
            connection.request(method, path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 405, (method, path)
    connection.close()


def test_a_password_is_asked_for_everywhere_but_of_probes(make_site: MakeSite) -> None:
    site = make_site(UI_PASSWORD="sesame", UI_USERNAME="guard")
    said = site.recorder.frame("gate", NINE, "astronaut")
    site.recorder.publish(said)
    paths = ["/", "/results", f"/frames/{said['id']}", f"/frames/{said['id']}.json", f"/images/{said['image']}"]
    for path in [*paths, "/static/app.js", "/nothing", "/healthz/", "//healthz"]:
        for wrong in (
            {},
            basic("guard", "Sesame"),
            basic("guard", ""),
            basic("cctv", "sesame"),
            {"Authorization": "Basic sesame"},
            {"Authorization": "Bearer sesame"},
            {"Authorization": "Basic \u00ff"},
        ):
            answer = site.service.ask(path, **wrong)
            assert answer.status == 401, (path, wrong)
            assert answer.said["WWW-Authenticate"].startswith("Basic ")
            assert b"gate" not in answer.body
    for path in paths:
        assert site.service.ask(path, **basic("guard", "sesame")).status == 200
    for path in ("/healthz", "/readyz", "/metrics"):
        assert site.service.ask(path).status == 200
    site.service.end()
    assert "sesame" not in "".join(site.service.lines)


def test_what_is_no_detection_hides_nothing_else(make_site: MakeSite) -> None:
    """The mapping refuses a field that is wrong, and lets through one that is missing."""
    site = make_site(UI_PAGE_SIZE="3")
    oldest, newest = (site.recorder.frame("gate", at, "astronaut") for at in (NINE, NINE + 9000))
    whole = site.recorder.frame("gate", NINE + 5000, "astronaut")
    lacking = [
        {name: value for name, value in whole.items() if name != gone} for gone in ("image", "objects", "models")
    ]
    wrong = [
        whole | {"camera": "<b>", "classes": ["<b>"]},
        whole | {"id": "../../etc"},
        whole | {"captured_at": -1},
        whole | {"image": "../../etc/passwd"},
    ]
    documents = [
        one | {"id": f"gate-2-{n}"} | ({"id": one["id"]} if one["id"][0] == "." else {})
        for n, one in enumerate([*lacking, *wrong])
    ]
    site.recorder.publish(oldest, newest, *documents)
    shown, link = [], "/"
    while link:
        page = site.service.ask(link).body.decode()
        assert "<b>" not in page.replace("<b>gate</b>", "") and "passwd" not in page
        shown += re.findall(r'id="frame-([^"]+)"', page)
        link = (re.findall(r'rel="next" href="([^"]+)"', page) or [""])[0].replace("&amp;", "&")
    # The one with a picture elsewhere is shown, without it.
    assert shown == [newest["id"], "gate-2-6", oldest["id"]]
    for bad in ("gate-2-0", "gate-2-3"):
        assert site.service.ask(f"/frames/{bad}").status == 404
    assert "cctv_ui_bad_documents_total" in site.service.ask("/metrics").body.decode()


def test_elasticsearch_that_hangs_is_away_in_time(make_site: MakeSite, elasticsearch: Any) -> None:
    site = make_site(UI_TIMEOUT_MS="500")
    said = site.recorder.frame("gate", NINE, "astronaut")
    site.recorder.publish(said)
    elasticsearch.stop()
    answer = site.service.ask("/?camera=gate")
    assert answer.status == 503 and b"Elasticsearch does not answer in time" in answer.body
    assert site.service.ask(f"/frames/{said['id']}.json").status == 503
    assert site.service.ask(f"/images/{said['image']}").status == 200
    assert site.service.ask("/readyz").status == site.service.ask("/healthz").status == 200
    until("metric", lambda: metric(site.service, 'cctv_ui_dependency_up{dependency="elasticsearch"} 0.0'))
    elasticsearch.cont()
    until("answer", lambda: site.service.ask("/?camera=gate").status == 200)
    until("metric", lambda: metric(site.service, 'cctv_ui_dependency_up{dependency="elasticsearch"} 1.0'))
    away = [line for line in site.service.lines if '"away"' in line and '"elasticsearch"' in line]
    assert len(away) == 1
    assert not [line for line in site.service.lines if "Traceback" in line]


def test_it_starts_and_stops_with_nothing_there(start_service: Start, tmp_path: Any) -> None:
    service = start_service(
        ELASTICSEARCH_URL=f"http://127.0.0.1:{free_port()}", IMAGE_STORE_DIR=str(tmp_path / "nowhere")
    )
    service.wait_ready()
    answer = service.ask("/")
    assert answer.status == 503
    assert b"The search is away" in answer.body and b'role="search"' in answer.body
    until("word of the store", lambda: b"The image store is away" in service.ask("/").body)
    assert service.ask("/images/gate/2026-06-01/09/gate-1-1.jpg").status == 503
    assert service.end() == 0
    assert not [line for line in service.lines if "Traceback" in line]


def test_a_port_in_use_is_one_line(start_service: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        service = start_service(HTTP_PORT=port, ELASTICSEARCH_URL="http://127.0.0.1:9", IMAGE_STORE_DIR="/nowhere")
        assert service.process.wait(30) == 1
    until("its words", lambda: service.lines)
    (line,) = service.lines
    assert port in line and "in use" in line


def test_a_wrong_setting_is_one_line(start_service: Start) -> None:
    service = start_service(ELASTICSEARCH_URL="elasticsearch", IMAGE_STORE_DIR="/nowhere")
    assert service.process.wait(30) == EXIT_CONFIG
    until("its words", lambda: service.lines)
    (line,) = service.lines
    assert line.startswith("ELASTICSEARCH_URL='elasticsearch'") and "http://host:port" in line
