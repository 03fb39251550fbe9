// The view for programs: one JSON object an update. Field names are those BuildKit's clients write.
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "client/internal/views.h"

namespace kiln::client {
namespace {

using Json = nlohmann::ordered_json;

void set_text(Json& out, const char* key, const std::string& value) {
  if (!value.empty()) out[key] = value;
}
void set_time(Json& out, const char* key, const std::optional<Time>& time) {
  if (time) out[key] = format_rfc3339(*time);
}

Json to_json(const event::Vertex& v) {
  Json out = Json::object();
  set_text(out, "digest", v.digest.str());
  for (const Digest& input : v.inputs) out["inputs"].push_back(input.str());
  set_text(out, "name", v.name);
  set_time(out, "started", v.started);
  set_time(out, "completed", v.completed);
  if (v.cached) out["cached"] = true;
  set_text(out, "error", v.error);
  if (v.group) {
    Json group = Json::object();
    set_text(group, "id", v.group->id);
    set_text(group, "name", v.group->name);
    if (v.group->weak) group["weak"] = true;
    out["progressGroup"] = std::move(group);
  }
  return out;
}

Json to_json(const event::VertexStatus& s) {
  Json out = Json::object();
  out["id"] = s.id;
  set_text(out, "vertex", s.vertex.str());
  set_text(out, "name", s.name);
  if (s.total != 0) out["total"] = s.total;
  out["current"] = s.current;
  out["timestamp"] = format_rfc3339(s.timestamp);
  set_time(out, "started", s.started);
  set_time(out, "completed", s.completed);
  return out;
}

Json to_json(const event::VertexLog& l) {
  Json out = Json::object();
  set_text(out, "vertex", l.vertex.str());
  out["stream"] = static_cast<int>(l.stream);
  out["data"] = base64_encode(l.data);
  out["timestamp"] = format_rfc3339(l.timestamp);
  return out;
}

Json to_json(const event::Position& p) {
  Json out = Json::object();
  if (p.line != 0) out["line"] = p.line;
  if (p.character != 0) out["character"] = p.character;
  return out;
}

Json to_json(const event::VertexWarning& w) {
  Json out = Json::object();
  set_text(out, "vertex", w.vertex.str());
  if (w.level != 0) out["level"] = w.level;
  if (!w.short_text.empty()) out["short"] = base64_encode(w.short_text);
  for (const std::string& line : w.detail) out["detail"].push_back(base64_encode(line));
  set_text(out, "url", w.url);
  if (w.source) {
    Json source = Json::object();
    set_text(source, "filename", w.source->filename);
    if (!w.source->data.empty()) source["data"] = base64_encode(w.source->data);
    set_text(source, "language", w.source->language);
    out["sourceInfo"] = std::move(source);
  }
  for (const event::Range& range : w.ranges)
    out["range"].push_back({{"start", to_json(range.start)}, {"end", to_json(range.end)}});
  return out;
}

template <typename List>
void set_list(Json& out, const char* key, const List& list) {
  for (const auto& item : list) out[key].push_back(to_json(item));
}

class JsonView final : public ProgressView {
 public:
  explicit JsonView(std::unique_ptr<Output> out) : out_(std::move(out)) {}
  void update(const ProgressUpdate& update) override { out_->write(progress_json(update) + "\n"); }
  void refresh() override {}
  void finish() override {}

 private:
  std::unique_ptr<Output> out_;
};

}  // namespace

std::string progress_json(const ProgressUpdate& update) {
  Json out = Json::object();
  set_list(out, "vertexes", update.vertices);
  set_list(out, "statuses", update.statuses);
  set_list(out, "logs", update.logs);
  set_list(out, "warnings", update.warnings);
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::unique_ptr<ProgressView> make_json_view(std::unique_ptr<Output> out) {
  return std::make_unique<JsonView>(std::move(out));
}

}  // namespace kiln::client
