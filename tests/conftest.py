"""One thread a process: workers side by side lose a factor of ten when each wants all processors."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, which is later
