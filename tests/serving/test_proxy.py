"""Behind a real proxy: nginx shows the server under a path, on a port of its own."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from playwright.sync_api import expect, sync_playwright

from sencap import load
from serving_tools import HOUSES, Start, files_of

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(
    NGINX is None, reason="needs nginx: apt-get install nginx-light"
)

# What docs/serving.md tells an operator to write, with files that belong to the test.
CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 64m;
    client_body_buffer_size 8m;  # nginx's own user may not write into the test's folder
    proxy_max_temp_file_size 0;
    location /sencap/ {{
      proxy_pass {address};  # the slash at its end takes /sencap away
      proxy_set_header Host $http_host;
    }}
  }}
}}
"""


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def behind_nginx(start: Start, tmp_path: Path) -> Iterator[str]:
    """The address of the server as its visitors see it."""
    _, told = start("--root-path", "/sencap")
    assert told.endswith("/sencap/")
    port = _free_port()
    text = CONFIGURATION.format(
        folder=tmp_path, port=port, address=told.removesuffix("sencap/")
    )
    (tmp_path / "nginx.conf").write_text(text)
    command = [str(NGINX), "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    proxy = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/sencap/"
    for _ in range(100):
        try:
            if httpx.get(f"{address}ready").is_success:
                break
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    yield address
    proxy.terminate()
    proxy.wait(timeout=10)


def test_programs_ask_through_the_proxy(behind_nginx: str) -> None:
    answer = httpx.post(f"{behind_nginx}caption", files=files_of(*HOUSES), timeout=60)
    assert answer.json()["pairs"][0]["caption"] == load()(*HOUSES).text
    document = httpx.get(f"{behind_nginx}openapi.json").json()
    assert document["servers"] == [{"url": "/sencap"}]


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
def test_the_page_works_through_the_proxy(behind_nginx: str) -> None:
    """Nothing that the page asks lies outside of its path."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        page = browser.new_page()
        outside: list[str] = []
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda asked: wrong.append(asked.url))
        inside = re.compile(rf"{re.escape(behind_nginx)}|data:|blob:")
        page.on(
            "request",
            lambda asked: (
                None if inside.match(asked.url) else outside.append(asked.url)
            ),
        )
        page.goto(behind_nginx)
        page.set_input_files("#before", HOUSES[0])
        page.set_input_files("#after", HOUSES[1])
        expect(page.locator("#sentence")).to_have_text(load()(*HOUSES).text)
        page.locator("#words button").nth(1).hover()
        expect(page.locator("#map")).to_be_visible()
        assert (outside, wrong) == ([], [])
        browser.close()
