// The page is complete without this. It sorts, filters and copies tables, and opens what a link or the printer asks for.
(function () {
  "use strict";
  var all = function (selector, inside) { return Array.prototype.slice.call((inside || document).querySelectorAll(selector)); };
  var make = function (name, properties, parent) {
    var element = document.createElement(name);
    Object.keys(properties).forEach(function (key) {
      if (key in element) element[key] = properties[key]; else element.setAttribute(key, properties[key]);
    });
    if (parent) parent.appendChild(element);
    return element;
  };

  // A cell's text: small print after a dot, a drawing by what it is called, and no controls.
  function text(node) {
    if (node.nodeType === 3) return node.data;
    if (node.nodeType !== 1 || node.matches(".sort,.here,.links")) return "";
    if (node.matches("svg")) return node.getAttribute("aria-label") || "";
    var inner = Array.prototype.map.call(node.childNodes, text).join("");
    return node.matches("small") ? " · " + inner : node.matches(".tag") ? " " + inner : inner;
  }
  function plain(cell) {
    return text(cell).replace(/(\d),(?=\d{3}(?!\d))/g, "$1").replace(/\s+/g, " ").replace(/^[\s·▸]+|[\s·]+$/g, "");
  }

  // What a cell sorts by: its first figure in basic units, or its text.
  var UNITS = { ns: 1, "µs": 1e3, ms: 1e6, s: 1e9, B: 1, KiB: 1024, MiB: 1048576, GiB: 1073741824, TiB: 1099511627776 };
  function figure(words) {
    var found = /^[~±<>≤≥]?\s*([+\-−]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(ns|µs|ms|s|[KMGT]iB|B|%|×)?(?![\w×.])/.exec(words);
    if (!found) return /^[+\-−]?\d+(\.\d+)?e/.test(words) ? parseFloat(words) : null;
    return parseFloat(found[1].replace("−", "-")) * (UNITS[found[2]] || 1);
  }
  // What is missing says so before its small print: the strip of the runs before may stand below it.
  var missing = function (words) { return /^(–|n\/a|none|not run|no claim|)( · |$)/.test(words); };
  var collator = new Intl.Collator("en", { numeric: true });
  function sorted(rows, column, descending) {
    var keyed = rows.map(function (row, i) {
      var words = plain(row.cells[column]);
      return { row: row, words: words, figure: figure(words), none: missing(words), place: i };
    });
    var known = keyed.filter(function (k) { return !k.none; });
    var numeric = known.length > 0 && known.every(function (k) { return k.figure !== null; });
    keyed.sort(function (a, b) {
      if (a.none !== b.none) return a.none ? 1 : -1;
      var order = a.none ? 0 : numeric ? a.figure - b.figure : collator.compare(a.words, b.words);
      return (descending ? -order : order) || a.place - b.place;
    });
    return keyed.map(function (k) { return k.row; });
  }

  var rowsOf = function (table) { return table.tBodies[0] ? Array.prototype.slice.call(table.tBodies[0].rows) : []; };
  var heads = function (table) { return table.tHead ? Array.prototype.slice.call(table.tHead.rows[0].cells) : []; };

  function sortable(table) {
    var original = rowsOf(table);
    if (original.length < 2) return;
    heads(table).forEach(function (head, column) {
      if (head.hasAttribute("data-plain")) return;
      var name = plain(head);
      var button = make("button", { type: "button", className: "sort", textContent: "↕", "aria-label": "Sort by " + name, title: "Sort by " + name });
      head.insertBefore(button, head.querySelector("small"));
      button.addEventListener("click", function () {
        var next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
        if (next === undefined) next = "ascending";
        heads(table).forEach(function (other) {
          other.removeAttribute("aria-sort");
          var own = other.querySelector(".sort");
          if (own) own.textContent = "↕";
        });
        if (next) head.setAttribute("aria-sort", next);
        button.textContent = next ? (next === "ascending" ? "↑" : "↓") : "↕";
        var rows = next ? sorted(original, column, next === "descending") : original;
        rows.forEach(function (row) { table.tBodies[0].appendChild(row); });
      });
    });
  }

  // Copying takes the rows that are shown, in the order in which they are shown.
  function grid(table) {
    var keep = heads(table).map(function (head) { return !head.hasAttribute("data-plain"); });
    var shown = rowsOf(table).filter(function (row) { return !row.hidden; });
    return [table.tHead.rows[0]].concat(shown).map(function (row) {
      return Array.prototype.filter.call(row.cells, function (cell, i) { return keep[i]; }).map(plain);
    });
  }
  function markdown(lines) {
    var line = function (cells) {
      return "| " + cells.map(function (c) { return c.replace(/[\\|`*_<[\]]/g, "\\$&"); }).join(" | ") + " |";
    };
    var rule = "|" + lines[0].map(function (_, i) {
      return lines.slice(1).every(function (l) { return missing(l[i]) || figure(l[i]) !== null; }) ? "--:" : "---";
    }).join("|") + "|";
    return [line(lines[0]), rule].concat(lines.slice(1).map(line)).join("\n") + "\n";
  }
  function csv(lines) {
    var quoted = function (c) { return /[",\n]/.test(c) ? '"' + c.replace(/"/g, '""') + '"' : c; };
    return lines.map(function (cells) { return cells.map(quoted).join(","); }).join("\r\n") + "\r\n";
  }
  function copy(words, said) {
    var done = function () { said.textContent = "copied"; setTimeout(function () { said.textContent = ""; }, 4000); };
    var older = function () {
      var area = make("textarea", { value: words, className: "copied" }, document.body);
      area.select();
      var worked = document.execCommand("copy");
      area.remove();
      if (worked) done(); else said.textContent = "this browser does not let a page copy";
    };
    if (navigator.clipboard) navigator.clipboard.writeText(words).then(done, older); else older();
  }
  function copyable(box, table) {
    var tools = box.querySelector(".tools");
    if (!tools || !table.tHead) return;
    var said = make("span", { role: "status" }, tools);
    [["Copy Markdown", markdown], ["Copy CSV", csv]].forEach(function (kind) {
      var button = make("button", { type: "button", textContent: kind[0] }, tools);
      button.addEventListener("click", function () { copy(kind[1](grid(table)), said); });
    });
  }

  // One row of choices over all tables of a group: a choice for each column that asks for one, and one for the family of a table.
  function filterable(group) {
    var boxes = all(".table", group);
    if (!boxes.length) return;
    var bar = make("div", { className: "filters", role: "search", "aria-label": "Filter " + group.getAttribute("data-filters") });
    var choices = [];
    function choice(name, values, of) {
      if (values.length < 2) return;
      var label = make("label", { textContent: name }, bar);
      var select = make("select", {}, label);
      make("option", { value: "", textContent: "all" }, select);
      values.forEach(function (value) { make("option", { value: value, textContent: value }, select); });
      select.addEventListener("change", apply);
      choices.push({ select: select, of: of });
    }
    var distinct = function (values) { return values.filter(function (v, i) { return v && values.indexOf(v) === i; }); };
    choice("Family", distinct(boxes.map(function (b) { return b.getAttribute("data-family"); })),
      function (row) { return row.closest(".table").getAttribute("data-family"); });
    var names = [];
    all("th[data-filter]", group).forEach(function (head) {
      var name = head.getAttribute("data-filter") || plain(head);
      if (names.indexOf(name) < 0) names.push(name);
    });
    names.forEach(function (name) {
      var of = function (row) {
        var at = heads(row.closest("table")).findIndex(function (head) {
          return head.hasAttribute("data-filter") && (head.getAttribute("data-filter") || plain(head)) === name;
        });
        return at < 0 ? "" : plain(row.cells[at]).split(" · ")[0];
      };
      choice(name, distinct(all("tbody tr", group).map(of)).sort(collator.compare), of);
    });
    var contains = make("input", { type: "search", placeholder: "any text" }, make("label", { textContent: "Contains" }, bar));
    contains.addEventListener("input", apply);
    var clear = make("button", { type: "button", textContent: "Clear" }, bar);
    clear.addEventListener("click", reset);
    var count = make("output", {}, bar);
    function apply() {
      var wanted = contains.value.trim().toLowerCase(), shown = 0, total = 0;
      boxes.forEach(function (box) {
        var own = 0;
        all("tbody tr", box).forEach(function (row) {
          var fits = choices.every(function (c) { return !c.select.value || c.of(row) === c.select.value; }) &&
            (!wanted || plain(row).toLowerCase().indexOf(wanted) >= 0);
          row.hidden = !fits;
          total += 1;
          own += fits ? 1 : 0;
        });
        shown += own;
        box.hidden = own === 0;
        var title = box.previousElementSibling;
        if (title && title.matches("h3")) title.hidden = own === 0;
      });
      count.textContent = shown + " of " + total + " rows";
    }
    function reset() {
      choices.forEach(function (c) { c.select.value = ""; });
      contains.value = "";
      apply();
    }
    group.insertBefore(bar, group.firstChild);
    group.clearFilters = reset;
    apply();
  }

  all(".table").forEach(function (box) {
    var table = box.querySelector("table");
    sortable(table);
    copyable(box, table);
  });
  all("[data-filters]").forEach(filterable);

  function openTarget() {
    var id = location.hash.slice(1);
    var at = id && document.getElementById(decodeURIComponent(id));
    for (var e = at; e; e = e.parentElement) {
      if (e.tagName === "DETAILS") e.open = true;
      if (e.clearFilters && (at.hidden || at.closest("[hidden]"))) e.clearFilters();
    }
    if (at) at.scrollIntoView();
  }
  addEventListener("hashchange", openTarget);
  openTarget();
  var closed = [];
  addEventListener("beforeprint", function () {
    closed = all("details:not([open])");
    closed.forEach(function (d) { d.open = true; });
  });
  addEventListener("afterprint", function () { closed.forEach(function (d) { d.open = false; }); });
})();
