"""A headless Chromium for the scripts beside this one, by Selenium."""
import base64
import importlib.util
import pathlib
import shutil


def missing():
    """What is not installed of what these scripts need, as Debian packages."""
    needed = {"chromium": "chromium", "chromedriver": "chromium-driver", "pdftotext": "poppler-utils"}
    packages = [package for program, package in needed.items() if not shutil.which(program)]
    return packages + ([] if importlib.util.find_spec("selenium") else ["python3-selenium"])


def start(scripts=True):
    """A browser with an empty profile that logs messages and requests; it ends with its `with`."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.ignore_local_proxy_environment_variables()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_experimental_option("perfLoggingPrefs", {"enableNetwork": True})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    browser.set_script_timeout(120)
    return browser


def show(browser, page):
    """Loads a file of this machine, whole: with scripts off `get` may come back before all of it is there."""
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(pathlib.Path(page).resolve().as_uri())
    WebDriverWait(browser, 60).until(lambda browser: browser.execute_script("return document.readyState") == "complete")


def look(browser, width=1280, height=900, scheme="light", media=""):
    """Width in px and colour scheme of the page, and `print` where wanted."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def pdf(browser, path):
    """The page as it prints, into a file."""
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    path.write_bytes(base64.b64decode(printed["data"]))
