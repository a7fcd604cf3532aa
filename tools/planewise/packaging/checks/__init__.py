"""The checks of `planewise check`, in one file per audience: the Model Zoo, its unit test, MONAI Label, ourselves."""
