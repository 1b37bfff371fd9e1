"""Images of several slides that differ in stain, for tests of clusters of appearance."""

import numpy as np
import pandas as pd
from PIL import Image


def draw_tinted(n_slides, n_images, side=48, seed=0):
    """Return images, uint8, shape (N, S, S, 3), and the slide of each, shape (N,).

    A slide has its own stain and colour of the lamp; tissue, its amount and noise are those of the
    image.
    """
    random = np.random.default_rng(seed)
    slides = np.repeat(np.arange(n_slides), n_images)
    stain, lamp = _hues(slides / n_slides), _hues(5 * slides / n_slides)
    shape = (len(slides), side, side, 1)
    amount = random.uniform(0.8, 2.5, shape) * random.uniform(0.8, 1.2, (len(slides), 1, 1, 1))
    amount[:, :6] = 0  # glass
    density = amount * stain[:, None, None, :] + 0.1 * lamp[:, None, None, :]
    density += random.normal(0, 0.01, density.shape)
    return np.rint(255 * np.exp(-density)).clip(0, 255).astype(np.uint8), slides


def _hues(turn):
    """Return shares of red, green and blue, (N, 3), on a circle of hues."""
    angle = 2 * np.pi * (turn[:, None] + np.arange(3) / 3)
    shares = 1 + 0.7 * np.cos(angle)
    return shares / shares.sum(axis=1, keepdims=True)


def write_tinted(folder, n_slides=9, n_images=9, **columns):
    """Write such images, of two classes in turn, with a manifest without patients; returns it."""
    images, slides = draw_tinted(n_slides, n_images)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i:03d}.png" for i in np.random.default_rng(1).permutation(len(images))]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(folder / name)
    labels = np.where(np.arange(len(images)) % 2, "tumour", "benign")
    table = pd.DataFrame({"path": names, "label": labels, "true_slide": slides}).assign(**columns)
    table.to_csv(folder / "images.csv", index=False)
    return folder / "images.csv"
