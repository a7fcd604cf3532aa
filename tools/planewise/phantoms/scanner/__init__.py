"""What scanners of every organ share: where an image lies, how it is sampled, and its DICOM file."""
