"""Measures what the mesh costs against the same done without it, in the same run; see docs/reference/performance.md."""
