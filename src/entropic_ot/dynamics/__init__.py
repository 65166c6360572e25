"""Euler-Maruyama, Langevin and the buffers of their states; they know no solver."""
