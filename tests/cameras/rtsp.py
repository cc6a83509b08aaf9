"""An RTSP camera on loopback: loops encoded pictures, one a file.

Arguments: FOLDER of *.h264 or *.h265, FPS [PORT [USER PASSWORD]]; a camera with a password wants digest authentication.

Run by the system's python3, whose GStreamer bindings (Debian: python3-gi, gir1.2-gst-rtsp-server-1.0,
gstreamer1.0-plugins-good and -bad) no wheel has. Prints the port once it listens; the camera is
rtsp://127.0.0.1:PORT/cam.
"""

import itertools
import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402


class Loop(GstRtspServer.RTSPMediaFactory):
    """Makes the element that all viewers share; its time goes on over the loops, as a camera's does."""

    def __init__(self, codec, pictures, fps):
        super().__init__()
        self.set_shared(True)
        self._codec, self._pictures, self._fps = codec, pictures, fps

    def do_create_element(self, url):
        return Gst.parse_launch(
            "( appsrc name=pictures format=time block=true max-buffers=4 max-bytes=0 "
            f"caps=video/x-{self._codec},stream-format=byte-stream,alignment=au,framerate={self._fps}/1 "
            f"! {self._codec}parse ! rtp{self._codec}pay name=pay0 pt=96 config-interval=1 )"
        )

    def do_configure(self, media):
        numbered = enumerate(itertools.cycle(self._pictures))

        def push(source, __):
            number, picture = next(numbered)
            buffer = Gst.Buffer.new_wrapped(picture)
            buffer.pts = buffer.dts = number * Gst.SECOND // self._fps
            buffer.duration = Gst.SECOND // self._fps
            source.emit("push-buffer", buffer)

        media.get_element().get_by_name("pictures").connect("need-data", push)


def ask_for_password(server, camera, user, password):
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.add_digest(user, password, token)
    may = "user, media.factory.access=true, media.factory.construct=true"
    camera.add_role_from_structure(Gst.Structure.from_string(may)[0])
    server.set_auth(auth)


def main():
    Gst.init(None)
    folder, fps, port, *login = [*sys.argv[1:], "0"][: max(3, len(sys.argv) - 1)]
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    files = sorted(Path(folder).glob("*.h26*"))
    camera = Loop(files[0].suffix[1:], [path.read_bytes() for path in files], int(fps))
    if login:
        ask_for_password(server, camera, *login)
    server.get_mount_points().add_factory("/cam", camera)
    if not server.attach(None):
        sys.exit(f"port {port} is taken")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


main()
