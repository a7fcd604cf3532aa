"""A phantom knee and the leg around it, its exams, and their flaws."""
