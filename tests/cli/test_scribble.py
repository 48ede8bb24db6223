"""Strokes in every form, results that fit the image, and the page in a real browser."""

import base64
import http.client
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from shapewright.cli.main import main
from shapewright.data import read_image, read_labels
from shapewright.data.strokes import read_strokes
from shapewright.errors import InputError
from shapewright.methods.path_connected import FitConfig
from shapewright.methods.path_connected.serve import ScribbleServer
from shapewright.networks.connected_region import is_one_piece
from shapewright.report.overlay import overlay

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
SHAPE = (48, 64)


@pytest.fixture(scope="module")
def disc() -> np.ndarray:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.asarray(np.hypot(y - 24, x - 30) < 15)


@pytest.fixture(scope="module")
def strokes() -> np.ndarray:
    strokes = np.zeros(SHAPE, np.uint8)
    strokes[22:26, 22:38] = 1
    strokes[3, 10:50] = strokes[44, 10:50] = 2
    strokes[6:42, 8] = strokes[6:42, 52] = 2
    return strokes


@pytest.fixture
def image(tmp_path: Path, disc: np.ndarray) -> Path:
    noise = np.random.default_rng(0).normal(0, 8, SHAPE)
    path = tmp_path / "disc.png"
    Image.fromarray((60 + 120 * disc + noise).clip(0, 255).astype(np.uint8)).save(path)
    return path


def coloured(strokes: np.ndarray) -> Image.Image:
    palette = np.array([[255, 255, 255], [0, 255, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
    return Image.fromarray(palette[strokes])


def write_as(kind: str, folder: Path, strokes: np.ndarray) -> Path:
    path = folder / f"strokes.{kind.split(' ')[0]}"
    points = [(int(strokes[p]), *map(int, p)) for p in map(tuple, np.argwhere(strokes))]
    names = {1: "object", 2: "background"}
    if kind == "png colours":
        coloured(strokes).save(path)
    elif kind == "png transparent":
        rgba = np.dstack([np.asarray(coloured(strokes)), 255 * (strokes > 0).astype(np.uint8)])
        Image.fromarray(rgba).save(path)
    elif kind == "png numbers":
        Image.fromarray(strokes).save(path)
    elif kind == "npz labels":
        np.savez(path, scribbles=strokes)
    elif kind == "npz masks":
        np.savez(path, scribbles=np.stack([strokes == 1, strokes == 2]).astype(np.uint8) * 255)
    elif kind == "tif":
        import tifffile

        tifffile.imwrite(path, strokes)
    elif kind == "csv":
        path.write_text("kind,y,x\n" + "".join(f"{names[c]},{y},{x}\n" for c, y, x in points))
    elif kind == "txt numbers":
        path.write_text("".join(f"{c}, {y}, {x}\n" for c, y, x in points))
    else:
        path.write_text(json.dumps({names[k]: [[y, x] for c, y, x in points if c == k] for k in (1, 2)}))
    return path


KINDS = [
    "png colours",
    "png transparent",
    "png numbers",
    "npz labels",
    "npz masks",
    "tif",
    "csv",
    "txt numbers",
    "json",
]


@pytest.mark.parametrize("kind", KINDS)
def test_strokes_are_read_from_every_form(kind: str, tmp_path: Path, strokes: np.ndarray) -> None:
    assert np.array_equal(read_strokes(write_as(kind, tmp_path, strokes), SHAPE), strokes)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "object,48,3\nbackground,0,0", r"point 1: \(y, x\) = \(48, 3\) lies outside the image"),
        ("a.csv", "object,-1,3\n", "lies outside the image"),
        ("a.csv", "object,3,3\nbackground,3,3", r"the pixel \(3, 3\) is marked in two ways"),
        ("a.csv", "objekt,3,3\n", "did you mean 'object'"),
        ("a.csv", "object,3\n", r"must have 2 coordinates \(y, x\)"),
        ("a.json", '{"object": [[1, "x"]]}', "must be numbers"),
        ("a.json", "[1, 2]", "must be"),
        ("a.csv", "object,3,x\nobject,4,4\nbackground,9,9", "point 1: y, x must be numbers"),
        ("a.csv", "object,a,b\nobject,4,4\nbackground,9,9", "point 1: y, x must be numbers"),
        ("a.csv", "²,3,4\n", "unknown kind of stroke"),
        ("a.json", "{", "cannot be read as JSON"),
        ("a.jpg", "", "JPEG changes the colours"),
    ],
)
def test_errors_in_strokes_name_file_and_place(name: str, content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        read_strokes(path, SHAPE)
    assert name in str(error.value)


def test_strokes_in_arrays_are_finite_numbers(tmp_path: Path) -> None:
    for values in (np.full((2, *SHAPE), "a"), np.full((2, *SHAPE), np.nan), np.full(SHAPE, "a")):
        np.savez(tmp_path / "odd.npz", scribbles=values)
        with pytest.raises(InputError, match=r"odd.npz: scribbles must be finite numbers"):
            read_strokes(tmp_path / "odd.npz", SHAPE)


def test_strokes_of_another_size_and_contradictory_masks(tmp_path: Path, strokes: np.ndarray) -> None:
    path = write_as("png colours", tmp_path, strokes)
    with pytest.raises(InputError, match=r"strokes have shape \(48, 64\), but the image \(48, 60\)"):
        read_strokes(path, (48, 60))
    both = np.ones((2, *SHAPE), np.uint8)
    np.savez(tmp_path / "both.npz", scribbles=both)
    with pytest.raises(InputError, match="marked in two ways"):
        read_strokes(tmp_path / "both.npz", SHAPE)


def test_the_command_writes_mask_probabilities_and_picture(
    tmp_path: Path, image: Path, disc: np.ndarray, strokes: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = write_as("png colours", tmp_path, strokes)
    assert (
        main(["scribble", str(image), "--scribbles", str(drawn), "-o", str(tmp_path / "m.png"), "--steps", "80"]) == 0
    )
    mask = read_labels(tmp_path / "m.png").array[0] == 1
    assert is_one_piece(mask)
    assert (mask & disc).sum() / (mask | disc).sum() > 0.8
    soft = read_image(tmp_path / "m_probabilities.npz").array
    assert soft.shape == (1, *SHAPE)
    assert np.array_equal(soft[0] >= 0.5, mask)
    assert np.asarray(Image.open(tmp_path / "m_overlay.png")).shape == (*SHAPE, 3)
    assert capsys.readouterr().out.split() == [
        str(tmp_path / n) for n in ("m.png", "m_probabilities.npz", "m_overlay.png")
    ]


@pytest.fixture
def ringed() -> np.ndarray:
    """Return strokes on a ring, inside it and outside it."""
    radius = np.hypot(*(np.mgrid[: SHAPE[0], : SHAPE[1]] - np.array([24, 30])[:, None, None]))
    return np.where(np.abs(radius - 13) < 2, 1, np.where((radius < 6) | (np.abs(radius - 20) < 1), 2, 0)).astype(
        np.uint8
    )


def test_the_command_warns_of_strokes_that_one_piece_cannot_satisfy(
    tmp_path: Path, image: Path, ringed: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = write_as("png colours", tmp_path, ringed)
    command = ["scribble", str(image), "--scribbles", str(drawn), "-o", str(tmp_path / "m.png"), "--steps", "60"]
    assert main(command) == 0
    assert "warning: the mask goes against" in capsys.readouterr().err


def test_a_volume_keeps_its_geometry(tmp_path: Path) -> None:
    z, y, x = np.mgrid[:10, :16, :14]
    ball = (z - 5) ** 2 + (y - 8) ** 2 + (x - 7) ** 2 < 16
    affine = np.diag([-2.0, 1.0, 3.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(ball.astype(np.float32).T, affine), tmp_path / "ball.nii.gz")
    rows = ["object,5,8,7", "object,5,7,7", "object,4,8,7"]
    rows += [f"background,{a},{b},{c}" for a in (0, 9) for b in (1, 14) for c in (1, 12)] + ["background,5,1,7"]
    (tmp_path / "points.csv").write_text("\n".join(rows))
    out = tmp_path / "mask.nii.gz"
    command = ["scribble", str(tmp_path / "ball.nii.gz"), "--scribbles", str(tmp_path / "points.csv"), "-o", str(out)]
    assert main([*command, "--steps", "60"]) == 0
    result = nibabel.load(out)
    assert np.array_equal(result.affine, affine)
    assert is_one_piece(np.asarray(result.dataobj).T > 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give strokes with --scribbles, or draw them with --serve"),
        (["--scribbles", "{strokes}", "-o", "m.jpg"], "--out must end in"),
        (["--scribbles", "{strokes}", "-o", "{image}"], "would replace the image"),
        (["--scribbles", "{strokes}", "-o", "{strokes}"], "would replace the strokes"),
        (["--scribbles", "{strokes}", "-o", "{folder}/a.png"], "a_overlay.png is a folder"),
        (["--scribbles", "{only}"], "only.csv: scribbles hold strokes of one kind only"),
        (["--scribbles", "{strokes}", "-o", "nowhere/m.png"], "does not exist"),
        (["--scribbles", "missing.png"], "no such file"),
        (["--scribbles", "{strokes}", "--seed", "9" * 20], "--seed must"),
        (["--scribbles", "{strokes}", "--steps", "0"], "--steps must be at least 1"),
        (["--scribbles", "{strokes}", "--teacher", "you"], "invalid choice"),
    ],
)
def test_usage_errors(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    image: Path,
    strokes: np.ndarray,
    capsys: pytest.CaptureFixture[str],
) -> None:
    drawn = write_as("png colours", tmp_path, strokes)
    before = drawn.read_bytes()
    (tmp_path / "a_overlay.png").mkdir()
    (tmp_path / "only.csv").write_text("object,3,3\n")
    arguments = [a.format(strokes=drawn, image=image, folder=tmp_path, only=tmp_path / "only.csv") for a in arguments]
    assert main(["scribble", str(image), *arguments]) == 2
    assert drawn.read_bytes() == before
    assert message in capsys.readouterr().err


def test_the_picture_shows_outline_and_strokes(disc: np.ndarray, strokes: np.ndarray) -> None:
    image = np.zeros((1, *SHAPE))
    picture = overlay(image, disc, strokes)
    assert tuple(picture[23, 30]) == (60, 200, 90)
    assert tuple(picture[24, 16]) == (255, 214, 0)  # the first pixel of the row inside the disc
    assert tuple(picture[0, 0]) == (0, 0, 0)
    assert overlay(np.zeros((3, 4, 5, 6)), np.ones((4, 5, 6), int)).shape == (5, 6, 3)


# -- the page ------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(disc: np.ndarray) -> Iterator[ScribbleServer]:
    image = (60 + 120 * disc).astype(np.uint8)[None]
    saved: list[Any] = []

    def save(strokes: np.ndarray, fit: Any) -> list[str]:
        saved.append((strokes, fit))
        return ["mask.png"]

    with ScribbleServer(image, save=save, settings=FitConfig(steps=60, points=300)) as running:
        running.saved = saved  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()


def request(server: ScribbleServer, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_only_its_own_page_can_drive_the_server(server: ScribbleServer, strokes: np.ndarray) -> None:
    own = {"X-Token": server.token, "Origin": f"http://{server.host}"}
    body = strokes.tobytes()
    assert server.server_address[0] == "127.0.0.1"
    assert request(server, "GET", "/")[0] == 403
    assert request(server, "GET", "/?token=guess")[0] == 403
    assert request(server, "GET", "/image.png")[0] == 403
    assert request(server, "GET", f"/?token={server.token}", Host="evil.example")[0] == 403
    assert request(server, "POST", "/fit", body, **(own | {"Origin": "http://evil.example"}))[0] == 403
    assert request(server, "POST", "/fit", body, **{"X-Token": server.token})[0] == 403  # no origin: not a page
    assert request(server, "POST", "/fit", body, Origin=own["Origin"])[0] == 403
    assert request(server, "POST", "/fit", body[:-1], **own)[0] == 400
    assert request(server, "POST", "/save", **own) == (
        422,
        b"there is no mask yet: draw on the object and on the background first",
    )
    assert request(server, "POST", "/fit", (strokes == 1).tobytes(), **own)[0] == 422
    assert request(server, "GET", "/etc/passwd", **own)[0] == 404
    status, answer = request(server, "POST", "/fit", body, **own)
    assert status == 200
    assert is_one_piece(np.frombuffer(answer, np.uint8).reshape(SHAPE) == 1)
    assert request(server, "POST", "/save", **own) == (200, b'["mask.png"]')
    status, page = request(server, "GET", f"/?token={server.token}")
    assert status == 200
    assert b"http" not in page.replace(b"https://", b"http")  # nothing is loaded from elsewhere


class Browser:
    """A headless Chromium, driven through its debugging pipe."""

    def __init__(self, folder: Path, width: int, height: int, scheme: str = "light") -> None:
        there, self.write = os.pipe()
        self.read, back = os.pipe()
        flags = "--headless --no-sandbox --disable-gpu --remote-debugging-pipe --disable-background-networking"
        command = f'exec "{BROWSER}" {flags} --user-data-dir="{folder}" about:blank 3<&{there} 4>&{back}'
        self.process = subprocess.Popen(
            ["bash", "-c", command], pass_fds=(there, back), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(there)
        os.close(back)
        self.number, self.rest, self.session = 0, b"", ""
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self("Emulation.setTouchEmulationEnabled", enabled=True)
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def __call__(self, method: str, **parameters: Any) -> Any:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                self.rest += os.read(self.read, 1 << 16)
            first, self.rest = self.rest.split(b"\0", 1)
            answer = json.loads(first)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def look(self, script: str) -> Any:
        return self("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait(self, script: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not self.look(script):
            assert time.monotonic() < end, (script, self.look("document.body.innerText"))
            time.sleep(0.1)

    def spot(self, y: float, x: float) -> dict[str, float]:
        """Return where a pixel of the image is on the screen."""
        box = self.look("(({left, top, width, height}) => [left, top, width, height])(stage.getBoundingClientRect())")
        return {"x": box[0] + box[2] * x / SHAPE[1], "y": box[1] + box[3] * y / SHAPE[0]}

    def mouse(self, *spots: tuple[float, float]) -> None:
        for kind, (y, x) in zip(["mousePressed", *["mouseMoved"] * len(spots)], spots, strict=False):
            self("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **self.spot(y, x))
        self("Input.dispatchMouseEvent", type="mouseReleased", button="left", clickCount=1, **self.spot(*spots[-1]))

    def finger(self, *spots: tuple[float, float]) -> None:
        for kind, (y, x) in zip(["touchStart", *["touchMove"] * len(spots)], spots, strict=False):
            self("Input.dispatchTouchEvent", type=kind, touchPoints=[self.spot(y, x)])
        self("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, selector: str) -> None:
        box = self.look(f"(({{left, top, width, height}}) => [left + width / 2, top + height / 2])"
                        f"(document.querySelector({selector!r}).getBoundingClientRect())")  # fmt: skip
        for kind in ("mousePressed", "mouseReleased"):
            self("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, x=box[0], y=box[1])

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.write)
        os.close(self.read)


@pytest.fixture
def browse(tmp_path: Path) -> Iterator[Callable[..., Browser]]:
    opened: list[Browser] = []

    def start(width: int, height: int, scheme: str = "light") -> Browser:
        opened.append(Browser(tmp_path / f"profile{len(opened)}", width, height, scheme))
        return opened[-1]

    yield start
    for browser in opened:
        browser.close()


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
@pytest.mark.parametrize(("width", "scheme", "way"), [(1000, "light", "mouse"), (390, "dark", "finger")])
def test_a_person_draws_undoes_and_saves(
    server: ScribbleServer, disc: np.ndarray, browse: Callable[..., Browser], width: int, scheme: str, way: str
) -> None:
    browser = browse(width, 800, scheme)
    browser("Page.navigate", url=server.address)
    browser.wait("document.body && document.body.dataset.ready === 'yes'")
    stroke = browser.mouse if way == "mouse" else browser.finger
    stroke((24, 22), (24, 30), (24, 38))
    browser.wait("document.getElementById('status').textContent.includes('background')")
    browser.press('[data-tool="2"]')
    stroke((4, 12), (4, 50))
    browser.wait("!document.getElementById('save').disabled")
    stroke((44, 50), (44, 10), (24, 8), (8, 10))
    browser.wait("document.getElementById('status').textContent.startsWith('One piece') && !busy")
    before = browser.look("strokes.reduce((sum, code) => sum + (code === 2), 0)")
    labels = np.array(browser.look("[...labels]"), np.uint8).reshape(SHAPE) == 1
    assert is_one_piece(labels)
    assert (labels & disc).sum() / disc.sum() > 0.5
    tinted = "[...mask.getImageData(0, 0, width, height).data].some(Boolean)"
    assert browser.look(tinted)
    browser.press("#show")
    assert not browser.look(tinted)
    browser.press("#show")
    browser.press('[data-tool="0"]')
    stroke((44, 50), (44, 30))
    browser.wait("!document.getElementById('save').disabled && !busy")
    assert browser.look("strokes.reduce((sum, code) => sum + (code === 2), 0)") < before
    browser.press("#undo")
    browser.wait("!document.getElementById('save').disabled && !busy")
    assert browser.look("strokes.reduce((sum, code) => sum + (code === 2), 0)") == before
    browser.press("#save")
    browser.wait("document.getElementById('status').textContent === 'Saved mask.png'")
    saved, fit = server.saved[-1]  # type: ignore[attr-defined]
    assert saved[24, 30] == 1
    assert saved[4, 30] == 2
    assert is_one_piece(fit.mask)
    assert browser.look("document.documentElement.scrollWidth <= innerWidth")
    ground = browser.look("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(246, 246, 244)" if scheme == "light" else "rgb(21, 24, 28)")
    if "SHAPEWRIGHT_SCREENSHOTS" in os.environ:
        browser.picture(Path(os.environ["SHAPEWRIGHT_SCREENSHOTS"]) / f"scribble-{scheme}-{width}.png")
