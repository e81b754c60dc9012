"""The command `python -m experiments.bench`: one thread for everybody, then the tasks."""

import os

# before any library that starts threads is imported; children inherit it
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
os.environ.update(dict.fromkeys(THREADS, "1"))

if __name__ == "__main__":
    from experiments.bench.run import main

    main()
