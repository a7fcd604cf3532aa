"""How exams are written: the folders and files of real data sets."""
