#include "client/build_run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/base64.h"
#include "base/text.h"
#include "base/value.h"
#include "client/oci_layout.h"
#include "client/offers.h"
#include "client/rpc.h"
#include "client/status_stream.h"
#include "host/fd.h"
#include "http2/connection.h"
#include "wire/control.pb.h"
#include "wire/gateway.pb.h"
#include "wire/ops.pb.h"

namespace kiln::client {
namespace {

namespace control = moby::buildkit::v1;
namespace gateway = moby::buildkit::v1::frontend;

Status fault(std::string message) { return user_error(Code::kInvalidArgument, message); }

// A directory that takes a cache.
struct CacheLayout {
  std::string tag;
  std::mutex mutex;
  Digest last;  // the blob that was written last: of a cache, its manifest
};

// What remains to be done with directories once the build is through.
struct Aftermath {
  std::map<std::string, std::shared_ptr<CacheLayout>> cache_layouts;  // by directory
  std::vector<std::string> cache_resets;
  std::vector<std::string> image_layouts;
};

std::string attribute(const Attributes& attributes, const char* key) {
  auto at = attributes.find(key);
  return at == attributes.end() ? "" : at->second;
}

// Fills what the session offers and the request that names it.
class Preparation {
 public:
  Preparation(const BuildRequest& request, const BuildHooks& hooks) : request_(request), hooks_(hooks) {}

  Status prepare() {
    KILN_RETURN_IF_ERROR(offer_dirs());
    KILN_RETURN_IF_ERROR(offer_outputs());
    KILN_RETURN_IF_ERROR(export_caches());
    KILN_RETURN_IF_ERROR(import_caches());
    for (const auto& [name, dir] : request_.oci_layouts) {
      KILN_ASSIGN_OR_RETURN(offers.contents["oci:" + name], open_layout(dir, Make::kNo));
    }
    for (const auto& [path, file] : request_.uploads) offer_upload(path, file);
    offers.logins = make_logins(hooks_.environment, request_.registry_tls);
    if (!request_.secrets.empty()) KILN_RETURN_IF_ERROR(offer_secrets());
    if (!request_.agents.empty()) KILN_RETURN_IF_ERROR(offer_agents());
    return fill();
  }

  session::Offers offers;
  control::SolveRequest solve;
  Aftermath aftermath;

 private:
  Status offer_secrets() {
    KILN_ASSIGN_OR_RETURN(offers.secrets, make_secrets(request_.secrets, hooks_.environment));
    return ok();
  }
  Status offer_agents() {
    KILN_ASSIGN_OR_RETURN(offers.agents, make_agents(request_.agents, hooks_.environment));
    return ok();
  }

  Status offer_dirs() {
    auto owned_by_root = [](session::FileStat& stat) {
      stat.uid = stat.gid = 0;
      return true;
    };
    for (const auto& [name, dir] : request_.local_dirs) {
      session::DirTree::Map map = owned_by_root;
      Result<std::shared_ptr<session::DirTree>> tree = session::DirTree::at(dir, session::TreeFilter{}, map);
      if (!tree.ok()) return annotate(tree.status(), fmt::format("local directory {}", quote(name)));
      offers.dirs[name] = *std::move(tree);
    }
    if (request_.definition.empty()) return ok();
    // Better here and now than from the daemon later.
    pb::Definition definition;
    if (!definition.ParseFromString(request_.definition))
      return fault("failed to parse llb proto op: the input is no definition");
    for (const std::string& bytes : definition.def()) {
      pb::Op op;
      if (!op.ParseFromString(bytes)) return fault("failed to parse llb proto op");
      std::string_view source = op.has_source() ? std::string_view(op.source().identifier()) : std::string_view();
      if (source.starts_with("local://") && !offers.dirs.contains(std::string(source.substr(8)))) {
        return fault(fmt::format("local directory {} not enabled", source.substr(8)));
      }
    }
    return ok();
  }

  Status offer_outputs() {
    int id = 0;
    const auto to_stdout = [](const OutputEntry& output) { return output.to_stdout; };
    if (std::count_if(request_.outputs.begin(), request_.outputs.end(), to_stdout) > 1)
      return fault("only one output can go to standard output: give the others a dest");
    for (const OutputEntry& output : request_.outputs) {
      bool layout = !output.dir.empty() && output.type != "local";
      if (layout) {
        if (offers.contents.contains("export"))
          return fault("oci store key \"export\" already exists: only one output may be a layout directory");
        KILN_ASSIGN_OR_RETURN(offers.contents["export"], open_layout(output.dir, Make::kYes));
        aftermath.image_layouts.push_back(output.dir);
      } else if (!output.dir.empty()) {
        std::string mode = attribute(output.attributes, "mode");
        if (!mode.empty() && mode != "copy" && mode != "delete")
          return fault(fmt::format("invalid local exporter mode {}", quote(mode)));
        offers.outputs[id] = {.dir = output.dir, .mirror = mode == "delete", .open = {}};
      } else if (!output.file.empty() || output.to_stdout) {
        // A place that cannot be written is told before anything is built.
        auto sink = output.file.empty() ? open_stdout_sink() : open_file_sink(output.file);
        if (!sink.ok()) return annotate(sink.status(), "invalid output option: output");
        auto opened = std::make_shared<std::unique_ptr<session::ExportSink>>(*std::move(sink));
        offers.outputs[id].open = [opened](const Attributes&) -> Result<std::unique_ptr<session::ExportSink>> {
          if (!*opened) return engine_error("an output was sent twice");
          return std::move(*opened);
        };
      }
      ++id;
    }
    return ok();
  }

  Status export_caches() {
    for (const CacheEntry& cache : request_.cache_exports) {
      if (cache.type == "registry" && attribute(cache.attributes, "ref").empty())
        return fault("registry cache exporter requires ref");
      if (cache.type == "local") {
        std::string dir = attribute(cache.attributes, "dest");
        if (dir.empty()) return fault("local cache exporter requires dest");
        std::shared_ptr<CacheLayout> layout = aftermath.cache_layouts[dir] = std::make_shared<CacheLayout>();
        std::string tag = attribute(cache.attributes, "tag");
        layout->tag = tag.empty() ? "latest" : tag;
        const auto committed = [layout](const content::BlobInfo& blob) {
          std::lock_guard lock(layout->mutex);
          layout->last = blob.digest;
        };
        KILN_ASSIGN_OR_RETURN(offers.contents["local:" + dir], open_layout(dir, Make::kYes, committed));
        if (parse_bool(attribute(cache.attributes, "reset")).value_or(false)) aftermath.cache_resets.push_back(dir);
      }
      add_cache(*solve.mutable_cache()->add_exports(), cache.type, cache.attributes);
    }
    return ok();
  }

  Status import_caches() {
    for (const CacheEntry& cache : request_.cache_imports) {
      Attributes attributes = cache.attributes;
      if (cache.type == "registry" && attribute(attributes, "ref").empty())
        return fault("registry cache importer requires ref");
      if (cache.type == "local") {
        std::string dir = attribute(attributes, "src");
        if (dir.empty()) return fault("local cache importer requires src");
        KILN_ASSIGN_OR_RETURN(bool there, find_local_cache(dir, attributes));
        if (!there) continue;
      }
      add_cache(*solve.mutable_cache()->add_imports(), cache.type, attributes);
    }
    if (request_.frontend.empty() || solve.cache().imports().empty()) return ok();
    // A frontend that solves graphs of its own is told in its options.
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const auto& cache : solve.cache().imports()) {
      list.push_back({{"Type", cache.type()}, {"Attrs", Attributes(cache.attrs().begin(), cache.attrs().end())}});
    }
    (*solve.mutable_frontendattrs())["cache-imports"] = list.dump();
    return ok();
  }

  // A cache that is not there yet is a miss, not an error.
  Result<bool> find_local_cache(const std::string& dir, Attributes& attributes) {
    Result<std::shared_ptr<content::BlobStore>> store = open_layout(dir, Make::kNo);
    if (!store.ok()) {
      hooks_.warned(fmt::format("local cache import at {} not found: {}", dir, message_of(store.status())));
      return false;
    }
    if (attribute(attributes, "digest").empty()) {
      std::string tag = attribute(attributes, "tag");
      Result<std::optional<content::Descriptor>> manifest = find_in_index(dir, tag.empty() ? "latest" : tag);
      if (!manifest.ok() || !*manifest) {
        hooks_.warned(fmt::format("local cache import at {}: no entry {} in index.json", dir,
                                  quote(tag.empty() ? "latest" : tag)));
        return false;
      }
      attributes["digest"] = (*manifest)->digest.str();
    }
    offers.contents["local:" + dir] = *std::move(store);
    return true;
  }

  void offer_upload(const std::string& path, const std::string& file) {
    offers.uploads[path] = [file]() -> Result<std::unique_ptr<ByteSource>> {
      if (file == "-") return std::make_unique<host::FdSource>(host::Fd(dup(STDIN_FILENO)));
      KILN_ASSIGN_OR_RETURN(host::Fd fd, host::open_file(file, O_RDONLY));
      return std::make_unique<host::FdSource>(std::move(fd));
    };
  }

  template <typename Entry>
  static void add_cache(Entry& entry, const std::string& type, const Attributes& attributes) {
    entry.set_type(type);
    entry.mutable_attrs()->insert(attributes.begin(), attributes.end());
  }

  Status fill() {
    solve.set_ref(request_.ref);
    solve.set_frontend(request_.frontend);
    solve.mutable_frontendattrs()->insert(request_.frontend_attributes.begin(), request_.frontend_attributes.end());
    if (!request_.definition.empty() && !solve.mutable_definition()->ParseFromString(request_.definition)) {
      return fault("failed to parse llb proto op: the input is no definition");
    }
    bool first = true;
    for (const OutputEntry& output : request_.outputs) {
      add_cache(*solve.add_exporters(), output.type, output.attributes);
      if (std::exchange(first, false)) {
        solve.set_exporterdeprecated(output.type);
        solve.mutable_exporterattrsdeprecated()->insert(output.attributes.begin(), output.attributes.end());
      }
    }
    for (const std::string& entitlement : request_.entitlements) solve.add_entitlements(entitlement);
    if (!request_.source_policy.empty() && !solve.mutable_sourcepolicy()->ParseFromString(request_.source_policy)) {
      return fault("the source policy is not readable");
    }
    solve.set_proxynetwork(request_.proxy_network);
    return ok();
  }

  const BuildRequest& request_;
  const BuildHooks& hooks_;
};

// The frontend called through the gateway, so that its answer comes back to us and is not exported.
class Subrequest {
 public:
  Subrequest(const Connection& connection, const control::SolveRequest& solve)
      : connection_(connection), metadata_({{"buildkit-controlapi-buildid", solve.ref()}}) {
    request_.set_frontend(solve.frontend());
    *request_.mutable_frontendopt() = solve.frontendattrs();
    request_.mutable_frontendopt()->insert({"frontend.caps", "moby.buildkit.frontend.subrequests"});
    for (const auto& cache : solve.cache().imports()) {
      auto* entry = request_.add_cacheimports();
      entry->set_type(cache.type());
      *entry->mutable_attrs() = cache.attrs();
    }
    request_.set_allowresultreturn(true);
    request_.set_allowresultarrayref(true);
  }

  Status run(Attributes& metadata, std::stop_token stop) {
    gateway::SolveResponse response;
    Status solved = connection_.call(kBridge + "Solve", metadata_, request_, response, stop);
    gateway::ReturnRequest done;
    if (solved.ok()) {
      *done.mutable_result() = response.result();
      for (const auto& [key, value] : response.result().metadata()) metadata[key] = value;
    } else {
      done.mutable_error()->set_code(static_cast<int>(solved.code()));
      done.mutable_error()->set_message(std::string(message_of(solved)));
    }
    gateway::ReturnResponse returned;
    Status told = connection_.call(kBridge + "Return", metadata_, done, returned, stop);
    return solved.ok() ? told : solved;
  }

 private:
  const Connection& connection_;
  const Fields metadata_;
  gateway::SolveRequest request_;
};

// A daemon that ended, or a network that broke, in the middle of the call.
Status lost_connection(const Status& status) {
  return environment_error(
      Code::kUnavailable,
      fmt::format("the connection to the daemon was lost ({}); steps that had finished are in its cache: "
                  "build again when it is back",
                  message_of(status)));
}

enum class Explain { kNo, kYes };

Status call_solve(const Connection& connection, const control::SolveRequest& request, Attributes& response,
                  Explain explain, std::stop_token stop) {
  Fields metadata;
  if (explain == Explain::kYes) metadata.emplace_back("kiln-explain", "1");
  control::SolveResponse reply;
  Status status = connection.call(kControl + "Solve", metadata, request, reply, stop);
  if (status.code() == Code::kUnavailable && connection.wire()->ended()) status = lost_connection(status);
  if (!status.ok()) return annotate(status, "failed to solve");
  response.insert(reply.exporterresponse().begin(), reply.exporterresponse().end());
  return ok();
}

// Both ends of a build that answers to us: Solve holds it open, the frontend is called meanwhile.
Status solve_subrequest(const Connection& connection, control::SolveRequest request, BuildOutcome& outcome,
                        std::stop_token stop) {
  Subrequest inner(connection, request);
  request.set_frontend("");
  request.mutable_frontendattrs()->clear();
  Status solved;
  std::stop_source own;
  std::stop_callback chain(stop, [&] { own.request_stop(); });
  {
    std::jthread solving([&] {
      solved = call_solve(connection, request, outcome.response, Explain::kNo, own.get_token());
      if (!solved.ok()) own.request_stop();
    });
    Status inner_status = inner.run(outcome.subrequest, own.get_token());
    if (!inner_status.ok() && !is_cancelled(inner_status)) {
      solving.join();
      if (solved.ok()) solved = inner_status;
      return solved;
    }
  }
  return solved;
}

// A build tells one manifest, however many caches it exported: each directory names the one that it was given.
Status name_cache(const std::string& dir, CacheLayout& layout, const content::Descriptor& told) {
  std::lock_guard lock(layout.mutex);
  KILN_ASSIGN_OR_RETURN(std::optional<content::Descriptor> manifest, describe_manifest(dir, told.digest));
  if (manifest) {
    manifest = told;
  } else if (!layout.last.empty()) {
    KILN_ASSIGN_OR_RETURN(manifest, describe_manifest(dir, layout.last));
  }
  if (!manifest) return ok();  // nothing new: it names what it held before
  return add_to_index(dir, *manifest, {{layout.tag, NameKind::kTag}});
}

Status finish(const Aftermath& aftermath, const Attributes& response) {
  if (std::string manifest = attribute(response, "cache.manifest"); !manifest.empty()) {
    KILN_ASSIGN_OR_RETURN(content::Descriptor descriptor, content::parse_descriptor(manifest));
    for (const auto& [dir, layout] : aftermath.cache_layouts)
      KILN_RETURN_IF_ERROR(name_cache(dir, *layout, descriptor));
  }
  std::optional<std::string> image = base64_decode(attribute(response, "containerimage.descriptor"));
  if (image && !image->empty()) {
    KILN_ASSIGN_OR_RETURN(content::Descriptor descriptor, content::parse_descriptor(*image));
    std::vector<IndexName> names = {{"latest", NameKind::kTag}};
    if (std::string list = attribute(response, "image.name"); !list.empty()) {
      names.clear();
      for (std::string_view name : split(list, ',')) names.push_back({std::string(name), NameKind::kName});
    }
    for (const std::string& dir : aftermath.image_layouts) KILN_RETURN_IF_ERROR(add_to_index(dir, descriptor, names));
  }
  for (const std::string& dir : aftermath.cache_resets) KILN_RETURN_IF_ERROR(drop_unreferenced(dir));
  return ok();
}

// Follows the status on a thread of its own. After the build it waits for the rest of the stream,
// as long as something still comes.
class StatusFollower {
 public:
  StatusFollower(const Connection& connection, const std::string& ref, const BuildHooks& hooks)
      : thread_([this, &connection, ref, told = hooks.told](std::stop_token stop) {
          status_ = follow_status(
              connection, ref,
              [&](const ProgressUpdate& update) {
                note([&] { last_ = std::chrono::steady_clock::now(); });
                told(update);
              },
              stop);
          note([&] { ended_ = true; });
        }) {}

  Status drain() {
    const auto asked = std::chrono::steady_clock::now();
    {
      std::unique_lock lock(mutex_);
      while (!ended_ && std::chrono::steady_clock::now() < std::max(asked, last_) + kPatience) {
        changed_.wait_until(lock, std::max(asked, last_) + kPatience, [&] { return ended_; });
      }
    }
    thread_.request_stop();
    thread_.join();
    return status_;
  }

 private:
  static constexpr auto kPatience = std::chrono::seconds(5);

  void note(const auto& change) {
    std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::chrono::steady_clock::time_point last_;
  bool ended_ = false;
  Status status_;
  std::jthread thread_;
};

}  // namespace

Result<BuildOutcome> run_build(const Connection& connection, const BuildRequest& request, const BuildHooks& hooks,
                               std::stop_token stop) {
  Preparation prepared(request, hooks);
  KILN_RETURN_IF_ERROR(prepared.prepare());
  KILN_ASSIGN_OR_RETURN(
      std::unique_ptr<session::ClientSession> session,
      session::ClientSession::open(connection.wire(), "kiln", request.shared_key, std::move(prepared.offers)));
  prepared.solve.set_session(session->id());
  std::optional<StatusFollower> follower;
  if (hooks.told) follower.emplace(connection, request.ref, hooks);
  BuildOutcome outcome;
  bool asks = request.frontend_attributes.contains("requestid");
  Status solved = asks ? solve_subrequest(connection, prepared.solve, outcome, stop)
                       : call_solve(connection, prepared.solve, outcome.response,
                                    request.explain ? Explain::kYes : Explain::kNo, stop);
  session->close();
  Status followed = follower ? follower->drain() : ok();
  if (!solved.ok()) {
    if (stop.stop_requested()) return cancelled();
    return solved;
  }
  if (!followed.ok()) hooks.warned(fmt::format("the progress of the build broke off: {}", message_of(followed)));
  KILN_RETURN_IF_ERROR(finish(prepared.aftermath, outcome.response));
  return outcome;
}

}  // namespace kiln::client
