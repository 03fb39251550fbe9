// Contexts that options give a name: "context:NAME[::platform]" = "docker-image://…" and so on.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/reference.h"
#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/contexts.h"
#include "frontend/dockerfile/ignore_file.h"
#include "graph/build/sources.h"

namespace kiln::frontend::dockerfile {

namespace gb = graph::build;

namespace {

constexpr int kHopsMax = 10;
constexpr const char* kIgnoreFile = ".dockerignore";

Status invalid(std::string_view text) { return user_error(Code::kInvalidArgument, text); }

std::string after_slashes(std::string_view text) { return std::string(text.starts_with("//") ? text.substr(2) : text); }

}  // namespace

gb::State with_image_config(const gb::State& state, const content::ImageConfig& image) {
  gb::State out = state;
  for (const auto& entry : image.config.env) {
    auto [name, value] = split_once(entry, '=');
    if (!name.empty()) out = out.with_env(name, value);
  }
  out = out.with_dir(image.config.working_dir);
  if (!image.platform.os.empty() && !image.platform.architecture.empty()) out = out.with_platform(image.platform);
  return out;
}

Result<gb::State> input_state(const graph::Definition& definition) {
  if (definition.empty() && definition.metadata.empty())
    return invalid("invalid nil input definition to definition op");
  return gb::from_definition(definition);
}

std::optional<std::string> Contexts::option(const std::string& name) {
  std::lock_guard lock(mutex_);
  auto it = opts_.find(name);
  if (it == opts_.end()) return std::nullopt;
  return it->second;
}

Result<std::optional<Contexts::Named>> Contexts::find_named(std::string_view name, const NamedOptions& options) {
  auto ref = Reference::parse(name);
  if (!ref.ok()) return annotate(ref.status(), fmt::format("invalid context name {}", name));
  std::string familiar = ref->familiar();
  if (familiar.ends_with(":latest")) familiar.resize(familiar.size() - 7);
  const Platform platform = (options.platform ? *options.platform : Platform::host()).normalized();
  for (const std::string& key : {familiar + "::" + platform.str_full(), familiar}) {
    if (auto input = option("context:" + key)) return std::optional(Named{*input, familiar, key});
  }
  return std::optional<Named>();
}

Result<bool> Contexts::has_named(std::string_view name, const NamedOptions& options) {
  KILN_ASSIGN_OR_RETURN(auto named, find_named(name, options));
  return named.has_value();
}

Result<std::optional<LoadedContext>> Contexts::load_named(std::string_view name, const NamedOptions& options,
                                                          std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(auto named, find_named(name, options));
  if (!named) return std::optional<LoadedContext>();
  return load(*named, options, 0, stop);
}

Result<std::optional<LoadedContext>> Contexts::load(const Named& named, const NamedOptions& options, int hops,
                                                    std::stop_token stop) {
  if (hops > kHopsMax) {
    return invalid("context recursion limit exceeded; this may indicate a cycle in the provided source policies: " +
                   named.input);
  }
  auto colon = named.input.find(':');
  if (colon == std::string::npos)
    return invalid(fmt::format("invalid context specifier {} for {}", named.input, named.key));
  std::string scheme = named.input.substr(0, colon);
  if (scheme.starts_with("git@")) scheme = "git";
  if (scheme == "docker-image") {
    auto loaded = load_image(named, options, stop);
    auto elsewhere = loaded.ok() ? std::nullopt : get_detail(loaded.status(), kDetailNotAnImage);
    if (!elsewhere) return loaded;
    auto at = elsewhere->find("://");
    if (at == std::string::npos) return invalid("could not parse ref: " + *elsewhere);
    Named moved = named;
    moved.input = elsewhere->substr(0, at) + ":" + elsewhere->substr(at + 3);
    {
      std::lock_guard lock(mutex_);
      opts_["context:" + named.key] = moved.input;
    }
    return load(moved, options, hops + 1, stop);
  }
  if (scheme == "git" || scheme == "http" || scheme == "https") {
    if (auto git = git_context(named.input, std::nullopt, false)) {
      KILN_ASSIGN_OR_RETURN(gb::State state, *git);
      return std::optional(LoadedContext{std::move(state), {}});
    }
    if (scheme == "git") return invalid("invalid git context " + named.input);
    auto state = gb::http(named.input, {.filename = "context"},
                          gb::Constraints().name("[context " + named.key + "] " + named.input));
    return std::optional(LoadedContext{std::move(state), {}});
  }
  if (scheme == "oci-layout") return load_layout(named, options, stop);
  if (scheme == "local") return load_local(named, options, stop);
  if (scheme == "input") return load_input(named, stop);
  return invalid(fmt::format("unsupported context source {} for {}", scheme, named.key));
}

Result<ImageConfig> Contexts::resolve_image(const std::string& ref, const ResolveOptions& options,
                                            std::stop_token stop) {
  auto resolved = bridge_.resolve_image_config(ref, options, stop);
  if (!resolved.ok()) return annotate(resolved.status(), "failed to resolve source metadata for " + ref);
  return resolved;
}

Result<LoadedContext> Contexts::load_image(const Named& named, const NamedOptions& options, std::stop_token stop) {
  const std::string written = after_slashes(std::string_view(named.input).substr(named.input.find(':') + 1));
  if (written == "scratch") return LoadedContext{};
  gb::Constraints constraints = gb::Constraints().name("[context " + named.key + "] " + written);
  if (options.platform) constraints.on(*options.platform);
  KILN_ASSIGN_OR_RETURN(Reference ref, Reference::parse(written));
  KILN_ASSIGN_OR_RETURN(auto resolved,
                        resolve_image(ref.with_default_tag().str(),
                                      {.log_name = fmt::format("[context {}] load metadata for {}", named.key, written),
                                       .platform = options.platform,
                                       .resolve_mode = options.resolve_mode},
                                      stop));
  KILN_ASSIGN_OR_RETURN(auto image, content::parse_image_config(resolved.config));
  image.created.reset();
  gb::State state = with_image_config(gb::image(resolved.ref, {}, constraints), image);
  return LoadedContext{std::move(state), std::move(image)};
}

Result<LoadedContext> Contexts::load_layout(const Named& named, const NamedOptions& options, std::stop_token stop) {
  const std::string spec = after_slashes(std::string_view(named.input).substr(named.input.find(':') + 1));
  auto at = spec.find('@');
  if (at == std::string::npos) return invalid(fmt::format("oci-layout reference {} has no digest", quote(spec)));
  auto digest = Digest::parse(std::string_view(spec).substr(at + 1));
  if (!digest.ok())
    return invalid(fmt::format("could not parse oci-layout reference {}: invalid reference format", quote(spec)));
  std::string store = spec.substr(0, at);
  // A tag behind the last slash is not part of the store's name.
  if (auto tag = store.rfind(':'); tag != std::string::npos && store.find('/', tag) == std::string::npos)
    store.resize(tag);
  // The store's key means nothing to a reader: messages use the context's own name.
  auto shown = Reference::parse(named.name);
  if (!shown.ok())
    return annotate(shown.status(), fmt::format("could not parse oci-layout reference {}", quote(named.name)));
  const std::string ref = shown->with_digest(*digest).str();
  KILN_ASSIGN_OR_RETURN(auto resolved,
                        resolve_image(ref,
                                      {.log_name = fmt::format("[context {}] load metadata for {}", named.key, ref),
                                       .platform = options.platform,
                                       .oci_store = OciStore{request_.session_id, store}},
                                      stop));
  auto image = content::parse_image_config(resolved.config);
  if (!image.ok()) return annotate(image.status(), "could not parse oci-layout image config");
  gb::Constraints constraints = gb::Constraints().name("[context " + named.key + "] OCI load from client");
  if (options.platform) constraints.on(*options.platform);
  gb::State state = gb::oci_layout(ref, {.session_id = request_.session_id, .store_id = store}, constraints);
  return LoadedContext{with_image_config(state, *image), *image};
}

Result<LoadedContext> Contexts::load_local(const Named& named, const NamedOptions& options, std::stop_token stop) {
  const std::string local = named.input.substr(named.input.find(':') + 1);
  const std::string& session = request_.session_of(local);
  gb::State ignore_source = gb::local(local,
                                      {.session_id = session,
                                       .follow_paths = {kIgnoreFile},
                                       .shared_key_hint = "context:" + named.key + "-" + kIgnoreFile,
                                       .differ = "none"},
                                      gb::Constraints().name("[context " + named.key + "] load " + kIgnoreFile));
  KILN_ASSIGN_OR_RETURN(RefPtr ref, solve_state(bridge_, ignore_source, true, stop));
  gb::LocalOptions files{.session_id = session};
  files.shared_key_hint = "context:" + named.key + "-" + option("sharedkey:localdir:" + named.key).value_or("");
  if (ref) {
    auto text = ref->read_file({.path = kIgnoreFile}, stop);
    if (text.ok() && !text->empty()) {
      auto patterns = parse_ignore_file(*text);
      if (!patterns.ok()) return annotate(patterns.status(), std::string("failed parsing ") + kIgnoreFile);
      files.exclude_patterns = *std::move(patterns);
    }
  }
  auto constraints = gb::Constraints().name("[context " + named.key + "] load from client");
  auto follow = options.follow_paths;
  return LoadedContext{gb::deferred([local, files, constraints, follow]() mutable {
                         if (follow) files.follow_paths = follow();
                         return gb::local(local, files, constraints);
                       }),
                       {}};
}

Result<LoadedContext> Contexts::load_input(const Named& named, std::stop_token stop) {
  const std::string input = named.input.substr(named.input.find(':') + 1);
  KILN_ASSIGN_OR_RETURN(auto inputs, bridge_.inputs(stop));
  auto it = inputs.find(input);
  if (it == inputs.end()) return invalid(fmt::format("invalid input {} for {}", input, named.key));
  LoadedContext out;
  KILN_ASSIGN_OR_RETURN(out.state, input_state(it->second));
  auto metadata = option("input-metadata:" + input);
  if (!metadata) return out;
  auto json = nlohmann::json::parse(*metadata, nullptr, false);
  if (!json.is_object()) return invalid("failed to parse input metadata " + *metadata);
  auto config = json.find("containerimage.config");
  if (config == json.end() || !config->is_string()) return out;
  auto bytes = base64_decode(config->get<std::string>());
  if (!bytes) return invalid("failed to parse input metadata " + *metadata);
  auto image = content::parse_image_config(*bytes);
  if (!image.ok()) return annotate(image.status(), "failed to parse image config for " + named.key);
  out.state = with_image_config(out.state, *image);
  out.image = *std::move(image);
  return out;
}

}  // namespace kiln::frontend::dockerfile
