// Owner of the precompiled headers; holds no code.
