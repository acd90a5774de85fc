"""The page's server: on this machine alone, for pages that it served itself."""

import base64
import hashlib
import json
import re
import shutil
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from restore_lightning.demo.service import FILES, RestorationService
from restore_lightning.errors import UserError, shortened_error

HOST = "127.0.0.1"
MOST_BYTES = 2**29
"""Of a file, which is held in memory."""
DIGITS = 18
"""Of the numbers in a request: neither Python nor file systems take them of any length."""
UPLOADS = 2
"""Files in memory at a time: one is restored, the next one is read."""
SILENCE = 60.0
"""Seconds without a byte after which a connection is given up."""
PARTING = 10.0
"""Seconds for which what a refused client still sends is read: closed before, it would not see the answer."""


def render_page(
    network: str, weights: str, factors: Sequence[str], order: Sequence[str], fine_tuned: bool
) -> tuple[str, str]:
    """The page's HTML and its Content-Security-Policy, by which it can ask nobody but this server.

    Args:
        network: Its class.
        weights: Their name.
        factors: That can be chosen.
        order: In which all are removed where the degradation is not known.
        fine_tuned: Whether the networks were trained for that; else it is offered, and a factor is chosen at first.
    """
    loader = PackageLoader("restore_lightning.demo")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    reports = PackageLoader("restore_lightning.reports").get_source(environment, "report.css")[0]
    script, style = (loader.get_source(environment, name)[0] for name in ("demo.js", "demo.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline';"
        f" script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    page = environment.get_template("demo.html").render(
        network=network, weights=weights, factors=factors, order=order, fine_tuned=fine_tuned, most=MOST_BYTES,
        script=script, style=reports + style,
    )  # fmt: skip
    return page, policy


class DemoServer(ThreadingHTTPServer):
    """Serves the page on 127.0.0.1.

    Args:
        port: Its port; 0: a free one.
        service: What restores.
        page: As `render_page` returns it.

    Raises:
        UserError: The port is taken, or cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there two servers would share a port

    def __init__(self, port: int, service: RestorationService, page: tuple[str, str]) -> None:
        self.uploads = threading.Semaphore(UPLOADS)
        try:
            super().__init__((HOST, port), partial(_Handler, service, page))
        except OSError as error:
            raise UserError(
                f"--port {port} cannot be used ({error.strerror}): give another, or 0 for any that is free"
            ) from error

    def server_bind(self) -> None:
        """Without the name service, which HTTPServer asks for this machine's name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(self.allow_reuse_address))
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = HOST, self.server_address[1]

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer
    timeout = SILENCE

    def __init__(self, service: RestorationService, page: tuple[str, str], *given: Any) -> None:
        self.service, self.page = service, page
        super().__init__(*given)

    def do_GET(self) -> None:
        """The page, or a file of a result."""
        path = urlsplit(self.path).path
        found = re.fullmatch(rf"/results/(\d{{1,{DIGITS}}})/({'|'.join(map(re.escape, FILES))})", path)
        if not self._is_ours():
            self._send(HTTPStatus.FORBIDDEN)
        elif path == "/":
            self._send(HTTPStatus.OK, self.page[0].encode(), "text/html; charset=utf-8", self.page[1])
        elif found and (file := self.service.folder / found[1] / found[2]).is_file():
            self._send(HTTPStatus.OK, file.read_bytes(), "image/png")
        else:
            self._send(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Restore the body: an image file."""
        address = urlsplit(self.path)
        length = self.headers.get("Content-Length", "")
        if not self._is_ours() or address.path != "/restore":
            self._refuse(HTTPStatus.FORBIDDEN)
        elif not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > DIGITS or int(length) > MOST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            asked = {name: values[0] for name, values in parse_qs(address.query).items()}
            with self.server.uploads:
                answer = self._restored(self.rfile.read(int(length)), asked)
            self._send(HTTPStatus.OK, json.dumps(answer).encode(), "application/json")

    def _restored(self, content: bytes, asked: dict[str, str]) -> dict[str, Any]:
        name = asked.get("name", "the file")
        try:
            return self.service.restore(content, name, asked.get("factor"), asked.get("order"))
        except UserError as error:
            return {"error": re.sub(r"--(?=(factor|order)\b)", "", " ".join(str(error).split()))}
        except Exception as error:  # the server lives on
            return {"error": f"{name}: {shortened_error(error)}"}

    def _is_ours(self) -> bool:
        """Whether a page of this server asks, by the name that it has here: other sites can reach it too."""
        names = {f"{host}:{self.server.server_port}" for host in (HOST, "localhost")}
        origin = self.headers.get("Origin")
        return self.headers.get("Host") in names and (origin is None or origin.removeprefix("http://") in names)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer a request whose body nobody reads."""
        self._send(status)
        end = time.monotonic() + PARTING
        with suppress(OSError):  # it went away, or says nothing
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(PARTING)
            while time.monotonic() < end and self.connection.recv(2**16):
                pass

    def _send(self, status: HTTPStatus, body: bytes = b"", kind: str = "text/plain", policy: str | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
        headers |= {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}
        for name, value in (headers | ({"Content-Security-Policy": policy} if policy else {})).items():
            self.send_header(name, value)
        self.end_headers()
        shutil.copyfileobj(BytesIO(body), self.wfile)  # in parts: each has its time

    def log_message(self, *_: Any) -> None:
        """Requests are not worth a line."""
