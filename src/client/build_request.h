// What a build asks for, as data, and the readings of the flags that say so.
//
//   KILN_ASSIGN_OR_RETURN(auto output, parse_output("type=local,dest=out", environment));
//
// Pure but for looks at the environment, which is passed in. Errors are those a user sees.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "client/progress.h"

namespace kiln::client {

using Attributes = std::map<std::string, std::string>;

// --export-cache, --import-cache and their kin.
struct CacheEntry {
  std::string type;
  Attributes attributes;
};

// --output. At most one of the places is set.
struct OutputEntry {
  std::string type;
  Attributes attributes;
  std::string dir;         // a tree (local), or an OCI layout (oci and docker with tar=false)
  std::string file;        // a stream
  bool to_stdout = false;  // a stream
};

struct SecretEntry {
  std::string id;
  std::string file;
  std::string env;
};

struct AgentEntry {
  std::string id;
  std::vector<std::string> paths;  // sockets or keys; empty: SSH_AUTH_SOCK
  bool raw = false;                // any socket, passed through unread
};

// TLS for the token servers of one registry host.
struct RegistryTls {
  std::string host;
  std::string ca;
  std::string cert;
  std::string key;
  bool insecure = false;
};

struct BuildRequest {
  std::string ref;
  std::string frontend;
  Attributes frontend_attributes;
  std::string definition;  // serialised pb.Definition; when there is no frontend
  std::vector<OutputEntry> outputs;
  std::vector<CacheEntry> cache_exports;
  std::vector<CacheEntry> cache_imports;
  Attributes local_dirs;   // name → directory
  Attributes oci_layouts;  // name → directory
  Attributes uploads;      // URL path → file; "-" is stdin
  std::vector<SecretEntry> secrets;
  std::vector<AgentEntry> agents;
  std::vector<std::string> entitlements;
  std::vector<RegistryTls> registry_tls;
  std::string source_policy;  // serialised sourcepolicy.Policy
  bool proxy_network = false;
  bool explain = false;    // each step's log says why the step was not found
  std::string shared_key;  // names the place the local directories are, for their cache at the daemon
};

enum class CacheUse { kExport, kImport };
// "type=registry,ref=…" or just a reference. gha takes URL and token from the environment.
Result<CacheEntry> parse_cache(std::string_view text, CacheUse use, const EnvironmentLookup& environment);
// A terminal refuses a stream on stdout.
enum class Stdout { kTerminal, kOther };
Result<OutputEntry> parse_output(std::string_view text, Stdout stdout_kind);
// "id=x,src=file", "id=x,env=VAR", "type=env,id=x".
Result<SecretEntry> parse_secret(std::string_view text, const EnvironmentLookup& environment);
// "default", "id=socket", "id=key,key", "id=socket,raw=true".
Result<AgentEntry> parse_agent(std::string_view text);
Result<RegistryTls> parse_registry_tls(std::string_view text);
// "network.host", "security.insecure", "device", "device=…". InvalidArgument otherwise.
Status check_entitlement(std::string_view text);
// key=value words; InvalidArgument "invalid value X" otherwise.
Result<Attributes> parse_pairs(const std::vector<std::string>& words);
// --opt: like parse_pairs, but `build-arg:NAME` takes its value from the environment and is dropped
// when that has none; SOURCE_DATE_EPOCH of the environment becomes a build argument.
Result<Attributes> parse_options(const std::vector<std::string>& words, const EnvironmentLookup& environment);
// A JSON source policy ({"rules": [...]}) as the message's bytes.
Result<std::string> parse_source_policy(std::string_view json);
// The definition with "ignore cache" set on every vertex.
Result<std::string> without_cache(const std::string& definition);

// An exporter response as --metadata-file shows it: base64 values that are JSON objects unpacked.
std::string metadata_json(const Attributes& response);

}  // namespace kiln::client
