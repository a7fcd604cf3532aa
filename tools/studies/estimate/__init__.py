"""Estimate the cost of a study before it runs: its jobs (plan), the cost of each job (cost), and the report (text).

The jobs come from Snakemake's dry run. The numbers of steps and slices come from the bundles' own schedules on the study's
datalists, or on the data that its config expects. The cost of a slice is counted (operations of the network) or timed. See
``python -m tools.studies.estimate --help``.
"""
