"""The command line: python -m wpsgd.experiment."""
