"""Code for the scanners of all organs: the position of an image, its sampling, and its file."""
