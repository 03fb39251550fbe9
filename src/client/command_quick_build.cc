// `kiln build CONTEXT`: the flags a person knows, turned into a request for the Dockerfile
// frontend.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/git_url.h"
#include "base/gopath.h"
#include "base/id.h"
#include "base/text.h"
#include "base/value.h"
#include "client/internal/build_session.h"
#include "host/fd.h"
#include "host/fs.h"

namespace kiln::client {
namespace {

Status fault(std::string message) { return user_error(Code::kInvalidArgument, message); }

bool is_dir(const std::string& path) {
  struct stat stat {};
  return ::stat(path.c_str(), &stat) == 0 && S_ISDIR(stat.st_mode);
}

bool is_remote(std::string_view context) {
  return context.starts_with("http://") || context.starts_with("https://") || context.starts_with("git://") ||
         context.starts_with("docker-image://") || parse_git_reference(context).has_value();
}

std::string absolute(const std::string& path) {
  char* real = realpath(path.c_str(), nullptr);
  std::string out = real ? real : path;
  free(real);
  return out;
}

// A directory that holds a Dockerfile read from standard input; gone with this object.
class ScratchDir {
 public:
  static Result<ScratchDir> make() {
    ScratchDir out;
    std::string path = "/tmp/kiln-build-XXXXXX";
    if (!mkdtemp(path.data())) return errno_error(errno, "make a directory for the Dockerfile");
    out.path_ = path;
    return out;
  }
  ScratchDir() = default;
  ScratchDir(ScratchDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  ScratchDir& operator=(ScratchDir&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~ScratchDir() {
    if (path_.empty()) return;
    unlink((path_ + "/Dockerfile").c_str());
    rmdir(path_.c_str());
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class QuickBuild {
 public:
  explicit QuickBuild(const Invocation& call) : call_(call), line_(call.line) {}

  Status run() {
    request_.frontend = "dockerfile.v0";
    KILN_RETURN_IF_ERROR(read_options());
    KILN_RETURN_IF_ERROR(read_context());
    KILN_RETURN_IF_ERROR(read_outputs());
    KILN_RETURN_IF_ERROR(read_lists());
    KILN_RETURN_IF_ERROR(read_contexts());
    KILN_RETURN_IF_ERROR(read_call());
    bool quiet = line_.on("quiet");
    return build_and_report(call_, std::move(request_),
                            {.progress = quiet ? "quiet" : line_.text("progress"),
                             .trace = line_.text("trace"),
                             .metadata = line_.text("metadata-file"),
                             .ref = "",
                             .image_id = line_.text("iidfile"),
                             .cache_metrics = "",
                             .print_digest = quiet,
                             .fail_on_findings = true});
  }

 private:
  Status read_options() {
    std::vector<std::string> words;
    for (const std::string& arg : line_.list("build-arg")) words.push_back("build-arg:" + arg);
    KILN_ASSIGN_OR_RETURN(request_.frontend_attributes, parse_options(words, call_.environment));
    Attributes& options = request_.frontend_attributes;
    auto text = [&](const char* flag, const char* option) {
      if (std::string value = line_.text(flag); !value.empty()) options[option] = value;
    };
    auto joined = [&](const char* flag, const char* option) {
      if (auto values = line_.list(flag); !values.empty()) options[option] = join(values, ",");
    };
    text("target", "target");
    text("network", "force-network-mode");
    text("shm-size", "shm-size");
    joined("platform", "platform");
    joined("add-host", "add-hosts");
    joined("ulimit", "ulimit");
    joined("no-cache-filter", "no-cache");
    if (line_.on("no-cache")) options["no-cache"] = "";
    if (line_.on("pull")) options["image-resolve-mode"] = "pull";
    KILN_ASSIGN_OR_RETURN(Attributes labels, parse_pairs(line_.list("label")));
    for (const auto& [key, value] : labels) options["label:" + key] = value;
    return read_attestations();
  }

  Status read_attestations() {
    std::vector<std::string> specs = line_.list("attest");
    for (const char* kind : {"provenance", "sbom"}) {
      std::string value = line_.text(kind);
      if (value.empty()) continue;
      std::optional<bool> on = parse_bool(value);
      std::string rest = on                                     ? (*on ? "" : ",disabled=true")
                         : value.find('=') != std::string::npos ? "," + value
                                                                : ",mode=" + value;
      specs.push_back(fmt::format("type={}{}", kind, rest));
    }
    for (const std::string& spec : specs) {
      KILN_ASSIGN_OR_RETURN(std::vector<std::string> fields, parse_csv(spec));
      std::string type, rest;
      for (const std::string& field : fields) {
        if (field.starts_with("type=")) {
          type = field.substr(5);
        } else {
          rest += (rest.empty() ? "" : ",") + field;
        }
      }
      if (type.empty()) return fault(fmt::format("attestation {} has no type=", quote(spec)));
      if (rest != "disabled=true") request_.frontend_attributes["attest:" + type] = rest;
    }
    return ok();
  }

  Status read_context() {
    const auto& arguments = line_.arguments();
    if (arguments.size() != 1) {
      return fault(arguments.empty()
                       ? "build needs a context: a directory (often '.'), an "
                         "address, or - for standard input; see 'kiln build --help'"
                       : fmt::format("build takes one context, found {}: {}", arguments.size(), join(arguments, " ")));
    }
    const std::string& context = arguments[0];
    std::string file = line_.text("file");
    if (context == "-" && file == "-") return fault("context and Dockerfile cannot both come from standard input");
    if (context == "-") {
      std::string path = new_id();
      request_.uploads["/" + path] = "-";
      request_.frontend_attributes["context"] = "http://buildkit-session/" + path;
    } else if (is_remote(context) && !is_dir(context)) {
      request_.frontend_attributes["context"] = context;
    } else {
      if (!is_dir(context)) return user_error(Code::kNotFound, fmt::format("context '{}' is not a directory", context));
      request_.local_dirs["context"] = context;
      request_.shared_key = Digest::of(absolute(context)).str();
    }
    return read_dockerfile(context, file);
  }

  Status read_dockerfile(const std::string& context, const std::string& file) {
    bool local = request_.local_dirs.contains("context");
    if (file == "-") {
      KILN_ASSIGN_OR_RETURN(scratch_, ScratchDir::make());
      KILN_ASSIGN_OR_RETURN(std::string text, host::read_to_end(STDIN_FILENO, 64 << 20));
      KILN_RETURN_IF_ERROR(host::write_file(scratch_.path() + "/Dockerfile", text));
      request_.local_dirs["dockerfile"] = scratch_.path();
      if (!local) request_.frontend_attributes["dockerfilekey"] = "dockerfile";
      return ok();
    }
    if (!local) {
      if (!file.empty()) request_.frontend_attributes["filename"] = file;
      return ok();
    }
    std::string path = file.empty() ? context + "/Dockerfile" : file;
    if (!host::exists(path)) {
      return user_error(Code::kNotFound,
                        fmt::format("there is no Dockerfile at '{}'{}", path, file.empty() ? "; name it with -f" : ""));
    }
    if (is_dir(path)) return fault(fmt::format("'{}' is a directory, not a Dockerfile", path));
    request_.local_dirs["dockerfile"] = std::string(dir_name(path));
    request_.frontend_attributes["filename"] = std::string(base_name(path));
    return ok();
  }

  Status read_outputs() {
    Stdout stdout_kind = isatty(STDOUT_FILENO) ? Stdout::kTerminal : Stdout::kOther;
    for (const std::string& spec : line_.list("output")) {
      // A bare word is a directory; "-" a tar archive on standard output.
      std::string full = spec.find('=') != std::string::npos ? spec
                         : spec == "-"                       ? "type=tar,dest=-"
                                                             : "type=local,dest=" + spec;
      KILN_ASSIGN_OR_RETURN(OutputEntry output, parse_output(full, stdout_kind));
      request_.outputs.push_back(std::move(output));
    }
    std::vector<std::string> tags = line_.list("tag");
    bool push = line_.on("push");
    if (push && tags.empty() && request_.outputs.empty())
      return fault("--push needs a name; give one with -t registry/name:tag");
    if ((push || !tags.empty()) && !has_image_output()) request_.outputs.push_back({.type = "image", .attributes = {}});
    for (OutputEntry& output : request_.outputs) {
      if (output.type != "image" && output.type != "oci" && output.type != "docker") continue;
      if (!tags.empty()) output.attributes.try_emplace("name", join(tags, ","));
      if (push && output.type == "image") output.attributes["push"] = "true";
      KILN_ASSIGN_OR_RETURN(Attributes annotations, parse_pairs(line_.list("annotation")));
      for (const auto& [key, value] : annotations) output.attributes["annotation." + key] = value;
    }
    bool wants_digest = line_.on("quiet") || !line_.text("iidfile").empty();
    if (wants_digest && request_.outputs.empty()) request_.outputs.push_back({.type = "image", .attributes = {}});
    return ok();
  }

  bool has_image_output() const {
    return std::any_of(request_.outputs.begin(), request_.outputs.end(),
                       [](const OutputEntry& o) { return o.type == "image" || o.type == "oci" || o.type == "docker"; });
  }

  Status read_lists() {
    for (const std::string& text : line_.list("secret")) {
      KILN_ASSIGN_OR_RETURN(SecretEntry secret, parse_secret(text, call_.environment));
      request_.secrets.push_back(std::move(secret));
    }
    for (const std::string& text : line_.list("ssh")) {
      KILN_ASSIGN_OR_RETURN(AgentEntry agent, parse_agent(text));
      request_.agents.push_back(std::move(agent));
    }
    for (const std::string& text : line_.list("cache-to")) {
      KILN_ASSIGN_OR_RETURN(CacheEntry cache, parse_cache(text, CacheUse::kExport, call_.environment));
      request_.cache_exports.push_back(std::move(cache));
    }
    for (const std::string& text : line_.list("cache-from")) {
      KILN_ASSIGN_OR_RETURN(CacheEntry cache, parse_cache(text, CacheUse::kImport, call_.environment));
      request_.cache_imports.push_back(std::move(cache));
    }
    for (const std::string& text : line_.list("allow")) KILN_RETURN_IF_ERROR(check_entitlement(text));
    request_.entitlements = line_.list("allow");
    request_.explain = line_.on("explain");
    if (std::string path = line_.text("source-policy-file"); !path.empty()) {
      KILN_ASSIGN_OR_RETURN(std::string json, host::read_file(path, 64 << 20));
      KILN_ASSIGN_OR_RETURN(request_.source_policy, parse_source_policy(json));
    }
    return ok();
  }

  // --build-context name=source: a directory becomes a local, a layout is offered, the rest is
  // named.
  Status read_contexts() {
    KILN_ASSIGN_OR_RETURN(Attributes contexts, parse_pairs(line_.list("build-context")));
    constexpr std::string_view kLayout = "oci-layout://";
    for (const auto& [name, source] : contexts) {
      std::string& option = request_.frontend_attributes["context:" + name];
      if (source.starts_with(kLayout)) {
        std::string path = source.substr(kLayout.size());
        auto mark = path.find_first_of(":@", path.rfind('/') + 1);
        std::string reference = mark == std::string::npos ? ":latest" : path.substr(mark);
        std::string id = new_id();
        request_.oci_layouts[id] = path.substr(0, mark);
        option = fmt::format("oci-layout://{}{}", id, reference);
      } else if (is_dir(source)) {
        request_.local_dirs[name] = source;
        option = "local:" + name;
      } else if (is_remote(source) || source.starts_with("target:")) {
        option = source;
      } else {
        return user_error(Code::kNotFound, fmt::format("build context {} is neither a directory nor an address: '{}'",
                                                       quote(name), source));
      }
    }
    return ok();
  }

  Status read_call() {
    std::string method = line_.on("check") ? "check" : line_.text("call");
    if (method.empty() || method == "build") return ok();
    if (method == "check" || method == "lint") {
      request_.frontend_attributes["requestid"] = "frontend.lint";
    } else if (method == "outline" || method == "targets") {
      request_.frontend_attributes["requestid"] = "frontend." + method;
    } else {
      return fault(fmt::format("unknown --call {}; there are build, check, outline and targets", quote(method)));
    }
    request_.outputs.clear();
    return ok();
  }

  const Invocation& call_;
  const CommandLine& line_;
  BuildRequest request_;
  ScratchDir scratch_;
};

}  // namespace

Status run_quick_build(const Invocation& call) { return QuickBuild(call).run(); }

}  // namespace kiln::client
