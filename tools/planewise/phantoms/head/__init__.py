"""Heads with brain tumours, in four contrasts of magnetic resonance."""
