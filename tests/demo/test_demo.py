"""`restore demo` in a real browser, and what it refuses."""

import json
import re
import select
import signal
import socket
from contextlib import ExitStack
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from PIL import Image

from restore_lightning.demo.server import HOST, UPLOADS
from tests.demo.conftest import TILE, started
from tests.reporting import DESKTOP, PHONE


def restored(tab, photo, tmp_path):
    """The bytes that the page gives for a photograph, by its present choices."""
    tab.locator("input[type=file]").set_input_files(photo)
    tab.get_by_role("button", name="Restore").click()
    tab.locator(".stage").wait_for(timeout=60_000)
    with tab.expect_download() as download:
        tab.get_by_text("Download").click()
    assert download.value.suggested_filename == f"{photo.stem}_restored.png"
    download.value.save_as(tmp_path / "downloaded.png")
    return (tmp_path / "downloaded.png").read_bytes()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=str)
@pytest.mark.slow
def test_the_download_is_what_apply_writes(visit, step_1, photographs, restore, tmp_path, size):
    tab = visit(size)
    small = tmp_path / "small.jpg"
    Image.open(photographs / "cup.png").crop((0, 0, 70, 60)).save(small, dpi=(300, 300))
    tab.get_by_role("radio", name="rain").check()
    assert not tab.locator(".order").is_visible()
    given = restored(tab, small, tmp_path)
    assert restore("apply", step_1, small, "--output", tmp_path / "rain", "--factor", "rain", "--device", "cpu")[0] == 0
    assert given == (tmp_path / "rain/small.png").read_bytes()
    tab.get_by_role("radio", name="unknown").check()
    assert tab.locator(".order input").input_value() == "jpeg, haze, blur, rain"
    tab.locator(".order input").fill("rain,blur,haze,jpeg")
    given = restored(tab, photographs / "cat.png", tmp_path)
    words = ("--order", "rain,blur,haze,jpeg", "--tile", TILE, "--device", "cpu")
    assert restore("apply", step_1, photographs / "cat.png", "--output", tmp_path / "tiles", *words)[0] == 0
    assert given == (tmp_path / "tiles/cat.png").read_bytes()
    assert (
        f"90x72 pixels, rain, blur, haze, jpeg removed, in tiles of {TILE} pixels" in tab.locator(".said").inner_text()
    )
    # The slider divides the photograph that was given from the restored one.
    slider, left = tab.locator(".stage input"), tab.locator(".stage .left")
    assert tab.evaluate("[...document.querySelectorAll('.stage img')].map(one => one.naturalWidth)") == [90, 90]
    slider.focus()
    slider.press("Home")
    assert left.evaluate("one => getComputedStyle(one).clipPath") == "inset(0px 100% 0px 0px)"
    slider.press("End")
    assert left.evaluate("one => getComputedStyle(one).clipPath") == "inset(0px 0% 0px 0px)"
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= size[0]
    targets = "form button, .choice label, .order input, .download"
    heights = tab.eval_on_selector_all(targets, "all => all.map(one => one.getBoundingClientRect().height)")
    assert min(heights) >= (44 if size == PHONE else 36)


def test_what_cannot_be_restored_is_said_and_the_server_lives(visit, photographs, tmp_path):
    tab = visit(DESKTOP)
    assert tab.get_by_role("button", name="Restore").is_disabled()
    text = tmp_path / "<b>notes.png"
    text.write_text("words\n")
    wrong = (
        (text, "jpeg, haze, blur, rain", "<b>notes.png cannot be read as an image: it is no image"),
        (photographs / "cat.png", "rain, fog", "order [rain, fog]: unknown: fog; missing: "),
    )
    assert tab.get_by_role("radio", name="rain").is_checked()  # a network that is told, and was not trained for all
    tab.get_by_role("radio", name="unknown").check()
    for photo, order, said in wrong:
        tab.locator(".order input").fill(order)
        tab.locator("input[type=file]").set_input_files(photo)
        tab.get_by_role("button", name="Restore").click()
        tab.locator(".said.error", has_text=said).wait_for()
        assert not tab.locator(".result").is_visible()
    tab.get_by_role("radio", name="haze").check()
    assert restored(tab, photographs / "cat.png", tmp_path)[1:4] == b"PNG"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {"Host": "evil.example"}, 403),
        ("POST", "/restore", {"Origin": "https://evil.example"}, 403),
        ("POST", "/other", {}, 403),
        ("POST", "/restore", {"Content-Length": "many"}, 411),
        ("POST", "/restore", {"Content-Length": str(2**40)}, 413),
        ("POST", "/restore", {"Content-Length": "9" * 5000}, 413),
        ("GET", "/results/1/../../secret.png", {}, 404),
        ("GET", f"/results/{'9' * 5000}/restored.png", {}, 404),
        ("GET", "/results/999/restored.png", {}, 404),
        ("GET", "/", {}, 200),
    ],
)
def test_other_pages_are_refused(served, method, path, headers, status):
    connection = HTTPConnection(urlsplit(served).netloc, timeout=30)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    assert response.status == status
    if status == 200:
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    connection.close()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows ends processes without a signal")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_no_photograph_is_left_behind(step_1, photographs, tmp_path, name):
    process, line = started(step_1, TMPDIR=str(tmp_path))
    try:
        connection = HTTPConnection(re.search(r"127\.0\.0\.1:\d+", line)[0], timeout=60)
        connection.request("POST", "/restore?factor=rain", (photographs / "cat.png").read_bytes())
        assert b"restored.png" in connection.getresponse().read()
        assert len(list(tmp_path.glob("restore_demo_*/1/*.png"))) == 2
    finally:
        process.send_signal(getattr(signal, name))
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + getattr(signal, name), "")
    assert list(tmp_path.glob("restore_demo_*")) == []


@pytest.mark.parametrize(
    ("path", "headers", "status"), [("/other", {}, 403), ("/restore", {"Content-Length": str(2**40)}, 413)]
)
def test_a_refusal_reaches_who_sends_a_large_file(served, path, headers, status):
    connection = HTTPConnection(urlsplit(served).netloc, timeout=30)
    connection.request("POST", path, bytes(2**25), headers)
    assert connection.getresponse().status == status
    connection.close()


def test_the_page_refuses_a_file_that_the_server_would(visit, photographs):
    tab = visit(DESKTOP)
    assert tab.evaluate("document.forms[0].dataset.most") == str(2**29)
    tab.evaluate("document.forms[0].dataset.most = 2 ** 10")
    tab.locator("input[type=file]").set_input_files(photographs / "cat.png")
    tab.locator(".said.error", has_text="cat.png is too large: choose a file of at most ").wait_for()
    assert tab.get_by_role("button", name="Restore").is_disabled()


def test_few_files_are_in_memory_at_a_time(served):
    place = (HOST, urlsplit(served).port)
    head = f"POST /restore HTTP/1.1\r\nHost: {HOST}:{place[1]}\r\nContent-Length: %d\r\n\r\n"
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(place, timeout=60)) for _ in range(UPLOADS + 1)]
        for client in clients[:-1]:  # more than the system keeps: it has gone through once the server reads
            client.sendall((head % (2**25 + 1)).encode() + bytes(2**25))
        clients[-1].sendall((head % 5).encode() + b"words")
        assert select.select([clients[-1]], [], [], 0.5)[0] == []
        clients[0].close()
        assert clients[-1].recv(2**10).startswith(b"HTTP/1.0 200")


def test_messages_name_no_flags(served):
    connection = HTTPConnection(urlsplit(served).netloc, timeout=30)
    connection.request("POST", "/restore?factor=fog", b"")
    said = json.load(connection.getresponse())["error"]
    assert said.startswith("unknown factor fog: this network has ")
    connection.close()


def test_refusals_before_it_starts(step_1, restore, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cases = (
            ((step_1, "--port", port), f"--port {port} cannot be used (Address already in use): give another, or 0"),
            ((step_1, "--port", 2**16), "--port 65536: give 1 to 65535"),
            ((step_1, "--tile", 2), "--tile 2: the network takes images from"),
            ((step_1, "--device", "warp"), "--device warp cannot be used: "),
            ((tmp_path / "no.ckpt",), "no.ckpt: no such file or folder"),
        )
        for words, said in cases:
            code, out, err = restore("demo", *words)
            assert (code, out, err.count("\n")) == (2, "", 1)
            assert said in err


def test_without_weights_it_says_what_to_give(restore, monkeypatch, tmp_path):
    monkeypatch.setattr("restore_lightning.commands.demo.shipped_networks", dict)
    code, _, err = restore("demo")
    assert (code, err.count("\n")) == (2, 1)
    assert "no network is shipped with this version: give WEIGHTS (a checkpoint," in err
