"""Code that scanners of every organ share: position of an image, its sampling, and its DICOM file."""
