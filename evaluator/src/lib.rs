//! PackEvolve: the judge.
