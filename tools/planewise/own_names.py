"""The package's name in this repository, and in a packaged bundle, which contains only the code that its configs use."""

OURS, THEIRS = "planewise", "scripts"
