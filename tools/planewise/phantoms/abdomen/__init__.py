"""Abdomens with a pancreas and its tumours, in computed tomography."""
