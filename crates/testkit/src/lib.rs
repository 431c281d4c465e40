//! Exact denoisers, stub networks and the golden-case loader for tests.
