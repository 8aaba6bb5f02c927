"""Sample pictures drawn by code, so that a demonstration needs no picture files.

Three pictures, a satellite view, a printed page and a photograph, have what super-resolution is
asked to restore: crisp edges, structure recurring at several scales and fine texture. Each is
drawn on an oversized canvas that is then reduced, as a lens and a sensor would.
"""

import textwrap

import numpy as np
import numpy.typing as npt
from numpy.random import Generator, default_rng
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]
Pair = tuple[float, float]
Ink = int | tuple[int, ...]
SUPERSAMPLE = 3
DESIGN_SIZE = 384  # All drawing coordinates are pixels of a picture of this size.
TEXELS = 110  # Texture pixels per metre of wall, about the finest scale a wall is seen at.
CROPS = ((104, 126, 70), (138, 150, 86), (190, 172, 118), (138, 112, 86), (84, 110, 68))
INK, PAPER = 60, 232
ESSAY = (
    "A page held at arm's length gives up its words at once, yet the eye has seen only a few "
    "strokes of each letter. The rest it supplies from memory.",
    "Every e here resembles every other; a clear one explains one half lost in the next line.",
    "The same is true of a tiled roof, a hedge or a ploughed field. What is small in one corner "
    "of a picture is often large in another, so the picture carries its own examples.",
)
READINGS = ("Subject Width Count", "Letters 8.5 317", "Bricks 11.6 940", "Furrows 5.3 126")


class _Pen:
    """Draws on an oversized canvas in design coordinates, blending translucent inks."""

    def __init__(self, canvas: Image.Image, unit: float = 0) -> None:
        self.unit = unit or canvas.width / DESIGN_SIZE
        self._draw = ImageDraw.Draw(canvas, "RGBA" if canvas.mode == "RGB" else None)

    def _flat(self, points: npt.ArrayLike) -> list[float]:
        return [float(part) * self.unit for part in np.ravel(points)]

    def area(self, points: npt.ArrayLike, ink: Ink) -> None:
        self._draw.polygon(self._flat(points), ink)

    def line(self, points: npt.ArrayLike, ink: Ink, width: float) -> None:
        self._draw.line(self._flat(points), ink, max(1, round(width * self.unit)), joint="curve")

    def disc(self, x: float, y: float, radius: float, ink: Ink) -> None:
        self._draw.ellipse(self._flat([(x - radius, y - radius), (x + radius, y + radius)]), ink)

    def box(self, left: float, top: float, width: float, height: float, ink: Ink) -> None:
        self._draw.rectangle(self._flat([(left, top), (left + width, top + height)]), ink)

    def text(self, x: float, baseline: float, words: str, height: float) -> None:
        font = ImageFont.load_default(size=height * self.unit)
        self._draw.text((x * self.unit, baseline * self.unit), words, INK, font, anchor="ls")


def _clouds(rng: Generator, size: int, cells: int, octaves: int) -> Floats:
    """Smooth noise of unit spread whose detail halves in strength with each octave."""
    total = np.zeros((size, size), dtype=np.float32)
    for octave in range(octaves):
        grid = rng.standard_normal((cells << octave, cells << octave)).astype(np.float32)
        layer = Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC)
        total += np.asarray(layer) * np.float32(0.5**octave)
    return total / np.float32(total.std())


def _develop(canvas: Image.Image, rng: Generator, vignette: float, light: Floats | float) -> Bytes:
    """Reduce the canvas as a soft lens does, darken its corners and add a grain of one level."""
    soft = canvas.filter(ImageFilter.GaussianBlur(0.45 * SUPERSAMPLE)).reduce(SUPERSAMPLE)
    axis = np.linspace(-1, 1, soft.width)
    falloff = light * (1 - vignette * (axis[:, None] ** 2 + axis**2) / 2)
    # Transposed, the channels come first, so one product serves grey and colour alike.
    picture = (np.asarray(soft, dtype=np.float64).T * falloff.T).T
    picture += rng.standard_normal(picture.shape)
    return np.ascontiguousarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8))


def _shade(colour: tuple[int, ...], factor: float) -> tuple[int, ...]:
    return tuple(int(min(255.0, max(0.0, part * factor))) for part in colour)


def _fields(rng: Generator, quad: Floats, longest: float) -> list[Floats]:
    """Divide land into fields as inheritance does: by cuts across the longer side, put first."""
    first, second = (float(np.hypot(*(quad[i + 1] - quad[i]))) for i in (0, 1))
    if second > first:
        quad = np.roll(quad, -1, axis=0)
    if max(first, second) < longest * rng.uniform(0.75, 1.5):
        return [quad]
    near, far = rng.uniform(0.35, 0.65) + rng.normal(0, (0.03, 0.06))
    e, f = quad[0] + (quad[1] - quad[0]) * near, quad[3] + (quad[2] - quad[3]) * far
    halves = np.array([quad[0], e, f, quad[3]]), np.array([e, quad[1], quad[2], f])
    return [field for half in halves for field in _fields(rng, half, longest)]


def _plant(pen: _Pen, rng: Generator, places: Floats, radii: Pair) -> None:
    """Leafy clumps lit from the upper left, each with the shadow it casts."""
    for x, y in places:
        green, r = _shade((66, 94, 50), rng.uniform(0.75, 1.15)), rng.uniform(*radii)
        pen.disc(x + 0.75 * r, y + 0.8 * r, r, (18, 28, 22, 140))
        pen.disc(x, y, r, _shade(green, 0.72))
        for dx, dy in rng.normal(-0.15, 0.36, (5, 2)):
            pen.disc(x + dx * r, y + dy * r, 0.36 * r, _shade(green, 1.08 - 0.38 * (dx + dy)))


def _draw_field(pen: _Pen, rng: Generator, quad: Floats) -> None:
    """A crop in rows along the longer side, with wheel tracks, inside a hedge or a footpath."""
    a, b, c, d = quad
    pen.area(quad, _shade(CROPS[rng.integers(len(CROPS))], rng.uniform(0.8, 1.08)))
    spacing, depth = rng.uniform(3.2, 8), int(rng.uniform(20, 76)) * (rng.random() > 0.2)
    for row, t in enumerate(np.arange(0.01, 1, spacing / float(np.hypot(*(d - a))))):
        ink = (244, 232, 190, depth) if row % 6 == 4 else (28, 34, 14, depth)
        pen.line([a + (d - a) * t, b + (c - b) * t], ink, 0.5 * spacing)
    hedged = rng.random() < 0.5
    pen.line([*quad, a], (72, 94, 56) if hedged else (204, 190, 152), 2)
    for start, end in zip(quad, (b, c, d, a), strict=True):
        trees = rng.random((int(hedged * np.hypot(*(end - start)) / 9), 1))
        _plant(pen, rng, start + (end - start) * trees, (1.4, 3.4))


def _draw_river_and_roads(pen: _Pen, rng: Generator) -> None:
    x = np.linspace(-20, 404, 120)
    river = np.column_stack([x, 300 + 30 * np.sin(x / 58) + 12 * np.sin(x / 23 + 1) - 0.22 * x])
    lane = np.column_stack([x, 104 - 0.16 * x + 13 * np.sin(x / 55)])
    highway = np.column_stack([120 + 0.5 * x + 26 * np.sin(x / 113), x])
    for ink, width in (((86, 108, 62), 29), ((182, 172, 142), 19.5), ((58, 88, 98), 16.5)):
        pen.line(river, ink, width)
    pen.line(river - (0, 3.2), (74, 106, 114), 5)
    bank = rng.choice((-1, 1), 170) * rng.uniform(11.5, 17, 170)
    trees = river[rng.integers(120, size=170)] + np.column_stack([rng.normal(size=170), bank])
    _plant(pen, rng, trees, (2, 4.6))
    pen.line(lane, (186, 180, 164), 5)
    for ink, width in (((126, 132, 92), 15), ((216, 212, 202), 10.6), ((116, 116, 120), 8.4)):
        pen.line(highway, ink, width)
    for dash in highway.reshape(-1, 2, 2):
        pen.line(dash, (230, 228, 220), 1.1)


def _draw_farmstead(pen: _Pen, rng: Generator, x: float, y: float, turn: float) -> None:
    """A yard with gabled roofs: one slope sunlit, one shaded, ribbed like sheet metal."""
    frame = np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))])
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    pen.area((x, y) + corners * (34, 25) @ frame, (180, 168, 140))
    for place in rng.normal(((-18, -11), (16, -12), (-15, 11), (18, 10)), 1.2):
        half = rng.uniform((8, 5), (13, 8.5))
        colour = ((170, 92, 72), (184, 186, 190), (146, 84, 68))[rng.integers(3)]
        a, b, c, d = roof = (x, y) + (place + corners * half) @ frame
        pen.area(roof + 3.6, (26, 28, 30, 150))
        pen.area(roof, _shade(colour, 0.72))
        pen.area([a, b, (b + c) / 2, (a + d) / 2], _shade(colour, 1.12))
        for t in np.arange(0.08, 1, 1.45 / half[0]):
            pen.line([a + (b - a) * t, d + (c - d) * t], (30, 20, 20, 80), 0.8)


def satellite_view(size: int = 384) -> Bytes:
    """A farmed valley seen from above: an RGB picture of shape (size, size, 3).

    The array is C-contiguous uint8 over 0..255 and the same on every call with the same size.
    """
    rng = default_rng(1963)
    canvas = Image.new("RGB", (size * SUPERSAMPLE, size * SUPERSAMPLE))
    pen = _Pen(canvas)
    for quad in _fields(rng, np.array([(-200.0, -80), (300, -210), (590, 420), (60, 600)]), 92):
        _draw_field(pen, rng, quad)
    _draw_river_and_roads(pen, rng)
    for x, y, turn in ((100, 146, -0.25), (290, 108, 0.35), (328, 318, 1.1)):
        _draw_farmstead(pen, rng, x, y, turn)
    _plant(pen, rng, rng.normal((62, 336), (21, 16), (90, 2)), (2.4, 5.5))
    return _develop(canvas, rng, 0.06, 1.04 + 0.06 * _clouds(rng, size, 4, octaves=7))


def printed_page(size: int = 384) -> Bytes:
    """A scanned page of text, table and figure: a grey picture of shape (size, size).

    The array is C-contiguous uint8 over 0..255 and the same on every call with the same size.
    """
    canvas = Image.new("L", (size * SUPERSAMPLE, size * SUPERSAMPLE), PAPER)
    pen, y = _Pen(canvas), 82.0
    pen.text(28, 46, "On Seeing Small Things", 29.5)
    pen.box(28, 57, 330, 1.6, INK)
    for words, height in zip(ESSAY, (16.1, 16.1, 13), strict=True):
        for line in textwrap.wrap(words, int(755 / height)):
            pen.text(28, y, line, height)
            y += 1.34 * height
        y += 5
    for row, reading in enumerate(READINGS):
        pen.box(28, y + 18 * row, 168, 1.6 if row < 2 else 0.8, INK)
        for x, cell in zip((34, 108, 156), reading.split(), strict=True):
            pen.text(x, y + 18 * row + 13.6, cell, 12.5)
    pen.box(28, y + 72, 168, 1.6, INK)
    for angle in np.arange(20) * np.pi / 10:  # A star's spokes are one shape at every scale.
        rim = [(294 + 42 * np.cos(a), y + 36 + 42 * np.sin(a)) for a in (angle, angle + 0.157)]
        pen.area([(294, y + 36), *rim], INK)
    pen.disc(294, y + 36, 9, PAPER)
    # A sheet never lies quite straight on the glass, so no stroke may follow the pixel grid.
    skewed = canvas.rotate(0.5, Image.Resampling.BICUBIC, fillcolor=PAPER)
    return _develop(skewed, default_rng(1455), 0.07, 1.0)


def _project(points: npt.ArrayLike) -> Floats:
    """Where the camera sees points in metres along the house's front, upward and behind it."""
    along, up, behind = np.asarray(points, dtype=np.float64).T
    depth = 11 + 0.475 * along + 0.88 * behind
    aside = -1.5 + 0.88 * along - 0.475 * behind
    return np.column_stack([192 + 380 * aside / depth, 214 - 380 * (up - 1.6) / depth])


def _hang(canvas: Image.Image, texture: Image.Image, frame: Floats, face: Floats) -> None:
    """Paste a texture, stretched to a frame (clockwise from top left), where a face shows."""
    corners, rows = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * texture.size, []
    for (x, y), (u, v) in zip(_project(frame) * canvas.width / DESIGN_SIZE, corners, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    lens = np.linalg.solve(np.array(rows), corners.ravel()).tolist()
    mode, smooth = Image.Transform.PERSPECTIVE, Image.Resampling.BICUBIC
    mask = Image.new("L", canvas.size)
    _Pen(mask).area(_project(face), 255)
    canvas.paste(texture.transform(canvas.size, mode, lens, smooth), mask=mask)


def _masonry(rng: Generator, extent: Pair, piece: Pair, colour: Ink, joint: float) -> Image.Image:
    """Staggered courses of bricks or tiles of one size in metres, each of its own tone."""
    across, down = (np.arange(int(side * TEXELS)) / TEXELS for side in extent)
    course, drop = np.divmod(down[:, None], piece[1])
    column, along = np.divmod(across + course % 2 * piece[0] / 2, piece[0])
    light = rng.normal(1, 0.1, 997)[(course * 61 + column * 7).astype(int) % 997]
    light[(drop < 0.018) | (along < 0.018)] = joint
    light = light[..., None] * colour + rng.normal(0, 3, (*light.shape, 1))
    return Image.fromarray(np.clip(light, 0, 255).astype(np.uint8))


def _draw_window(pen: _Pen, x: float, y: float, height: float) -> None:
    pen.box(x - 0.15, y - 0.28, 1.4, 0.28, (196, 186, 168))
    pen.box(x - 0.12, y + height, 1.34, 0.12, (212, 204, 190))
    pen.box(x, y, 1.1, height, (232, 230, 222))
    for row in np.arange(3) * height * 0.32 + y + 0.07:
        for left in (x + 0.08, x + 0.59):
            pen.box(left, row, 0.43, height * 0.27, (52, 64, 78))
            pen.area([(left, row), (left + 0.43, row), (left, row + 0.3)], (104, 126, 146))


def _draw_house(canvas: Image.Image, rng: Generator) -> None:
    """A brick house seen towards a corner, so that its courses recede to both sides."""
    front = _masonry(rng, (8, 4.6), (0.34, 0.125), (146, 92, 74), 1.3)
    gable = _masonry(rng, (5.2, 7), (0.34, 0.125), (184, 124, 98), 1.2)
    roof = _masonry(rng, (8.7, 4), (0.3, 0.27), (122, 90, 84), 0.5)
    pen = _Pen(front, TEXELS)
    for x, height in ((0.8, 1.25), (3.45, 1.85), (6.1, 1.25)):
        _draw_window(pen, x, 0.78, 1.25)
        _draw_window(pen, x, 2.75, height)
    pen.box(0, 0, 8, 0.55, (30, 16, 14, 120))
    _draw_window(_Pen(gable, TEXELS), 2.05, 3.2, 1.25)
    wall = np.array([(0, 4.6, 0), (8, 4.6, 0), (8, 0, 0), (0, 0, 0)])
    side = np.array([(0, 7, 5.2), (0, 7, 0), (0, 0, 0), (0, 0, 5.2)])
    peak = np.array([(0, 0, 0), (0, 4.6, 0), (0, 7, 2.6), (0, 4.6, 5.2), (0, 0, 5.2)])
    slope = np.array([(-0.1, 7.1, 2.6), (8.4, 7.1, 2.6), (8.4, 4.4, -0.35), (-0.1, 4.4, -0.35)])
    for texture, frame, face in ((front, wall, wall), (gable, side, peak), (roof, slope, slope)):
        _hang(canvas, texture, frame, face)
    _Pen(canvas).line(_project([*slope[[2, 3, 0]], (-0.1, 4.5, 5.4)]), (224, 218, 206), 2.4)


def _draw_grass(pen: _Pen, rng: Generator, top: float, bottom: float) -> None:
    for y in np.sort(rng.uniform(top, bottom, int(70 * (bottom - top)))):
        x, lean, length = rng.uniform(-5, 389), rng.normal(0, 0.35), (y - 215) / 10
        ink = _shade((98, 124, 60), rng.normal(1, 0.18))
        pen.line([(x, y), (x + lean * length, y - length)], ink, (y - 180) / 140)


def photograph(size: int = 384) -> Bytes:
    """A brick house behind a fence on a fair day: an RGB picture of shape (size, size, 3).

    The array is C-contiguous uint8 over 0..255 and the same on every call with the same size.
    """
    rng, side = default_rng(1842), size * SUPERSAMPLE
    # Clouds lie flat: the noise is drawn at twice the height and pressed down.
    cover = np.clip(0.6 * _clouds(rng, 2 * side, 5, octaves=6)[::2, :side] - 0.1, 0, 0.92)
    sky = (96, 144, 198) + np.linspace(0, 1, side)[:, None, None] * (170, 120, 60)
    canvas = Image.fromarray(np.clip(sky + (248 - sky) * cover[..., None], 0, 255).astype(np.uint8))
    pen, x = _Pen(canvas), np.linspace(0, 384, 97)
    for level, ink in enumerate(((150, 170, 186), (122, 148, 146), (98, 124, 94))):
        crest = 172 + 17 * level - (14 - 3 * level) * np.sin(x / (62 - 12 * level) + 2 * level)
        pen.area(np.column_stack([np.r_[x, 384, 0], np.r_[crest, 384, 384]]), ink)
    _plant(pen, rng, rng.normal((192, 219), (150, 4), (300, 2)), (0.8, 2.4))
    pen.box(0, 236, 384, 148, (74, 96, 50))
    _draw_grass(pen, rng, 238, 274)
    clumps = (-8, 92) + rng.beta(2, 2, (54, 2)) * (104, 124)
    for clump in clumps:
        pen.line([(45, 262), (46, 228), clump], (80, 66, 54), 1.6)
    pen.line([(45, 263), (46, 224)], (80, 66, 54), 7)
    _plant(pen, rng, rng.normal(clumps[:, None], 5.5, (54, 26, 2)).reshape(-1, 2), (1, 2.6))
    _draw_house(canvas, rng)
    _draw_grass(pen, rng, 272, 394)
    picket = np.array([(0, 0, 0), (0, 0.75, 0), (0.05, 0.84, 0), (0.1, 0.75, 0), (0.1, 0, 0)])
    for up in (0.2, 0.55):
        pen.line(_project([(-5, up, -3.6), (7, up, -3.6)]), (196, 196, 190), 3)
    for along in np.arange(-4.2, 6, 0.17):
        pen.area(_project(picket + np.array([along, 0, -3.6])), (234, 232, 226))
    return _develop(canvas, rng, 0.16, 1.0)
