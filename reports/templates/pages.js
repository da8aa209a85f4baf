// The page is complete without this: it only hides rows that do not hold what is typed.
(function () {
  var table = document.querySelector("table[data-filter]");
  if (!table) return;
  var rows = Array.prototype.slice.call(table.tBodies[0].rows);
  if (rows.length < 2) return;
  var box = document.createElement("p");
  box.className = "filter";
  var label = document.createElement("label");
  label.textContent = "Show runs with ";
  var input = document.createElement("input");
  input.type = "search";
  input.placeholder = "scenario, host, commit, kernel, status…";
  var count = document.createElement("output");
  count.setAttribute("aria-live", "polite");
  label.appendChild(input);
  box.appendChild(label);
  box.appendChild(count);
  table.parentElement.before(box);
  input.addEventListener("input", function () {
    var words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    var shown = 0;
    rows.forEach(function (row) {
      var text = row.textContent.toLowerCase();
      var keep = words.every(function (w) { return text.indexOf(w) >= 0; });
      row.hidden = !keep;
      if (keep) shown += 1;
    });
    count.textContent = words.length ? shown + " of " + rows.length + " runs" : "";
  });
})();
