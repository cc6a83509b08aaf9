"""A DNS server, whose answers a test changes while others ask."""

from __future__ import annotations

import ipaddress
import socketserver
import struct
import threading

_A, _NO_SUCH_NAME = 1, 3


class Names:
    """A context: ``addresses`` says which IPv4 addresses a name has."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        names = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request[1].sendto(names._answer(self.request[0]), self.client_address)

        self._server = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Handler)
        self.at = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Names:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def resolve(self, name: str) -> list[str]:
        """What the system's resolver would answer."""
        return list(self.addresses[name])

    def _answer(self, query: bytes) -> bytes:
        end, labels = 12, []
        while query[end]:
            labels.append(query[end + 1 : end + 1 + query[end]].decode())
            end += 1 + query[end]
        end += 1
        (kind,) = struct.unpack_from("!H", query, end)
        found = self.addresses.get(".".join(labels).lower())
        places = found if found and kind == _A else []
        flags = 0x8180 | (0 if found else _NO_SUCH_NAME)
        head = query[:2] + struct.pack("!HHHHH", flags, 1, len(places), 0, 0)
        records = [struct.pack("!HHHIH", 0xC00C, _A, 1, 0, 4) + ipaddress.IPv4Address(p).packed for p in places]
        return head + query[12 : end + 4] + b"".join(records)
