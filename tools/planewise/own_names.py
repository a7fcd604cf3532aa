"""The name of the package in this repository, and its name in a packaged bundle, which contains only the code that its
configs use."""

OURS, THEIRS = "planewise", "scripts"
