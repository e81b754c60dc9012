"""What one node does with its rows: a step of SGD or of the dual, alone, late, or by several threads."""
