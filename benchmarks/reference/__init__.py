"""Plain versions of everything that is timed: what the solvers' speed is compared with.

They compute what src/entropic_ot computes, from the same weights and the same random numbers, in
the way of the papers' algorithm boxes and of the authors' published code: eager, float32, whatever
is at hand kept. They are written to be read, and they stay as they are when the solvers get faster;
they change only when the mathematics does (tests/unit/test_benchmarks.py holds the two together).
"""
