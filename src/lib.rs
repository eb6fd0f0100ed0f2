//! PackEvolve: the harness.
