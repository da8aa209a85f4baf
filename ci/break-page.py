#!/usr/bin/env python3
"""Breaks a good page in every way that browser-test is there to notice, and counts it as an error if one is not noticed.

    python3 ci/break-page.py reports/runs/RUN/report.html

The page must be a report with charts and measurements.
"""
import importlib.machinery
import importlib.util
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
loader = importlib.machinery.SourceFileLoader("browser_test", str(HERE / "browser-test"))
test = importlib.util.module_from_spec(importlib.util.spec_from_loader("browser_test", loader))
loader.exec_module(test)


def style(rules):
    """The page with further rules."""
    return lambda page: page.replace("</style>", rules + "</style>", 1)


def swap(old, new, count=1):
    """The page with a text replaced."""
    def swapped(page):
        if old not in page:
            sys.exit("the page has no %r: this script is older than it" % old)
        return page.replace(old, new, count)

    return swapped


def without_policy(page):
    """A page that may load what it likes, and does: a picture beside it, so that nothing but the request shows."""
    head, rest = page.split('<meta http-equiv="Content-Security-Policy"', 1)
    return head + rest.split(">", 1)[1].replace("</body>", '<img alt="" src="beside.svg"></body>')


def no_title(page):
    """The first chart without its title."""
    before, rest = page.split("<title id=", 1)
    return before + rest.split("</title>", 1)[1]


def no_units(page):
    """The first chart with nothing but bare figures."""
    before, rest = page.split('<svg class="chart"', 1)
    chart, after = rest.split("</svg>", 1)
    lines, inside = [], False
    for line in chart.split("\n"):
        inside = True if "<text" in line else False if "</text" in line else inside
        lines.append("1" if inside and "<" not in line else line)
    return before + '<svg class="chart"' + "\n".join(lines) + "</svg>" + after


# What is done to the page, how, and the check that must notice.
BREAKS = [
    ("a console message", swap("</body>", "<script>console.error('x')</script></body>"), "loads_quietly"),
    ("a load that the policy refuses", swap("</body>", '<img alt="" src="http://127.0.0.1:9/x.png"></body>'), "loads_quietly"),
    ("a load that no policy refuses", without_policy, "loads_quietly"),
    ("a second page in the background", swap("</body>", '<script>fetch("beside.svg").catch(() => 0)</script></body>'), "loads_quietly"),
    ("two megabytes", swap("</body>", "<!--" + "x" * 2_000_000 + "--></body>"), "loads_quietly"),
    ("a chart without title", no_title, "is_named"),
    ("a chart without units", no_units, "is_named"),
    ("a link that leads nowhere", swap('id="limits"', 'id="elsewhere"'), "is_named"),
    ("a name given twice", swap('id="limits"', 'id="charts"'), "is_named"),
    ("text of 9 px", style(".tag{font-size:9px}"), "fits"),
    ("charts that shrink with the page", style(".chart{min-width:0}"), "fits"),
    ("a page that scrolls sideways", style(".scroll{overflow:visible}"), "fits"),
    ("text on text", style(".verdict .text{margin-top:-30px}"), "fits"),
    ("no dark scheme", swap("@media (prefers-color-scheme:dark)", "@media (prefers-color-scheme:none)"), "fits"),
    ("sorting by text", swap("numeric ? a.figure - b.figure : collator.compare(a.words, b.words)", "(a.words < b.words ? -1 : 1)"), "sorts"),
    ("sorting without aria-sort", swap('if (next) head.setAttribute("aria-sort", next);', ""), "sorts"),
    ("sorting that does not come back", swap(": original;", ": original.slice().reverse();"), "sorts"),
    ("a filter that hides nothing", swap("row.hidden = !fits;", ""), "filters"),
    ("a filter that links do not open", swap('e.clearFilters()', 'void 0'), "filters"),
    ("CSV with semicolons", swap('join(",")', 'join(";")'), "copies"),
    ("Markdown that copies what is hidden", swap("return c.replace(/[\\\\|`*_<[\\]]/g", "return '|' + c.replace(/[\\\\|`*_<[\\]]/g"), "copies"),
    ("nothing copied", swap("navigator.clipboard.writeText(words)", "Promise.resolve()"), "copies"),
    ("tables that need the script", swap("</style>", "body:not(.on) .table{display:none}</style><script>addEventListener('DOMContentLoaded', () => document.body.className = 'on')</script>"), "scripts"),
    ("controls without a script", swap('<div class="tools">', '<div class="tools"><button>Copy</button>'), "scripts"),
    ("rows that break between pages", style("@media print{tr{break-inside:auto!important}}"), "prints"),
    ("tables cut at the side", style("@media print{.scroll{overflow:hidden!important;width:300px}table{width:900px!important}}"), "prints"),
    ("tables wider than the paper", style("@media print{table{width:1900px!important}}"), "prints"),
    ("heads that do not repeat", style("@media print{thead{display:table-row-group!important}}"), "prints"),
    ("rounds folded away on paper", lambda page: swap('addEventListener("beforeprint"', 'addEventListener("never"')(style("@media print{details::details-content{content-visibility:hidden!important;display:block}}")(page)), "prints"),
]


def notices(browser, page, check, scratch):
    """Whether one check finds something wrong."""
    if check == "scripts":
        browser.open(page.path)
        browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
        rows = browser.run("return [...document.querySelectorAll('tbody tr')].filter(r => r.checkVisibility()).length")
        test.works_without_scripts(page, rows)
    elif check == "prints":
        test.prints(browser, page, scratch)
    elif check == "fits":
        test.fits(browser, page, None)
    else:
        browser.open(page.path)
        getattr(test, check)(browser, page)
    return page.wrong


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    good = pathlib.Path(sys.argv[1]).read_text()
    missed = 0
    with tempfile.TemporaryDirectory() as scratch, test.Browser() as browser:
        scratch = pathlib.Path(scratch)
        (scratch / "beside.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
        for number, (what, broken, check) in enumerate(BREAKS):
            path = scratch / ("broken-%d.html" % number)
            path.write_text(broken(good))
            try:
                wrong = notices(browser, test.Page(path), check, scratch)
            except test.webdriver.Failed as error:
                wrong = ["the check itself failed: %s" % error]
            browser.look()
            missed += not wrong
            print("%s: %s: %s" % ("noticed" if wrong else "MISSED", what, wrong[0][:160] if wrong else check), flush=True)
    print("%d of %d ways to break the page are noticed" % (len(BREAKS) - missed, len(BREAKS)))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
