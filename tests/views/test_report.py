import re
from html.parser import HTMLParser

import pandas as pd

from labkit.views import Section, connection_diagram, report_html, visibility_table

from .captures import l4_capture
from .labs import l4_graph, topology


class Outline(HTMLParser):
    """Tags that are open, ids, and whatever would load something."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.loads, self.tags = [], [], [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        given = dict(attributes)
        self.ids += [given["id"]] if "id" in given else []
        self.loads += [value for key, value in attributes if key in ("src", "href") and not value.startswith("#")]
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def outline(html):
    parser = Outline()
    parser.feed(html)
    parser.close()
    return parser


def test_it_is_one_file_with_everything_in_it():
    picture = connection_diagram(l4_graph(topology()), "L4: 40 connections")
    html = report_html(
        "Two <modes>",
        [
            Section("First & last", "One.\n\nTwo <script>.", [pd.DataFrame({"a": [1]})], [picture, picture]),
            Section("Second", tables=[visibility_table(l4_capture().visibility())], pictures=[picture]),
        ],
    )
    seen = outline(html)
    assert seen.open == []
    assert len(seen.ids) == len(set(seen.ids))
    assert seen.loads == []
    assert not seen.tags & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", html)
    assert '<h2 id="s1-h">First &amp; last</h2>' in html
    assert "<p>One.</p>\n<p>Two &lt;script&gt;.</p>" in html
    assert html.count("<figure><svg") == 3
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    for described in re.findall(r'aria-describedby="([^"]+)"', html):
        assert described in seen.ids


def test_a_report_of_nothing_is_still_a_page():
    assert outline(report_html("Empty", [])).open == []
