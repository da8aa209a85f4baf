"""A browser for the scripts beside this one: chromedriver over 127.0.0.1, spoken to with the standard library alone.

    with Browser() as browser:
        browser.open("/path/to/report.html")
        browser.run("return document.title")
"""
import base64
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

LONGEST_S = 120


class Failed(Exception):
    """The browser could not do what it was asked for."""


def installed():
    """What is missing to run a browser, as Debian packages."""
    needed = {"chromium": "chromium", "chromedriver": "chromium-driver"}
    return [package for program, package in needed.items() if not shutil.which(program)]


class Browser:
    """One headless Chromium with an empty profile."""

    def __init__(self, scripts=True):
        self.profile = tempfile.TemporaryDirectory(prefix="tritbench-browser-", ignore_cleanup_errors=True)
        self.driver, port = self._start()
        try:
            self.at = "http://127.0.0.1:%d" % port
            arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir=" + self.profile.name]
            options = {"args": arguments, "binary": shutil.which("chromium"), "perfLoggingPrefs": {"enableNetwork": True}}
            if not scripts:
                options["prefs"] = {"profile.managed_default_content_settings.javascript": 2}
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
            session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
            self.at += "/session/" + session["sessionId"]
        except BaseException:
            self.driver.kill()
            self.driver.wait()
            raise

    def _start(self):
        """A driver and its port. Port 0: the system picks one, and the driver says which. It wants the same port for IPv4 and IPv6, and ends
        where one of the two is taken: then another is tried."""
        for _ in range(5):
            driver = subprocess.Popen(
                ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            ends = time.monotonic() + LONGEST_S
            for line in driver.stdout:
                if "started successfully on port" in line:
                    return driver, int(line.rstrip(". \n").rsplit(" ", 1)[1])
                if time.monotonic() > ends:
                    break
            driver.kill()
            driver.wait()
        raise Failed("chromedriver does not say on which port it listens")

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.at + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=LONGEST_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            said = json.load(error).get("value", {}).get("message", "no message")
            raise Failed("%s: %s" % (path, said.split("\n")[0])) from None

    def open(self, page):
        """Loads a file of this machine."""
        self._call("POST", "/url", {"url": pathlib.Path(page).resolve().as_uri()})

    def run(self, script, *arguments):
        """What a script returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script, *arguments):
        """What a script hands to the function that is its last argument."""
        return self._call("POST", "/execute/async", {"script": script, "args": list(arguments)})

    def cdp(self, command, **parameters):
        """A command of Chromium's own protocol."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def log(self, kind):
        """What was logged since it was last asked for."""
        return self._call("POST", "/se/log", {"type": kind})

    def look(self, width=1280, height=900, scheme="light", media=""):
        """Width and colour scheme of the page, and `print` where wanted."""
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.cdp("Emulation.setEmulatedMedia", media=media, features=features)

    def pdf(self, path):
        """The page as it prints, into a file."""
        printed = self.cdp("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        pathlib.Path(path).write_bytes(base64.b64decode(printed["data"]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._call("DELETE", "")
        except (OSError, Failed):
            print("the browser did not end by itself", file=sys.stderr)
        self.driver.terminate()
        try:
            self.driver.wait(10)
        except subprocess.TimeoutExpired:
            self.driver.kill()
            self.driver.wait()
        self.driver.stdout.close()
        self.profile.cleanup()
