"""Line charts that leave the report: one file for a page of the documentation."""

import xml.etree.ElementTree as ET

from counterpoise.report._lines import HEIGHT, WIDTH, Line, line_picture, panels


def test_no_two_of_sixteen_lines_look_alike() -> None:
    root = ET.fromstring(line_picture("t", ["1", "2"], [Line(str(i), [0.0, 1.0]) for i in range(16)], axis="x"))
    looks = [(each.get("class"), each.get("stroke-dasharray")) for each in root if each.tag.endswith("path")]
    assert len(looks) == 32 and len(set(looks)) == 16  # each once in the picture and once in the legend


def test_panels_stand_side_by_side_and_do_not_overlap() -> None:
    pictures = {
        f"number <{i}>": line_picture(f"t{i}", ["1", "2"], [Line("a", [0.0, 1.0])] * (1 + 4 * (i == 0)), axis="x")
        for i in range(3)
    }
    root = ET.fromstring(panels(pictures))
    inner = [each for each in root if each.tag.endswith("svg")]
    assert [each.text for each in root if each.tag.endswith("text")] == list(pictures)
    boxes = [tuple(float(each.get(key)) for key in ("x", "y", "width", "height")) for each in inner]
    assert boxes[0][3] > HEIGHT == boxes[1][3]  # more lines, a longer legend
    assert boxes[1][0] >= boxes[0][0] + WIDTH and boxes[1][1] == boxes[0][1]
    assert boxes[2][0] == boxes[0][0] and boxes[2][1] > boxes[0][1] + boxes[0][3]
    width, height = (float(value) for value in root.get("viewBox").split()[2:])
    assert width >= boxes[1][0] + WIDTH and height >= boxes[2][1] + boxes[2][3]
