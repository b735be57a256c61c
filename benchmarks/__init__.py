"""Figures of jobsd beside those of the driver alone: `python -m benchmarks NAME`."""
