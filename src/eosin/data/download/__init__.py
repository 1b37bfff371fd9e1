"""Public data sets over HTTP: resumed after a cut, checked by their sums, unpacked safely."""
