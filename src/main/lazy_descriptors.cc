// Generated protobuf code describes all its messages to the library before main() begins, which is a fifth of what a
// cached build costs the client. The linker sends those calls here (--wrap, see CMakeLists.txt); a message that is
// asked for its description registers it then, by itself. Only a search by name among messages that nobody has touched
// would miss one, and the client makes none.

extern "C" void KILN_WRAPPED_REGISTRATION(void* /* self */, const void* /* table */) {}
