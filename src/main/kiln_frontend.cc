// kiln-frontend: dockerfile.v0 as the program of a frontend image, which a Dockerfile may name by
// `# syntax=`.
#include "frontend/dockerfile/frontend.h"
#include "guest/guest.h"

int main() { return kiln::guest::run_frontend(*kiln::frontend::dockerfile::make_frontend()); }
