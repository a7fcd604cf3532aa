"""Measurements of the promised speed, memory and accuracy, one module per subject; each module has
``measure(options) -> list[Bar]``.
"""
