"""Download of public data sets over HTTP: resumed, checked against checksums, unpacked safely."""
