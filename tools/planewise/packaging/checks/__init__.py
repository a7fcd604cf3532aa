"""What `planewise check` looks at, in a file for each who would stumble: the Model Zoo, its unit test, MONAI Label, we."""
