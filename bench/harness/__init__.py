"""What measures: engines in turn, workloads from seeds, tables, charts."""
