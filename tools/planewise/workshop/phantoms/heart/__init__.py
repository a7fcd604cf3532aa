"""A phantom heart and the body around it, its exams, and their flaws."""
