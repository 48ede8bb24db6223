"""A page on this computer where a person draws strokes and sees the mask.

The server listens on 127.0.0.1 alone. Every request carries a token that only the page it served knows, and names this
server as its host and origin: another page in the same browser can neither read the image nor drive it.
"""

import hmac
import io
import json
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray

from shapewright.errors import InputError
from shapewright.methods.path_connected.scribbles import ConnectedFit, fit_scribbles
from shapewright.training.connected_config import FitConfig

Save = Callable[[NDArray[np.uint8], ConnectedFit], list[str]]


class ScribbleServer(ThreadingHTTPServer):
    """The page, the fit behind it, and saving.

    Parameters
    ----------
    image
        ``[C, H, W]``.
    save
        Called with strokes and fit when the person saves; returns the written files' names.
    strokes
        Strokes to begin with, uint8 ``[H, W]``.
    settings
        How the region is fitted.
    seed
        Seed of the fit.
    port
        0 takes any free one.

    Raises
    ------
    InputError
        The image is a volume, or the port is taken.
    """

    daemon_threads = True

    def __init__(
        self,
        image: NDArray[Any],
        *,
        save: Save,
        strokes: NDArray[np.uint8] | None = None,
        settings: FitConfig | None = None,
        seed: int = 0,
        port: int = 0,
    ) -> None:
        if image.ndim != 3:
            raise InputError("the page shows flat images; write a slice of the volume to a file, or use --scribbles")
        self.image, self.save, self.settings, self.seed = image, save, settings or FitConfig(), seed
        self.shape = image.shape[1:]
        self.strokes = np.zeros(self.shape, np.uint8) if strokes is None else strokes
        self.token = secrets.token_urlsafe(24)
        self.fit: ConnectedFit | None = None
        self.fitted: NDArray[np.uint8] | None = None
        self.working = threading.Lock()
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise InputError(f"port {port} cannot be used: {error.strerror}; choose another with --port") from error
        self.host = f"127.0.0.1:{self.server_address[1]}"

    @property
    def address(self) -> str:
        """The page's address, with its token."""
        return f"http://{self.host}/?token={self.token}"

    def update(self, strokes: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
        """Fit to strokes, going on from the fit before; return the labels and what to warn of."""
        with self.working:
            objects = sorted({int(code) for code in np.unique(strokes)} - {0, 2})
            start = self.fit.region if self.fit is not None and self.fit.region.objects == len(objects) else None
            self.fit = fit_scribbles(self.image, strokes, seed=self.seed, settings=self.settings, start=start)
            self.fitted = strokes
            return self.fit.labels, self.fit.warning

    def store(self) -> list[str]:
        """Save the last fit."""
        with self.working:
            if self.fit is None or self.fitted is None:
                raise InputError("there is no mask yet: draw on the object and on the background first")
            return self.save(self.fitted, self.fit)


class _Handler(BaseHTTPRequestHandler):
    server: ScribbleServer
    server_version = "shapewright"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the page, the image or the strokes to begin with."""
        parts = urlsplit(self.path)
        token = self.headers.get("X-Token") or parse_qs(parts.query).get("token", [""])[0]
        if not self._allowed(token):
            return
        if parts.path == "/":
            page = resources.files("shapewright.methods.path_connected").joinpath("page.html").read_text("utf-8")
            height, width = self.server.shape
            values = json.dumps({"token": self.server.token, "height": height, "width": width})
            self._answer(page.replace("/*VALUES*/null", values).encode(), "text/html; charset=utf-8")
        elif parts.path == "/image.png":
            self._answer(_png(self.server.image), "image/png")
        elif parts.path == "/strokes":
            self._answer(self.server.strokes.tobytes(), "application/octet-stream")
        else:
            self._fail(HTTPStatus.NOT_FOUND, "no such page")

    def do_POST(self) -> None:
        """Fit to the strokes sent, or save."""
        if not self._allowed(self.headers.get("X-Token", ""), origin=True):
            return
        length = self.headers.get("Content-Length", "")
        size = int(np.prod(self.server.shape))
        expected = size if self.path == "/fit" else 0
        if not length.isdigit() or int(length) != expected:
            self._fail(HTTPStatus.BAD_REQUEST, f"the body must have {expected} bytes")
            return
        body = self.rfile.read(expected)
        try:
            if self.path == "/fit":
                strokes = np.frombuffer(body, np.uint8).reshape(self.server.shape)
                labels, warning = self.server.update(strokes)
                self._answer(labels.tobytes(), "application/octet-stream", warning=warning)
            elif self.path == "/save":
                self._answer(json.dumps(self.server.store()).encode(), "application/json")
            else:
                self._fail(HTTPStatus.NOT_FOUND, "no such page")
        except InputError as error:
            self._fail(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))

    def _allowed(self, token: str, *, origin: bool = False) -> bool:
        """Refuse requests that this server's own page did not make."""
        host = self.server.host
        names = (host, host.replace("127.0.0.1", "localhost"))
        own = self.headers.get("Host") in names
        if origin or "Origin" in self.headers:
            own &= self.headers.get("Origin") in [f"http://{name}" for name in names]
        if not own or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._fail(HTTPStatus.FORBIDDEN, "open the address that shapewright scribble printed")
            return False
        return True

    def _answer(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, warning: str = "") -> None:
        self.send_response(status)
        if warning:
            self.send_header("X-Warning", warning)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header(
            "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src 'self' blob:; "
            "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        )
        self.end_headers()
        self.wfile.write(content)

    def _fail(self, status: HTTPStatus, message: str) -> None:
        self._answer(message.encode(), "text/plain; charset=utf-8", status)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the terminal quiet."""


def _png(image: NDArray[Any]) -> bytes:
    """Return an image ``[C, H, W]`` as PNG."""
    from PIL import Image as Pillow

    from shapewright.data.display import display_levels

    stream = io.BytesIO()
    Pillow.fromarray(display_levels(image)).save(stream, "PNG")
    return stream.getvalue()
