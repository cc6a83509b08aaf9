"""What viewers and programs get from the web server."""

from __future__ import annotations

import json
import re
import socket
import urllib.parse
from collections.abc import Callable

import pytest
from ansible_collections.cctv.pipeline.plugins.module_utils.reach import Direct, credentials
from cctv_common.jpeg import dimensions
from integration.video.helpers import Answer, Feed, Site, Viewer, frame, jpeg
from waiting import until

MakeSite = Callable[..., Site]


def test_a_camera_nobody_knows(site: Site) -> None:
    for path in ("/cameras/attic/snapshot.jpg", "/cameras/attic/stream.mjpg", "/live?cameras=attic,cellar", "/nowhere"):
        answer = Answer(site.url + path)
        assert answer.status == 404
        assert answer.json()["error"]


def test_a_snapshot(site: Site) -> None:
    path = f"{site.url}/cameras/gate/snapshot.jpg"
    assert Answer(path).status == 503
    made = frame("gate", 7, label="coffee mug")
    site.offer(made)
    answer = Answer(path)
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "image/jpeg", made.jpeg)
    assert answer.headers["X-Frame"] == "7"
    assert answer.headers["X-Label"] == "coffee mug"
    assert answer.headers["Cache-Control"] == "no-store"
    assert Answer(path, "HEAD").body == b""


def test_cameras_as_json(site: Site) -> None:
    with Feed(site.offer, ["gate"]):
        until("figures", lambda: Answer(f"{site.url}/cameras").json()["cameras"][0]["label"])
        gate, yard = Answer(f"{site.url}/cameras").json()["cameras"]
    assert (gate["id"], gate["state"], gate["label"], gate["probability"]) == ("gate", "live", "espresso", 0.9)
    assert gate["fps"] > 0 and gate["fps_in"] > 0 and gate["frames"] > 0
    assert None not in (gate["age_ms"], gate["age_p50_ms"], gate["age_p95_ms"], gate["last_frame_at"])
    assert (yard["id"], yard["state"], yard["fps"], yard["age_ms"]) == ("yard", "waiting", 0, None)


def test_a_stream_begins_with_the_last_frame_and_each_frame_ends_with_the_next_boundary(site: Site) -> None:
    first, second = frame("gate", 1), frame("gate", 2, label="Tasse Kaffee ☕")
    site.offer(first)
    with Viewer(site.port, "/cameras/gate/stream.mjpg") as viewer:
        assert "multipart/x-mixed-replace; boundary=frame" in viewer.head
        assert viewer.read(9) == b"--frame\r\n"
        headers, body = viewer.part()
        assert body == first.jpeg
        assert headers == {
            "Content-Type": "image/jpeg",
            "Content-Length": str(len(first.jpeg)),
            "X-Camera": "gate",
            "X-Frame": "1",
            "X-Captured-At": str(first.captured_at),
            "X-Label": "espresso",
        }
        site.offer(frame("yard", 9))
        site.offer(second)
        headers, body = viewer.part()
        assert body == second.jpeg
        assert urllib.parse.unquote(headers["X-Label"]) == "Tasse Kaffee ☕"


def test_a_stream_of_some_cameras(site: Site) -> None:
    with Feed(site.offer, ["gate", "yard", "attic"]), Viewer(site.port, "/live?cameras=attic,cellar,gate") as viewer:
        assert viewer.read(9) == b"--frame\r\n"
        assert {viewer.part()[0]["X-Camera"] for __ in range(12)} == {"attic", "gate"}


def test_pictures_of_the_size_that_is_asked_for(site: Site) -> None:
    made = frame("gate", 7, label="coffee mug", picture=jpeg(7, (1280, 720)))
    site.offer(made)

    def width(picture: bytes) -> int:
        return dimensions(picture)[0]

    for asked, expected in (("width=300", 320), ("width=320&fps=60", 320), ("width=640", 640), ("width=4000", 1280)):
        answer = Answer(f"{site.url}/cameras/gate/snapshot.jpg?{asked}")
        assert (answer.headers["Content-Type"], width(answer.body)) == ("image/jpeg", expected)
        assert (answer.headers["X-Frame"], answer.headers["X-Label"]) == ("7", "coffee mug")
        for path in (f"/live?{asked}", f"/cameras/gate/stream.mjpg?{asked}"):
            with Viewer(site.port, path) as viewer:
                viewer.read(9)
                headers, body = viewer.part()
                assert (headers["X-Frame"], headers["X-Label"], width(body)) == ("7", "coffee mug", expected)
    with Viewer(site.port, "/live?width=200") as viewer:
        viewer.read(9)
        assert viewer.picture("gate") == 7
        for number in range(8, 20):
            site.offer(frame("gate", number, picture=jpeg(number, (1280, 720))))
            assert viewer.picture("gate") == number


def test_who_wants_few_frames_gets_the_last_one_when_it_is_due_though_no_other_follows(site: Site) -> None:
    site.offer(frame("gate", 1))
    with Viewer(site.port, "/live?fps=2") as viewer:
        viewer.read(9)
        assert viewer.picture("gate") == 1
        for number in (2, 3, 4):
            site.offer(frame("gate", number))
        assert viewer.picture("gate") == 4


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("width=wide", "width=wide: expected pixels, 16 to 7680"),
        ("width=8", "width=8: expected pixels, 16 to 7680"),
        ("fps=nan", "fps=nan: expected frames a second, 0.1 to 60"),
        ("fps=0", "fps=0: expected frames a second, 0.1 to 60"),
        ("cameras=gate,Back%20Yard", "cameras=Back Yard: expected ids of cameras, with commas"),
        ("cameras=", "cameras=: expected ids of cameras, with commas"),
    ],
)
def test_what_cannot_be_asked_for_is_told(site: Site, asked: str, expected: str) -> None:
    answer = Answer(f"{site.url}/live?{asked}")
    assert (answer.status, answer.json()) == (400, {"error": expected})
    assert site.hub.viewers() == 0


def test_all_cameras_in_one_stream(site: Site) -> None:
    with Feed(site.offer, ["gate", "yard", "attic"]), Viewer(site.port, "/live") as viewer:
        assert viewer.read(9) == b"--frame\r\n"
        cameras = [viewer.part()[0]["X-Camera"] for __ in range(12)]
        assert {camera: cameras.count(camera) for camera in set(cameras)} == {"gate": 4, "yard": 4, "attic": 4}


def test_the_stream_of_silent_cameras_has_a_heartbeat(site: Site) -> None:
    with Viewer(site.port, "/live") as viewer:
        assert viewer.read(9) == b"--frame\r\n"
        assert viewer.part() == ({"Content-Length": "0"}, b"")


def test_viewers_are_capped(make_site: MakeSite) -> None:
    site = make_site(max_viewers=2)
    with Viewer(site.port, "/live") as one, Viewer(site.port, "/cameras/gate/stream.mjpg"):
        refused = Answer(f"{site.url}/live")
        assert refused.status == 503 and int(refused.headers["Retry-After"]) > 0
        assert refused.json()["error"]
        assert Answer(f"{site.url}/cameras").status == Answer(f"{site.url}/healthz").status == 200
        # Whoever leaves makes room, though his camera sends nothing.
        one.socket.shutdown(socket.SHUT_RDWR)
        until("room", lambda: site.hub.viewers() == 1)
        with Viewer(site.port, "/live") as another:
            assert another.status == 200
    assert site.count("cctv_video_viewers_refused_total") == 1


def test_asking_what_a_stream_is_opens_none(site: Site) -> None:
    answer = Answer(f"{site.url}/cameras/gate/stream.mjpg", "HEAD")
    assert (answer.status, site.hub.viewers()) == (200, 0)


def test_a_slow_viewer_skips_to_the_newest_frame_and_delays_nobody(site: Site) -> None:
    noise = jpeg(1, (1000, 700), detail=True)
    with (
        Viewer(site.port, "/cameras/gate/stream.mjpg", receive_buffer=4096) as slow,
        Viewer(site.port, "/cameras/gate/stream.mjpg") as quick,
    ):
        slow.read(9)
        quick.read(9)
        for number in range(60):
            site.offer(frame("gate", number, picture=noise))
            assert quick.picture() == number
        seen = [slow.picture()]
        while seen[-1] < 59:
            seen.append(slow.picture())
        # What was on its way to him when he did not read is all that he gets of the past.
        assert len(seen) <= 12
        assert seen == sorted(set(seen))


def test_a_viewer_who_takes_nothing_is_dropped_and_harms_nobody(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(app={"write_timeout_s": 0.5})
    noise = jpeg(1, (1000, 700), detail=True)
    with (
        Feed(site.offer, ["gate"], fps=30, picture=noise),
        Viewer(site.port, "/live", receive_buffer=4096) as stalled,
        Viewer(site.port, "/live") as quick,
    ):
        quick.read(9)
        while site.count("cctv_video_viewers_stalled_total") < 1:
            before = quick.picture()
            assert quick.picture() > before
        assert site.hub.viewers() == 1
        with pytest.raises(ConnectionError):  # and his connection is cut, with all that waited for him
            while True:
                stalled.part() if stalled._chunk else stalled.read(9)
        before = quick.picture()
        assert quick.picture() > before
    assert caplog.records == []


def test_streams_end_with_the_server_and_stalled_ones_are_cut(make_site: MakeSite) -> None:
    site = make_site()
    noise = jpeg(1, (1000, 700), detail=True)
    with (
        Feed(site.offer, ["gate"], fps=30, picture=noise),
        Viewer(site.port, "/live", receive_buffer=4096),
        Viewer(site.port, "/live") as quick,
    ):
        quick.read(9)
        for __ in range(20):
            quick.part()
        site.stop()
        with pytest.raises(EOFError):
            while True:
                quick.part()
    site.start()


FILES = {
    "/": "text/html; charset=utf-8",
    "/static/app.js": "text/javascript; charset=utf-8",
    "/static/view.js": "text/javascript; charset=utf-8",
    "/static/style.css": "text/css; charset=utf-8",
    "/static/icon.svg": "image/svg+xml",
}


def test_the_page_runs_nothing_from_elsewhere(site: Site) -> None:
    for path in FILES:
        answer = Answer(site.url + path)
        assert answer.status == 200
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert (
            b"http://" not in answer.body.replace(b"http://www.w3.org/2000/svg", b"") and b"https://" not in answer.body
        )


def test_browsers_keep_the_page_and_ask_whether_it_is_still_the_same(site: Site) -> None:
    for path, media_type in FILES.items():
        answer = Answer(site.url + path)
        assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == (media_type, "no-cache")
        again = Answer(site.url + path, headers={"If-None-Match": f'"other", W/{answer.headers["ETag"]}'})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", answer.headers["ETag"])
        assert Answer(site.url + path, headers={"If-None-Match": '"other"'}).body == answer.body


def test_what_is_live_is_never_kept(site: Site) -> None:
    site.offer(frame("gate", 1))
    for path in ("/cameras", "/cameras/gate/snapshot.jpg", "/cameras/attic/snapshot.jpg", "/live?fps=0"):
        assert Answer(site.url + path).headers["Cache-Control"] == "no-store"
    assert Answer(f"{site.url}/cameras").headers["Content-Type"] == "application/json"
    for path in ("/live", "/cameras/gate/stream.mjpg"):
        with Viewer(site.port, path) as viewer:
            assert "cache-control: no-store" in viewer.head.lower()
            assert "x-content-type-options: nosniff" in viewer.head.lower()


@pytest.mark.parametrize("root_path", ["", "/site/cctv"])
def test_below_a_path_that_a_proxy_leaves(make_site: MakeSite, root_path: str) -> None:
    site = make_site(app={"root_path": root_path})
    site.offer(frame("gate", 1))
    for path in (
        root_path or "/",
        f"{root_path}/",
        f"{root_path}/cameras",
        f"{root_path}/healthz",
        "/healthz",
        "/cameras",
    ):
        assert Answer(site.url + path).status == 200, path
    assert Answer(f"{site.url}{root_path or '/'}x/cameras").status == 404
    with Viewer(site.port, f"{root_path}/live?cameras=gate") as viewer:
        viewer.read(9)
        assert viewer.picture() == 1


def test_a_path_that_a_proxy_has_taken_away(site: Site) -> None:
    def script(prefix: str) -> str:
        found = re.search(
            r'src="([^"]+/app.js)"', Answer(site.url, headers={"X-Forwarded-Prefix": prefix}).body.decode()
        )
        assert found
        return found[1]

    assert script("/site/cctv") == script("/site/cctv/") == "/site/cctv/static/app.js"
    for hostile in ("//evil.example", '/"><script>', "https://evil.example"):
        assert script(hostile) == "static/app.js"


def test_a_password_is_asked_for_everywhere_but_of_probes(make_site: MakeSite) -> None:
    site = make_site(app={"username": "guard", "password": "öffne dich"})
    site.offer(frame("gate", 1))
    paths = [*FILES, "/cameras", "/cameras/gate/snapshot.jpg"]
    for path in [*paths, "/live", "/cameras/gate/stream.mjpg", "/nowhere", "/healthz/", "//healthz"]:
        for wrong in ({}, credentials("guard", "Öffne dich"), credentials("cctv", "öffne dich")):
            answer = Answer(site.url + path, headers=wrong)
            assert (answer.status, answer.headers["Cache-Control"]) == (401, "no-store")
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
            assert b"gate" not in answer.body
    for path in paths:
        assert Answer(site.url + path, headers=credentials("guard", "öffne dich")).status == 200
    for path in ("/healthz", "/readyz", "/metrics"):
        assert Answer(site.url + path).status == 200
    assert '"gate"' in Direct(site.url, credentials("guard", "öffne dich")).cameras()


@pytest.mark.parametrize(
    "sent",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"POST /live HTTP/1.1\r\nHost: x\r\n\r\n"],
)
def test_a_malformed_request_is_refused(site: Site, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as client:
        client.sendall(sent)
        assert client.recv(1000).split()[1].startswith(b"40")
    assert Answer(f"{site.url}/healthz").status == 200


def test_metrics_name_no_viewer(site: Site) -> None:
    with Viewer(site.port, "/live"):
        text = Answer(f"{site.url}/metrics").body.decode()
    assert "cctv_video_viewers 1.0" in text
    assert json.dumps("127.0.0.1") not in text
