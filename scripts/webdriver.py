"""Chromium, driven over its WebDriver protocol, which is JSON over HTTP."""
import base64
import json
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

# Seconds until what should happen has to have happened.
PATIENCE = 60

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]


def until(holds):
    """Returns once `holds` does; what it said last is in the error otherwise."""
    end = time.monotonic() + PATIENCE
    while not (found := holds()):
        if time.monotonic() > end:
            raise AssertionError(f"did not happen in {PATIENCE} s: {found!r}")
        time.sleep(0.02)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Chromium:
    """A browser with a new profile, while the `with` block runs."""

    def __enter__(self):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [shutil.which("chromedriver"), f"--port={port}"]
        self.driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self.is_ready)
        profile = pathlib.Path(self.profile.name) / "profile"
        options = {"binary": shutil.which("chromium"), "args": [*FLAGS, f"--user-data-dir={profile}"]}
        always = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self.ask("/session", {"capabilities": {"alwaysMatch": always}})
        self.url += f"/session/{session['sessionId']}"
        return self

    def __exit__(self, *_):
        try:
            urllib.request.urlopen(urllib.request.Request(self.url, method="DELETE"), timeout=PATIENCE)
        finally:
            self.driver.terminate()
            self.driver.wait()
            self.profile.cleanup()

    def is_ready(self):
        try:
            return self.ask("/status")["ready"]
        except OSError:
            return False

    def ask(self, path, value=None):
        data = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {json.load(error)['value']['message']}") from error

    def open(self, url):
        self.ask("/url", {"url": url})

    def run(self, script):
        return self.ask("/execute/sync", {"script": script, "args": []})

    def press(self, *keys):
        """Presses one key after the other; those of a tuple together."""
        def strokes(key):
            down = [{"type": "keyDown", "value": part} for part in key]
            return down + [{"type": "keyUp", "value": part} for part in reversed(key)]
        actions = [stroke for key in keys for stroke in strokes(key if isinstance(key, tuple) else (key,))]
        self.ask("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def double_click(self, x, y):
        click = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        move = {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
        self.ask("/actions", {"actions": [{"type": "pointer", "id": "mouse", "parameters":
                 {"pointerType": "mouse"}, "actions": [move, *click, *click]}]})

    def errors(self):
        """What the console complains about since the last call."""
        return [entry for entry in self.ask("/se/log", {"type": "browser"}) if entry["level"] != "INFO"]

    def devtools(self, command, **parameters):
        return self.ask("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def size(self, width, height):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height,
                      deviceScaleFactor=1, mobile=False)

    def prefer_dark(self):
        self.devtools("Emulation.setEmulatedMedia",
                      features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.ask("/screenshot")))
