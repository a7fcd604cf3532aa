"""What makes bundles and shows studies: phantoms, packaging and the pages of studies. No bundle needs it."""
