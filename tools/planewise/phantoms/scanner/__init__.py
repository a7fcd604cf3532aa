"""Code that the scanners of all organs share: the position of an image, its sampling, and its file."""
