"""The frame of the HTML reports: one file that needs nothing beside it, and asks no network."""

from __future__ import annotations

from string import Template

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --line: #d5d9de;
  --accent: #1f6feb; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --paper: #14171b; --line: #363c44; --accent: #6ea8ff; --bad: #ff8a80; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.2rem; margin: 2rem 0 .2rem; padding-top: .6rem; border-top: 1px solid var(--line); }
p { margin: .2rem 0 .8rem; max-width: 46rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .4rem 0 1rem; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .9rem .15rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
.numbers :is(th, td) { white-space: nowrap; }
.numbers :is(th, td):not(:first-child) { text-align: right; }
.alarm { color: var(--bad); font-weight: 600; }
figure { margin: .6rem 1.5rem .6rem 0; } figcaption { font-size: .85rem; }
figure.small { display: inline-block; }
svg { max-width: 100%; height: auto; overflow: visible; }
svg text { font-family: system-ui, sans-serif !important; }
.small polyline { fill: none; stroke: var(--accent); stroke-width: 1.5; }
.small rect { fill: var(--line); opacity: .5; }
</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")


def framed(title: str, body: str) -> str:
    """The page. title: plain words of ours; body: HTML, whose texts are escaped already.

    Tables of class `numbers` have figures in all columns but the first; figures of class `small` stand side by side.
    """
    return _PAGE.substitute(title=title, body=body)
