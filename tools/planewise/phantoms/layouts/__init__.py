"""Writers of exams in the folders and files of real data sets."""
