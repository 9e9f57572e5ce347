"""Pictures, tables, the report and the panel: every view says in words what it shows, and runs with no kernel.

Names load their modules when first used, so that nothing heavy comes along unasked. The panel is
`labkit.views.panel.panel`, which a lab gives as ``lab.panel()``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .graph import connection_diagram
    from .lab import lab_bundle, lab_picture
    from .picture import Picture, Table
    from .report import Section, report_html
    from .sidebyside import side_by_side
    from .style import style_diagram
    from .tables import html_table, visibility_table
    from .topology import topology_diagram

_HOMES = {
    "Picture": "picture",
    "Section": "report",
    "Table": "picture",
    "connection_diagram": "graph",
    "html_table": "tables",
    "lab_bundle": "lab",
    "lab_picture": "lab",
    "report_html": "report",
    "side_by_side": "sidebyside",
    "style_diagram": "style",
    "topology_diagram": "topology",
    "visibility_table": "tables",
}

__all__ = [
    "Picture",
    "Section",
    "Table",
    "connection_diagram",
    "html_table",
    "lab_bundle",
    "lab_picture",
    "report_html",
    "side_by_side",
    "style_diagram",
    "topology_diagram",
    "visibility_table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
