"""What a study costs before it is run: its jobs (plan), what each takes (cost), and both as text (text).

The jobs are those of Snakemake's dry run, steps and slices those of the bundles' own schedules on the study's datalists, or
on the data that its config expects. What a slice costs is counted (operations of the network) or timed.
``python -m tools.studies.estimate --help``.
"""
