"""An MJPEG camera over HTTP on loopback. Arguments: FOLDER of JPEGs, FPS [PORT [USER:PASSWORD]].

Plain Python. Prints the port once it listens; the camera is http://127.0.0.1:PORT/cam.mjpg.
"""

import base64
import itertools
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PICTURES = [path.read_bytes() for path in sorted(Path(sys.argv[1]).glob("*.jpg"))]
FPS = float(sys.argv[2])
PORT = int(sys.argv[3]) if len(sys.argv) > 3 else 0
AUTHORIZATION = "Basic " + base64.b64encode(sys.argv[4].encode()).decode() if len(sys.argv) > 4 else None


class Camera(BaseHTTPRequestHandler):
    """Sends the pictures over and over, on time."""

    def do_GET(self):
        if self.path.partition("?")[0] != "/cam.mjpg":
            self.send_error(404)
            return
        if AUTHORIZATION and self.headers["Authorization"] != AUTHORIZATION:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        start = time.monotonic()
        try:
            for number, picture in enumerate(itertools.cycle(PICTURES)):
                time.sleep(max(0.0, start + number / FPS - time.monotonic()))
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                self.wfile.write(head.encode() + picture + b"\r\n")
        except OSError:  # the viewer has gone
            pass

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """Lets a restarted camera have its port back at once."""

    allow_reuse_address = True
    daemon_threads = True


server = Server(("127.0.0.1", PORT), Camera)
print(server.server_port, flush=True)
server.serve_forever()
