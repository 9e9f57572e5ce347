"""Reading a picture back: what stands in it, where, and whether it is sound XML."""

from typing import Any
from xml.etree import ElementTree

NAMESPACE = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ElementTree.Element:
    """The root, after checking what every picture must have."""
    root = ElementTree.fromstring(svg)
    ids = [node.get("id") for node in root.iter() if node.get("id")]
    assert root.tag == f"{NAMESPACE}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert root.get("aria-describedby") in ids
    assert len(ids) == len(set(ids))
    assert not list(root.iter(f"{NAMESPACE}script"))
    return root


def words(svg: str) -> list[str]:
    """Every line of text that is drawn."""
    return ["".join(node.itertext()) for node in parsed(svg).iter(f"{NAMESPACE}text")]


def count(svg: str, tag: str, **attributes: Any) -> int:
    """How many elements have this tag and these attributes."""
    wanted = {key.replace("_", "-"): str(value) for key, value in attributes.items()}
    return sum(
        all(node.get(key) == value for key, value in wanted.items()) for node in parsed(svg).iter(f"{NAMESPACE}{tag}")
    )


def text_boxes(svg: str) -> list[tuple[float, float, float, float, str]]:
    """Left, top, right, bottom and words of each text outside translated groups, by a lower estimate of its width."""
    boxes = []
    for node in parsed(svg).iter(f"{NAMESPACE}text"):
        said = "".join(node.itertext())
        size, x, y = (float(node.get(key, 0)) for key in ("font-size", "x", "y"))
        width = len(said) * size * 0.5
        left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[node.get("text-anchor", "start")] * width
        boxes.append((left, y - size * 0.75, left + width, y, said))
    return boxes


def overlaps(svg: str) -> list[tuple[str, str]]:
    """Pairs of texts that are drawn over each other."""
    boxes = [box for box in text_boxes(svg) if box[4].strip()]
    return [
        (a[4], b[4])
        for i, a in enumerate(boxes)
        for b in boxes[i + 1 :]
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]


def outside(svg: str) -> list[str]:
    """Texts that leave the picture."""
    root = parsed(svg)
    width, height = (float(number) for number in root.get("viewBox", "0 0 0 0").split()[2:])
    return [
        said
        for left, top, right, bottom, said in text_boxes(svg)
        if left < 0 or top < 0 or right > width or bottom > height
    ]
