"""How each kind of subject is drawn. One unit is about half of its body; its feet stand at y = 1.3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lib_lora_train.demo.world.parts import coat, dot_eye, eye, feet, hat, smile, wheel
from lib_lora_train.demo.world.pen import INK, WHITE, Colour, Pen, Point, curve, darker, lighter, oval
from lib_lora_train.demo.world.subjects import COLOURS, Subject

GROUND = 1.3


@dataclass(frozen=True)
class Pose:
    """What changes from picture to picture: where it looks (-1 … 1) and how its limbs are held (-1 … 1)."""

    look: float = 0.0
    limbs: float = 0.0


def figure(pen: Pen, subject: Subject, pose: Pose) -> None:
    """Draw `subject` around the pen's origin."""
    _FIGURES[subject.kind](pen, subject, pose)


def _colours(subject: Subject) -> tuple[Colour, Colour]:
    return COLOURS[subject.colour], COLOURS[subject.second]


_BODIES: dict[str, list[Point]] = {
    "round": oval(0, 0.1, 1.0, 1.0),
    "tall": oval(0, -0.15, 0.72, 1.35, 2.6),
    "square": oval(0, 0.15, 0.95, 0.98, 7.0, points=60),
    "pear-shaped": [(x * (0.62 + 0.32 * (y + 1.05) / 2.1), y) for x, y in oval(0, 0.03, 1.15, 1.12, 2.0)],
}
_TOPS = {"round": (-0.9, 0.62), "tall": (-1.5, 0.52), "square": (-0.83, 0.8), "pear-shaped": (-1.08, 0.45)}


def _creature(pen: Pen, subject: Subject, pose: Pose) -> None:
    colour, second = _colours(subject)
    top, half = _TOPS[subject.body]
    _creature_ears(pen, subject, top, half)
    for side in (-1, 1):
        arm = curve((side * 0.75, 0.3), (side * 1.2, 0.35), (side * 1.28, 0.2 - side * pose.limbs * 0.55))
        pen.stroke(arm, 0.26, darker(colour, 0.12))
    feet(pen, 1.13, 0.45, darker(colour, 0.4), 0.32)
    coat(pen, _BODIES[subject.body], subject)
    if subject.pattern == "plain":
        replace(pen, line=0.0).ellipse(0, 0.62, 0.48, 0.4, second)
    at = top + 0.62
    places = {"one eye": [(0.0, 0.36)], "two eyes": [(-0.33, 0.27), (0.33, 0.27)]}.get(
        subject.eyes, [(-0.46, 0.21), (0.0, 0.24), (0.46, 0.21)]
    )
    for x, size in places:
        eye(pen, x, at, size, pose.look)
    smile(pen, 0, at + 0.46, 0.3)
    low = at - 0.05 if subject.hat == "goggles" else top + 0.06
    hat(pen, subject, 0, low, half + 0.12)


def _creature_ears(pen: Pen, subject: Subject, top: float, half: float) -> None:
    colour, _ = _colours(subject)
    tip = INK if subject.tips else colour
    for side in (-1, 1):
        x, y = side * half * 0.85, top + 0.22
        if subject.ears == "pointy ears":
            pen.polygon([(x - side * 0.34, y), (x + side * 0.42, y - 0.75), (x + side * 0.34, y + 0.3)], colour)
            if subject.tips:
                _tip(pen, [(x + side * 0.18, y - 0.5), (x + side * 0.42, y - 0.75), (x + side * 0.4, y - 0.4)], tip)
        elif subject.ears == "long ears":
            ear = pen.at(x - side * 0.08, y - 0.55, 1.0, side * 0.22)
            ear.ellipse(0, 0, 0.24, 0.95, colour)
            replace(ear, line=0.0).ellipse(0, 0.05, 0.11, 0.68, lighter(colour, 0.5))
            if subject.tips:
                ear.polygon([point for point in oval(0, 0, 0.24, 0.95) if point[1] < -0.4], tip)
        elif subject.ears == "round ears":
            pen.ellipse(x + side * 0.1, y - 0.22, 0.4, 0.4, colour)
            replace(pen, line=0.0).ellipse(
                x + side * 0.1, y - 0.2, 0.22, 0.22, tip if subject.tips else lighter(colour)
            )
        elif subject.ears == "horns":
            points = [*curve((x - side * 0.2, y), (x + side * 0.05, y - 0.45), (x + side * 0.5, y - 0.75))]
            pen.polygon(
                [*points, *curve((x + side * 0.5, y - 0.75), (x + side * 0.5, y - 0.1), (x + side * 0.2, y + 0.2))],
                (240, 228, 200),
            )
        elif subject.ears == "antennae":
            pen.stroke(curve((x * 0.6, y), (x * 0.7, y - 0.6), (x * 1.25, y - 0.85)), 0.1, darker(colour, 0.5))
            pen.ellipse(x * 1.25, y - 0.85, 0.19, 0.19, tip if subject.tips else lighter(colour, 0.3))


def _tip(pen: Pen, points: list[Point], colour: Colour) -> None:
    replace(pen, line=0.0).polygon(points, colour)


def _cat(pen: Pen, subject: Subject, pose: Pose) -> None:
    colour, second = _colours(subject)
    pen.stroke(curve((0.6, 1.05), (1.5, 1.0), (1.3 + pose.limbs * 0.15, -0.05)), 0.22, colour)
    coat(pen, oval(0, 0.6, 0.68, 0.75), subject)
    feet(pen, 1.18, 0.32, second, 0.24)
    for side in (-1, 1):
        pen.polygon([(side * 0.15, -0.95), (side * 0.72, -1.42), (side * 0.72, -0.55)], colour)
        _tip(pen, [(side * 0.35, -0.98), (side * 0.62, -1.2), (side * 0.63, -0.8)], (240, 170, 170))
    pen.ellipse(0, -0.45, 0.8, 0.66, colour)
    for side in (-1, 1):
        eye(pen, side * 0.32, -0.52, 0.2, pose.look)
        for row in (-0.08, 0.06):
            pen.stroke([(side * 0.3, -0.2 + row * 0.5), (side * 0.98, -0.24 + row * 1.6)], 0.035, INK)
    replace(pen, line=0.0).ellipse(0, -0.27, 0.1, 0.07, (232, 120, 130))
    smile(pen, 0, -0.16, 0.16)
    hat(pen, subject, 0, -0.55 if subject.hat == "goggles" else -1.02, 0.55)


def _dog(pen: Pen, subject: Subject, pose: Pose) -> None:
    colour, second = _colours(subject)
    pen.stroke(curve((-0.95, 0.35), (-1.35, 0.15), (-1.4 + pose.limbs * 0.1, -0.3)), 0.2, colour)
    for x in (-0.72, -0.4, 0.3, 0.62):
        pen.stroke([(x, 0.7), (x + pose.limbs * 0.08, 1.18)], 0.24, colour)
    coat(pen, oval(-0.1, 0.42, 1.0, 0.52, 2.6), subject)
    head = pen.at(0.62, -0.42, 1.0, pose.limbs * 0.12)
    head.ellipse(0, 0, 0.62, 0.58, colour)
    head.ellipse(0.38, 0.2, 0.42, 0.28, lighter(colour, 0.35))
    replace(head, line=0.0).ellipse(0.68, 0.08, 0.15, 0.12, INK)
    head.polygon(oval(-0.48, 0.12, 0.23, 0.52), second)
    eye(head, 0.12, -0.14, 0.17, max(0.0, pose.look))
    smile(head, 0.42, 0.3, 0.18)
    replace(pen, line=0.0).stroke([(0.2, 0.08), (0.72, 0.2)], 0.14, COLOURS[subject.hat_colour])
    hat(head, subject, 0.02, -0.12 if subject.hat == "goggles" else -0.5, 0.5)


def _rabbit(pen: Pen, subject: Subject, pose: Pose) -> None:
    colour, second = _colours(subject)
    for side in (-1, 1):
        ear = pen.at(side * 0.28, -1.25, 1.0, side * (0.16 + 0.12 * pose.limbs))
        ear.ellipse(0, 0, 0.2, 0.72, colour)
        replace(ear, line=0.0).ellipse(0, 0.05, 0.1, 0.52, (244, 176, 184))
    pen.ellipse(-0.68, 0.92, 0.24, 0.24, lighter(second, 0.3))
    coat(pen, oval(0, 0.62, 0.72, 0.72), subject)
    feet(pen, 1.18, 0.36, lighter(colour, 0.25), 0.3)
    pen.ellipse(0, -0.4, 0.62, 0.58, colour)
    for side in (-1, 1):
        dot_eye(pen, side * 0.25 + pose.look * 0.05, -0.48, 0.13)
    replace(pen, line=0.0).ellipse(0, -0.27, 0.09, 0.07, (232, 120, 130))
    pen.box(-0.1, -0.12, 0.1, 0.06, WHITE)
    hat(pen, subject, 0, -0.46 if subject.hat == "goggles" else -0.9, 0.42)


def _bear(pen: Pen, subject: Subject, pose: Pose) -> None:
    colour, second = _colours(subject)
    for side in (-1, 1):
        pen.ellipse(side * 0.55, -1.02, 0.28, 0.28, colour)
        replace(pen, line=0.0).ellipse(side * 0.55, -1.0, 0.15, 0.15, second)
        pen.stroke(
            [(side * 0.75, 0.2), (side * (1.05 + 0.1 * pose.limbs), 0.55 - side * pose.limbs * 0.5)], 0.36, colour
        )
    feet(pen, 1.1, 0.5, darker(colour, 0.2), 0.34)
    coat(pen, oval(0, 0.45, 0.92, 0.82, 2.4), subject)
    pen.ellipse(0, -0.52, 0.78, 0.66, colour)
    pen.ellipse(0, -0.32, 0.34, 0.26, lighter(colour, 0.55))
    replace(pen, line=0.0).ellipse(0, -0.43, 0.14, 0.1, INK)
    for side in (-1, 1):
        dot_eye(pen, side * 0.36 + pose.look * 0.05, -0.66, 0.12)
    smile(pen, 0, -0.28, 0.13)
    hat(pen, subject, 0, -0.66 if subject.hat == "goggles" else -1.1, 0.55)


def _bird(pen: Pen, subject: Subject, pose: Pose) -> None:
    colour, second = _colours(subject)
    for x in (-0.2, 0.2):
        pen.stroke([(x, 0.8), (x + pose.limbs * 0.08, 1.24)], 0.09, (236, 150, 50))
    pen.polygon([(-0.7, 0.25), (-1.5, -0.05), (-1.4, 0.45), (-0.7, 0.6)], second)
    coat(pen, oval(0, 0.25, 0.92, 0.7), subject)
    wing = pen.at(-0.15, 0.2, 1.0, -0.2 + pose.limbs * 0.4)
    wing.polygon([(0.4, -0.1), *curve((0.4, -0.1), (0.1, 0.65), (-0.75, 0.3))], second)
    pen.ellipse(0.55, -0.5, 0.5, 0.48, colour)
    pen.polygon([(0.95, -0.62), (1.5, -0.42), (0.95, -0.26)], (240, 160, 50))
    eye(pen, 0.62, -0.58, 0.17, max(0.0, pose.look))
    hat(pen, subject, 0.52, -0.55 if subject.hat == "goggles" else -0.9, 0.4)


def _fish(pen: Pen, subject: Subject, pose: Pose) -> None:
    _, second = _colours(subject)
    pen.polygon([(-0.75, 0.1), (-1.5, -0.5 + pose.limbs * 0.15), (-1.3, 0.1), (-1.5, 0.7 + pose.limbs * 0.15)], second)
    pen.polygon([(-0.4, -0.45), (0.1, -1.0), (0.45, -0.45)], second)
    coat(pen, oval(0, 0.1, 1.05, 0.68), subject)
    pen.polygon([(0.0, 0.2), (-0.45, 0.62), (0.2, 0.5)], darker(second, 0.15))
    eye(pen, 0.6, -0.08, 0.2, max(0.0, pose.look))
    smile(pen, 0.78, 0.28, 0.14)
    hat(pen, subject, 0.5, -0.05 if subject.hat == "goggles" else -0.45, 0.4)


def _robot(pen: Pen, subject: Subject, pose: Pose) -> None:
    colour, second = _colours(subject)
    metal = (176, 182, 192)
    pen.stroke([(0, -1.05), (0, -1.4)], 0.08, metal)
    if subject.hat == "no hat":
        pen.ellipse(0, -1.45, 0.14, 0.14, COLOURS[subject.hat_colour])
    for side in (-1, 1):
        pen.stroke([(side * 0.75, 0.15), (side * 1.15, 0.3 - side * pose.limbs * 0.6)], 0.18, metal)
        pen.ellipse(side * 1.18, 0.32 - side * pose.limbs * 0.62, 0.2, 0.2, second)
        pen.stroke([(side * 0.35, 0.85), (side * 0.35, 1.12)], 0.22, metal)
        pen.box(side * 0.38 - 0.28, 1.05, side * 0.38 + 0.28, GROUND, second)
    coat(pen, [(-0.75, -0.08), (0.75, -0.08), (0.75, 0.95), (-0.75, 0.95)], subject)
    pen.box(-0.62, -1.05, 0.62, -0.12, colour)
    replace(pen, line=0.0).box(-0.5, -0.88, 0.5, -0.38, (40, 48, 60))
    for side in (-1, 1):
        replace(pen, line=0.0).ellipse(side * 0.25 + pose.look * 0.06, -0.63, 0.14, 0.14, (126, 240, 220))
    pen.stroke([(-0.25, -0.24), (0.25, -0.24)], 0.06, INK)
    hat(pen, subject, 0, -0.68 if subject.hat == "goggles" else -1.02, 0.58)


def _car(pen: Pen, subject: Subject, pose: Pose) -> None:
    _, second = _colours(subject)
    roof = [(-0.75, 0.28), (-0.5, -0.42), (0.45, -0.42), (0.85, 0.28)]
    pen.polygon(roof, second)
    replace(pen, line=0.0).polygon([(-0.55, 0.22), (-0.38, -0.28), (-0.02, -0.28), (-0.02, 0.22)], (190, 226, 240))
    replace(pen, line=0.0).polygon([(0.08, 0.22), (0.08, -0.28), (0.38, -0.28), (0.64, 0.22)], (190, 226, 240))
    coat(pen, oval(0, 0.62, 1.4, 0.46, 5.0, points=60), subject)
    replace(pen, line=0.0).ellipse(1.22, 0.55, 0.12, 0.14, (255, 240, 170))
    for x in (-0.75, 0.75):
        wheel(pen, x, 1.0, 0.31)
    hat(pen, subject, -0.02, -0.1 if subject.hat == "goggles" else -0.4, 0.45)


def _house(pen: Pen, subject: Subject, pose: Pose) -> None:
    _, second = _colours(subject)
    pen.box(0.42, -1.05, 0.68, -0.4, darker(second, 0.2))
    coat(pen, [(-0.95, -0.3), (0.95, -0.3), (0.95, GROUND), (-0.95, GROUND)], subject)
    pen.polygon([(-1.2, -0.25), (0, -1.25), (1.2, -0.25)], second)
    pen.box(-0.22, 0.55, 0.22, GROUND, (120, 82, 56))
    for x in (-0.6, 0.6):
        pen.box(x - 0.2, 0.02, x + 0.2, 0.42, (255, 240, 180))
    hat(pen, subject, 0, -0.2 if subject.hat == "goggles" else -1.1, 0.5)


def _boat(pen: Pen, subject: Subject, pose: Pose) -> None:
    _, second = _colours(subject)
    pen.stroke([(0, 0.6), (0, -1.3)], 0.12, (122, 88, 60))
    lean = pose.limbs * 0.1
    pen.polygon([(0.1, -1.2), *curve((0.1, -1.2), (0.95 + lean, -0.4), (0.95 + lean, 0.35)), (0.1, 0.35)], WHITE)
    pen.polygon([(-0.1, -1.0), (-0.75, 0.35), (-0.1, 0.35)], second)
    coat(pen, [(-1.25, 0.5), (1.25, 0.5), (0.85, 1.2), (-0.85, 1.2)], subject)
    hat(pen, subject, 0, -0.2 if subject.hat == "goggles" else -1.25, 0.4)


def _rocket(pen: Pen, subject: Subject, pose: Pose) -> None:
    _, second = _colours(subject)
    for side in (-1, 1):
        pen.polygon([(side * 0.45, 0.35), (side * 0.95, 1.15), (side * 0.4, 0.95)], second)
    pen.polygon([(-0.25, 0.95), (0.25, 0.95), (pose.limbs * 0.1, GROUND + 0.15)], (250, 180, 60))
    shape = [*curve((0, -1.45), (0.62, -0.7), (0.52, 0.98)), *curve((-0.52, 0.98), (-0.62, -0.7), (0, -1.45))]
    coat(pen, shape, subject)
    pen.ellipse(0, -0.3, 0.28, 0.28, WHITE)
    replace(pen, line=0.0).ellipse(0, -0.3, 0.19, 0.19, (130, 204, 236))
    hat(pen, subject, 0, -0.3 if subject.hat == "goggles" else -1.28, 0.36)


_FIGURES: dict[str, Callable[[Pen, Subject, Pose], None]] = {
    "creature": _creature,
    "cat": _cat,
    "dog": _dog,
    "rabbit": _rabbit,
    "bear": _bear,
    "bird": _bird,
    "fish": _fish,
    "robot": _robot,
    "car": _car,
    "house": _house,
    "boat": _boat,
    "rocket": _rocket,
}
