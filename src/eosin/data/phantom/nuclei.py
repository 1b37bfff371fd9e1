"""Simulated nuclei: shapes in µm, drawn onto a pixel grid."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from eosin.data.phantom.fields import Float32, Floats, Grid, chromatin_tile

_BUCKET_EDGES_PX = (2.0, 4.5, 7.0, 12.0, 24.0)
_STAMPS_AT_ONCE_PX = 1 << 21
_CHROMATIN_PX_PER_UM = 2.0


@dataclass(frozen=True)
class Nuclei:
    """Ellipses with chromatin; attributes have shape (N,) unless stated otherwise."""

    x: Floats  # centre in µm from the left edge
    y: Floats  # centre in µm from the top edge
    long: Floats  # semi-axis along ``angle`` in µm
    short: Floats  # semi-axis across it in µm
    angle: Floats  # direction of ``long`` in rad
    density: Floats  # haematoxylin at the centre of the chromatin, about 1
    clumping: Floats  # relative amplitude of the chromatin texture
    vesicular: Floats  # how much paler the centre is than the rim, 0..1
    nucleolus: Floats  # haematoxylin added by the nucleolus
    irregular: Floats  # relative amplitude of the outline's bumps
    #: Shape (N, 3), in 0..1: size of the bumps, position of the chromatin texture and of the
    #: nucleolus.
    chance: Floats

    def __len__(self) -> int:
        return len(self.x)

    def where(self, mask: object) -> Nuclei:
        """Return the nuclei that a mask (N,) or an index selects."""
        return Nuclei(*(getattr(self, field.name)[mask] for field in fields(self)))


def join(parts: list[Nuclei]) -> Nuclei:
    """Concatenate several populations, in their order."""
    return Nuclei(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Nuclei))
    )


def stamp(nuclei: Nuclei, grid: Grid) -> tuple[Float32, Float32]:
    """Draw nuclei onto a grid: coverage in 0..1 and haematoxylin, each (S, S).

    Where two overlap, the darker one is kept.
    """
    size_px, mpp, field_um = grid.size_px, grid.mpp, grid.field_um
    reach, x, y = 1.3 * nuclei.long, nuclei.x, nuclei.y
    nuclei = nuclei.where(
        (x > -reach) & (y > -reach) & (x < field_um + reach) & (y < field_um + reach)
    )
    cover = np.zeros(size_px * size_px, dtype=np.float32)
    density = np.zeros(size_px * size_px, dtype=np.float32)
    radius_px = nuclei.long / mpp
    previous = 0.0
    for edge in (*_BUCKET_EDGES_PX, np.inf):
        chosen = np.flatnonzero((radius_px > previous) & (radius_px <= edge))
        previous = edge
        if len(chosen) == 0:
            continue
        half = int(np.ceil(radius_px[chosen].max() * 1.1 + 0.5))
        batch = max(1, _STAMPS_AT_ONCE_PX // (2 * half + 1) ** 2)
        for start in range(0, len(chosen), batch):
            part = chosen[start : start + batch]
            _stamp_bucket(nuclei.where(part), half, grid, (cover, density))
    return cover.reshape(size_px, size_px), density.reshape(size_px, size_px)


def _stamp_bucket(nuclei: Nuclei, half: int, grid: Grid, canvas: tuple[Float32, Float32]) -> None:
    """Draw nuclei of similar size through windows of (2 · half + 1)² px."""
    size_px, mpp = grid.size_px, grid.mpp
    step = np.arange(-half, half + 1)
    column = np.floor(nuclei.x / mpp).astype(np.int64)[:, None] + step  # (N, K)
    row = np.floor(nuclei.y / mpp).astype(np.int64)[:, None] + step
    dx = ((column + 0.5) * mpp - nuclei.x[:, None]).astype(np.float32)
    dy = ((row + 0.5) * mpp - nuclei.y[:, None]).astype(np.float32)
    u, v = _own_frame(nuclei, dx, dy)  # (N, K, K), in semi-axes
    square = u * u + v * v
    inside_x = (column >= 0) & (column < size_px)
    inside_y = (row >= 0) & (row < size_px)
    near = (square < 1.7) & inside_x[:, None, :] & inside_y[:, :, None]
    chosen = np.flatnonzero(near)
    which, j, i = np.unravel_index(chosen, near.shape)
    u, v, square = u.ravel()[chosen], v.ravel()[chosen], square.ravel()[chosen]
    mask = _coverage(nuclei, which, (u, v, square), mpp)
    value = _chromatin(nuclei, which, (dx[which, i], dy[which, j]), (u, v, square))
    place = row[which, j] * size_px + column[which, i]
    np.maximum.at(canvas[0], place, mask)
    np.maximum.at(canvas[1], place, mask * value)


def _own_frame(nuclei: Nuclei, dx: Float32, dy: Float32) -> tuple[Float32, Float32]:
    cosine, sine = np.cos(nuclei.angle), np.sin(nuclei.angle)

    def column(values: Floats) -> Float32:
        return values.astype(np.float32)[:, None]

    u = (dx * column(cosine / nuclei.long))[:, None, :] + (dy * column(sine / nuclei.long))[
        :, :, None
    ]
    v = (dx * column(-sine / nuclei.short))[:, None, :] + (dy * column(cosine / nuclei.short))[
        :, :, None
    ]
    return u, v


def _coverage(
    nuclei: Nuclei,
    which: np.ndarray[tuple[int], np.dtype[np.intp]],
    frame: tuple[Float32, Float32, Float32],
    mpp: float,
) -> Float32:
    """Return the share of each pixel that the nucleus covers, with a bumpy, antialiased edge."""
    u, v, square = frame
    bumps = (nuclei.irregular * (2 * nuclei.chance[:, 0] - 1)).astype(np.float32)[which]
    distance = np.sqrt(square)
    # Re(z³) and Re(z²) of z = u + iv: three bumps and an oval, no angle needed.
    distance += bumps * (u * (u * u - 3 * v * v) + 0.7 * (v * v - u * u))
    sharpness = (nuclei.short / mpp).astype(np.float32)[which]
    cover: Float32 = np.clip((1 - distance) * sharpness + np.float32(0.5), 0.0, 1.0)
    return cover


def _chromatin(
    nuclei: Nuclei,
    which: np.ndarray[tuple[int], np.dtype[np.intp]],
    offset_um: tuple[Float32, Float32],
    frame: tuple[Float32, Float32, Float32],
) -> Float32:
    """Return haematoxylin inside the nuclei: clumps, a dark rim and a nucleolus."""
    tile = chromatin_tile()
    mask = tile.shape[0] - 1
    start = (nuclei.chance[:, 1:].T * tile.shape[0]).astype(np.float32)
    column = (offset_um[0] * _CHROMATIN_PX_PER_UM + start[0][which]).astype(np.int32) & mask
    row = (offset_um[1] * _CHROMATIN_PX_PER_UM + start[1][which]).astype(np.int32) & mask
    u, v, square = frame
    relative = 1 + nuclei.clumping.astype(np.float32)[which] * tile[row, column]
    relative -= nuclei.vesicular.astype(np.float32)[which] * np.maximum(1 - square, 0)
    value = nuclei.density.astype(np.float32)[which] * relative
    place = (0.8 * nuclei.chance[:, 1:].T - 0.4).astype(np.float32)
    spot = 1 - 8 * ((u - place[0][which]) ** 2 + (v - place[1][which]) ** 2)
    value += nuclei.nucleolus.astype(np.float32)[which] * np.maximum(spot, 0)
    amount: Float32 = np.maximum(value, 0)
    return amount
