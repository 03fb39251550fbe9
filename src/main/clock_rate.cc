// Abseil's mutex asks for the processor's frequency when a thread first has to wait, and measures it then: it sleeps
// for 1, 2, 4 milliseconds and more until two results agree, while those who want the mutex spin. That is as long as
// the rest of a cached build. The rate only says how often waiting threads read their priority, so that any will do;
// the linker sends the question here (--wrap, see CMakeLists.txt).

extern "C" double KILN_WRAPPED_CLOCK_RATE() { return 2e9; }
