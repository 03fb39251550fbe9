// Who we are, as programs print it and as clients ask for it. A leaf.
#pragma once

namespace kiln {

inline constexpr const char* kPackage = "kiln";
inline constexpr const char* kVersion = "0.1.0";
// The version of BuildKit whose protocol and behaviour we follow; clients compare it to decide what
// they may use. The build metadata behind "+" says that this is not it.
inline constexpr const char* kCompatibleVersion = "v0.31.0+kiln.0.1.0";
inline constexpr const char* kDockerfileVersion = "1.26.0";
#ifdef KILN_REVISION
inline constexpr const char* kRevision = KILN_REVISION;
#else
inline constexpr const char* kRevision = "unreleased";
#endif

}  // namespace kiln
