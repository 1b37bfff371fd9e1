"""Images: references, decoding, containers, preprocessing, the cache and the bank of a run."""
