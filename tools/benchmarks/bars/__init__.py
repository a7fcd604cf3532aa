"""What is promised about speed, memory and accuracy, one module a subject; each has ``measure(options) -> list[Bar]``."""
