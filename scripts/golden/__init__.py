"""Golden vectors: networks in NumPy, from the papers' equations, to compare ours with. `make golden` writes them."""
