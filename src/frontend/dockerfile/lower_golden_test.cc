// Proves that whole builds ask the daemon for the graphs, lookups and warnings that stand in
// tests/golden/dockerfile/lower/<case>/expected.json, and return the metadata there: digests of ops
// are part of it, so every byte of every op counts. A case is a folder with a Dockerfile, other files
// of the context, and case.json (opts, platforms, images, withdraw_caps); images.json beside the
// cases holds the images that all of them may use. KILN_ACCEPT=1 rewrites the expectations and
// reports a skip.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/gopath.h"
#include "frontend/dockerfile/frontend.h"
#include "frontend/dockerfile/places.h"
#include "frontend/dockerfile/subrequests/reports.h"
#include "wire/ops.pb.h"

namespace kiln::frontend::dockerfile {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::string read(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

Json read_json(const fs::path& path) {
  if (!fs::exists(path)) return Json::object();
  return Json::parse(read(path));
}

std::string ranges_text(const std::vector<graph::Range>& ranges) {
  std::string out;
  for (const auto& r : ranges)
    out += fmt::format("{}:{}-{}:{} ", r.start.line, r.start.character, r.end.line, r.end.character);
  return out;
}

// A tree of which only the files of the case are known.
class CaseRef final : public Ref {
 public:
  CaseRef(const Json& files, std::string name) : name(std::move(name)), files_(files) {}
  Status evaluate(std::stop_token) override { return ok(); }
  Result<std::string> read_file(const ReadRequest& request, std::stop_token) override {
    auto it = files_.find(clean_path(request.path));
    if (it == files_.end())
      return user_error(Code::kNotFound, fmt::format("open {}: no such file or directory", request.path));
    return it->get<std::string>();
  }
  Result<std::vector<FileStat>> read_dir(const std::string&, const std::string&, std::stop_token) override {
    return std::vector<FileStat>{};
  }
  Result<FileStat> stat_file(const std::string&, std::stop_token) override { return FileStat{}; }
  Result<graph::Definition> definition() override { return graph::Definition{}; }
  const std::string name;

 private:
  const Json& files_;
};

// Order of keys is no part of what a report says.
void readable(Json& metadata) {
  auto it = metadata.find("result.json");
  if (it != metadata.end() && it->is_string()) *it = Json::parse(it->get<std::string>());
}

// Answers from the case and writes down what it was asked.
class CaseBridge final : public Bridge {
 public:
  CaseBridge(const Json& input) : input_(input) {
    const Json opts = input.value("opts", Json::object());  // items() keeps no temporary alive
    for (const auto& [key, value] : opts.items()) options_.opts[key] = value;
    options_.session_id = "session";
    options_.product = "buildkit";
    WorkerInfo worker{.id = "w"};
    for (const auto& text : input["platforms"]) worker.platforms.push_back(*Platform::parse(text.get<std::string>()));
    options_.workers = {worker};
    auto caps = graph::llb_caps();
    for (auto& cap : caps) {
      for (const auto& withdrawn : input.value("withdraw_caps", Json::array())) {
        if (cap.id == withdrawn) cap.enabled = false;
      }
    }
    options_.llb_caps = graph::CapSet(caps);
    options_.caps = graph::CapSet(graph::gateway_caps());
  }

  const BuildOptions& options() const override { return options_; }
  Result<std::map<std::string, graph::Definition>> inputs(std::stop_token) override {
    return std::map<std::string, graph::Definition>{};
  }

  Result<SolveResult> solve(const SolveRequest& request, std::stop_token) override {
    std::lock_guard lock(mutex_);
    Json solve = Json::object();
    if (!request.frontend.empty()) {
      solve["frontend"] = request.frontend;
      solve["opts"] = request.frontend_opts;
    }
    if (request.evaluate) solve["evaluate"] = true;
    for (const auto& import : request.cache_imports)
      solve["imports"].push_back({{"Type", import.type}, {"Attrs", import.attrs}});
    std::string name = "scratch";
    if (request.definition && !request.definition->empty()) name = record(*request.definition, solve);
    solves_.push_back(std::move(solve));
    SolveResult out;
    out.ref = std::make_shared<CaseRef>(input_["files"], name);
    return out;
  }

  Result<ImageConfig> resolve_image_config(const std::string& ref, const ResolveOptions& options,
                                           std::stop_token) override {
    std::lock_guard lock(mutex_);
    const std::string platform = options.platform && !options.oci_store ? options.platform->str_full() : "";
    const std::string mode = options.oci_store ? "store " + options.oci_store->store_id : options.resolve_mode;
    resolves_.push_back(fmt::format("image {} {} {} {}", ref, platform, mode, options.log_name));
    const auto& images = input_["images"];
    auto it = images.find(ref + "@" + platform);
    if (it == images.end()) it = images.find(ref);
    if (it == images.end()) it = images.find("*");
    if (it == images.end()) return user_error(Code::kNotFound, ref + ": not found");
    return ImageConfig{ref, Digest::trusted((*it)["digest"]), (*it)["config"].dump()};
  }

  Result<SourceMeta> resolve_source(const graph::SourceOp& source, const std::optional<Platform>&,
                                    const ResolveOptions& options, std::stop_token) override {
    std::lock_guard lock(mutex_);
    resolves_.push_back(fmt::format("source {} {}", source.identifier, options.log_name));
    return SourceMeta{.source = source};
  }

  Status warn(const Warning& w) override {
    std::lock_guard lock(mutex_);
    std::string detail;
    for (const auto& part : w.detail) detail += part;
    warnings_.push_back(fmt::format("{} {} {} | {} | {} | {}", w.vertex.str(), w.level, w.short_text, detail, w.url,
                                    w.source ? ranges_text(w.source->ranges) : ""));
    return ok();
  }

  Json report(const Result<SolveResult>& result) {
    std::sort(resolves_.begin(), resolves_.end());
    std::sort(warnings_.begin(), warnings_.end());
    std::sort(solves_.begin(), solves_.end(), [](const Json& a, const Json& b) { return a.dump() < b.dump(); });
    Json out = {{"solves", solves_}, {"resolves", resolves_}, {"warnings", warnings_}};
    if (!result.ok()) {
      out["error"] = message_of(result.status());
      for (int number = 1;; ++number) {
        auto detail =
            get_detail(result.status(), number == 1 ? kSourceDetail : fmt::format("{}#{}", kSourceDetail, number));
        if (!detail) break;
        out["error_at"].push_back(ranges_text(graph::decode_source_ref(*detail)->ranges));
      }
      return out;
    }
    for (const auto& [key, value] : result->metadata) out["metadata"][key] = value;
    readable(out["metadata"]);
    if (result->ref) out["refs"][""] = static_cast<CaseRef&>(*result->ref).name;
    for (const auto& [key, ref] : result->refs) out["refs"][key] = static_cast<CaseRef&>(*ref).name;
    return out;
  }

  // The ops as text, for a look at a difference.
  std::string ops_text;

 private:
  std::string record(const graph::Definition& definition, Json& solve) {
    for (const auto& bytes : definition.ops) {
      const std::string digest = Digest::of(bytes).str();
      auto metadata = definition.metadata.contains(digest) ? definition.metadata.at(digest) : graph::OpMetadata{};
      if (metadata.progress_group) metadata.progress_group->id = "ID";
      content::JsonWriter json;
      write_metadata(json, metadata);
      solve["ops"].push_back({{"digest", digest}, {"metadata", Json::parse(json.take())}});
      pb::Op op;
      op.ParseFromString(bytes);
      ops_text += digest + "\n" + op.DebugString() + "\n";
    }
    if (definition.source) {
      for (const auto& [digest, locations] : definition.source->locations) {
        std::string text;
        for (const auto& location : locations) text += ranges_text(location.ranges);
        if (!text.empty()) solve["locations"][digest] = text;
      }
    }
    return graph::head(definition)->digest;
  }

  const Json& input_;
  BuildOptions options_;
  std::mutex mutex_;
  std::vector<Json> solves_;
  std::vector<std::string> resolves_;
  std::vector<std::string> warnings_;
};

Json load_case(const fs::path& folder, const Json& images) {
  Json input = read_json(folder / "case.json");
  if (!input.contains("platforms")) input["platforms"] = Json::array({"linux/amd64"});
  for (const auto& [name, image] : images.items()) {
    if (!input["images"].contains(name)) input["images"][name] = image;
  }
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = fs::relative(entry.path(), folder).string();
    if (entry.is_regular_file() && name != "case.json" && name != "expected.json")
      input["files"][name] = read(entry.path());
  }
  return input;
}

// What is empty may as well be missing.
Json without_empty(const Json& json) {
  if (json.is_array()) {
    Json out = Json::array();
    for (const auto& item : json) out.push_back(without_empty(item));
    return out;
  }
  if (!json.is_object()) return json;
  Json out = Json::object();
  for (const auto& [key, value] : json.items()) {
    Json kept = without_empty(value);
    if (!kept.is_null() && !(kept.is_structured() && kept.empty())) out[key] = std::move(kept);
  }
  return out;
}

Json sorted_solves(Json json) {
  if (!json.contains("solves")) return json;
  std::sort(json["solves"].begin(), json["solves"].end(),
            [](const Json& a, const Json& b) { return a.dump() < b.dump(); });
  return json;
}

TEST(LowerGolden, CasesAskForTheGraphsBesideThem) {
  const char* elsewhere = std::getenv("KILN_LOWER_DIR");
  const fs::path root = elsewhere != nullptr ? fs::path(elsewhere) : fs::path(KILN_GOLDEN_DIR) / "dockerfile" / "lower";
  const Json images = read_json(root / "images.json");
  const bool accept = std::getenv("KILN_ACCEPT") != nullptr;
  const char* only = std::getenv("KILN_CASE");
  for (const auto& entry : fs::directory_iterator(root)) {
    if (!entry.is_directory() || (only != nullptr && entry.path().filename() != only)) continue;
    SCOPED_TRACE(entry.path().filename().string());
    const Json input = load_case(entry.path(), images);
    CaseBridge bridge(input);
    auto result = make_frontend()->build(bridge, {});
    const Json got = sorted_solves(without_empty(bridge.report(result)));
    Json expected = read_json(entry.path() / "expected.json");
    if (expected.contains("metadata")) readable(expected["metadata"]);
    const Json wanted = sorted_solves(without_empty(expected));
    if (accept) {
      if (got != wanted) std::ofstream(entry.path() / "expected.json") << got.dump(1) << "\n";
      continue;
    }
    EXPECT_EQ(got, wanted) << Json::diff(wanted, got).dump(1) << (only != nullptr ? "\n" + bridge.ops_text : "");
  }
  if (accept) GTEST_SKIP() << "expectations rewritten";
}

}  // namespace
}  // namespace kiln::frontend::dockerfile
