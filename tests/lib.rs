//! Whole flows over the functions, and the end-to-end targets. All code is in `tests/`.
