"""Whether the tables of a page survive printing. Used by browser-test.

The page is printed twice. As it is: every letter that is shown must be in the PDF, inside its page. Then with a mark in the first and the
last cell of each row and in each head: both marks of a row must be on one page, inside it, below a mark of their table's head.
"""
import collections
import html
import re
import subprocess

import chromium

WORDS = """
  const out = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const e = node.parentElement;
    if (e.closest("script,style,title,desc,option") || !e.checkVisibility({visibilityProperty: true})) continue;
    out.push(node.data);
  }
  return out.join(" ");
"""
MARKS = """
  let row = 0;
  const tables = [];
  const put = (cell, text, first) => {
    const mark = document.createElement("span");
    mark.textContent = text;
    mark.style.cssText = "font-size:5px;white-space:nowrap;display:inline-block";
    if (first) cell.insertBefore(mark, cell.firstChild); else cell.appendChild(mark);
  };
  document.querySelectorAll("table").forEach((table, t) => {
    const own = [];
    if (table.tHead) put(table.tHead.rows[0].cells[0], "qzh" + t + "hqz", true);
    for (const tr of table.tBodies[0] ? table.tBodies[0].rows : []) {
      put(tr.cells[0], "qza" + row + "aqz", true);
      put(tr.cells[tr.cells.length - 1], "qzb" + row + "bqz", false);
      own.push([row++, tr.id || tr.innerText.slice(0, 40)]);
    }
    tables.push([!!table.tHead, own]);
  });
  return tables;
"""


def words(path):
    """Words of a PDF: (page, page's size, box, text)."""
    text = subprocess.run(["pdftotext", "-bbox", str(path), "-"], check=True, capture_output=True, text=True).stdout
    number, size = 0, (0.0, 0.0)
    for line in text.splitlines():
        page = re.search(r'<page width="([\d.]+)" height="([\d.]+)"', line)
        if page:
            number, size = number + 1, (float(page[1]), float(page[2]))
        word = re.search(r'<word xMin="(-?[\d.]+)" yMin="(-?[\d.]+)" xMax="(-?[\d.]+)" yMax="(-?[\d.]+)">(.*)</word>', line)
        if word:
            yield number, size, tuple(float(word[i]) for i in range(1, 5)), html.unescape(word[5])


def inside(size, box):
    """Whether a box lies on its page."""
    return box[0] >= -0.5 and box[1] >= -0.5 and box[2] <= size[0] + 0.5 and box[3] <= size[1] + 0.5


def letters(text):
    """How often each letter or digit occurs. Lines break words, and hyphens, ligatures and spaces come out otherwise."""
    return collections.Counter(c for c in text if c.isalnum())


def check(browser, path):
    """What is wrong with the printed page, and what was looked at."""
    wrong = []
    chromium.look(browser, media="print", width=1047)
    expected = letters(browser.execute_script(WORDS))
    chromium.look(browser)
    chromium.pdf(browser, path)
    found = collections.Counter()
    pages = 0
    for pages, size, box, text in words(path):
        if inside(size, box):
            found.update(letters(text))
        else:
            wrong.append("PDF page %d: “%s” sticks out of the page" % (pages, text))
    lacking = expected - found
    if sum(lacking.values()):
        wrong.append("PDF lacks %d letters: %s" % (sum(lacking.values()), "".join(sorted(lacking))[:40]))

    tables = browser.execute_script(MARKS)
    marked = path.with_name(path.stem + "-marked.pdf")
    chromium.pdf(browser, marked)
    marks, heads = {}, collections.defaultdict(set)
    for number, size, box, text in words(marked):
        for kind, index in re.findall(r"qz([abh])(\d+)\1qz", text):
            if not inside(size, box):
                continue
            if kind == "h":
                heads[int(index)].add(number)
            else:
                marks[kind + index] = number
    rows = 0
    for index, (headed, own) in enumerate(tables):
        for row, name in own:
            rows += 1
            first, last = marks.get("a%d" % row), marks.get("b%d" % row)
            if first is None or last is None:
                wrong.append("PDF cuts the row %s" % name)
            elif first != last:
                wrong.append("PDF breaks the row %s between pages %d and %d" % (name, first, last))
            elif headed and first not in heads[index]:
                wrong.append("PDF page %d has the row %s without its table's head" % (first, name))
    return wrong[:12], "prints %d rows of %d tables whole on %d pages, heads repeated" % (rows, len(tables), pages)
