// What a target may be given: args, secrets, ssh sockets, those of the stages it needs included.
#include <algorithm>

#include "base/base64.h"
#include "frontend/dockerfile/subrequests/reports.h"

namespace kiln::frontend::dockerfile {
namespace {

using content::JsonWriter;

int line_of(const Ranges& ranges) { return ranges.empty() ? 0 : ranges.front().start.line; }

struct Session {
  std::string name;
  SessionInfo info;
};

// Args that a stage uses, and what their defaults use in turn.
std::set<std::string, std::less<>> used_args(const OutlineRecord& outline) {
  std::set<std::string, std::less<>> out;
  std::vector<std::string> pending(outline.used_args.begin(), outline.used_args.end());
  while (!pending.empty()) {
    const std::string name = std::move(pending.back());
    pending.pop_back();
    if (!out.insert(name).second) continue;
    if (auto info = outline.args.find(name); info != outline.args.end()) {
      pending.insert(pending.end(), info->second.needs.begin(), info->second.needs.end());
    }
  }
  return out;
}

class Outline {
 public:
  explicit Outline(const std::vector<StageState*>& stages) {
    std::set<std::string> known_args, known_secrets, known_ssh;
    for (const StageState* stage : stages) {
      for (const auto& name : used_args(stage->outline)) {
        auto info = stage->outline.args.find(name);
        if (info != stage->outline.args.end() && known_args.insert(name).second) args_.push_back(info->second);
      }
      collect(stage->outline.secrets, known_secrets, secrets_);
      collect(stage->outline.ssh, known_ssh, ssh_);
    }
    auto by_line = [](const auto& a, const auto& b) { return line_of(a.info.ranges) < line_of(b.info.ranges); };
    std::stable_sort(args_.begin(), args_.end(),
                     [](const ArgInfo& a, const ArgInfo& b) { return line_of(a.ranges) < line_of(b.ranges); });
    std::stable_sort(secrets_.begin(), secrets_.end(), by_line);
    std::stable_sort(ssh_.begin(), ssh_.end(), by_line);
  }

  std::string json(const Stage& target, const std::string& text) const {
    JsonWriter json(content::JsonLayout::kIndented);
    json.begin_object();
    json.string_if("name", target.name);
    json.string_if("description", target.doc);
    write_args(json);
    write_sessions(json, "secrets", secrets_);
    write_sessions(json, "ssh", ssh_);
    json.key("sources");
    json.begin_array();
    json.string(base64_encode(text));
    json.end_array();
    json.end_object();
    return json.take();
  }

  std::string text(const Stage& target) const {
    std::string out;
    if (!target.name.empty() || !target.doc.empty()) {
      std::vector<std::vector<std::string>> rows = {{"TARGET:", target.name.empty() ? "(default)" : target.name}};
      if (!target.doc.empty()) rows.push_back({"DESCRIPTION:", target.doc});
      out += text_table(rows, 1) + "\n";
    }
    if (!args_.empty()) {
      std::vector<std::vector<std::string>> rows = {{"BUILD ARG", "VALUE", "DESCRIPTION"}};
      for (const auto& arg : args_) rows.push_back({arg.definition.key, arg.value, arg.definition.doc});
      out += text_table(rows, 3) + "\n";
    }
    return out + session_table("SECRET", secrets_) + session_table("SSH", ssh_);
  }

 private:
  static void collect(const std::map<std::string, SessionInfo>& from, std::set<std::string>& known,
                      std::vector<Session>& to) {
    for (const auto& [name, info] : from) {
      if (known.insert(name).second) to.push_back({name, info});
    }
  }

  void write_args(JsonWriter& json) const {
    if (args_.empty()) return;
    json.key("args");
    json.begin_array();
    for (const auto& arg : args_) {
      json.begin_object();
      json.key("name");
      json.string(arg.definition.key);
      json.string_if("description", arg.definition.doc);
      json.string_if("value", arg.value);
      if (!arg.ranges.empty()) {
        json.key("location");
        write_location(json, arg.ranges);
      }
      json.end_object();
    }
    json.end_array();
  }

  static void write_sessions(JsonWriter& json, std::string_view key, const std::vector<Session>& sessions) {
    if (sessions.empty()) return;
    json.key(key);
    json.begin_array();
    for (const auto& session : sessions) {
      json.begin_object();
      json.key("name");
      json.string(session.name);
      if (session.info.required) {
        json.key("required");
        json.boolean(true);
      }
      if (!session.info.ranges.empty()) {
        json.key("location");
        write_location(json, session.info.ranges);
      }
      json.end_object();
    }
    json.end_array();
  }

  static std::string session_table(const std::string& title, const std::vector<Session>& sessions) {
    if (sessions.empty()) return "";
    std::vector<std::vector<std::string>> rows = {{title, "REQUIRED"}};
    for (const auto& session : sessions) rows.push_back({session.name, session.info.required ? "true" : ""});
    return text_table(rows, 3) + "\n";
  }

  std::vector<ArgInfo> args_;
  std::vector<Session> secrets_;
  std::vector<Session> ssh_;
};

}  // namespace

Result<SolveResult> outline_target(BuildRun& run, std::stop_token stop) {
  Lowering lowering(run.lower_options(std::nullopt, run.warn_client()));
  KILN_ASSIGN_OR_RETURN(StageState * target, lowering.run(stop));
  const Outline outline(lowering.reachable(target));
  SolveResult out;
  out.metadata = {{"result.json", outline.json(target->stage, run.build_file.text->data)},
                  {"result.txt", outline.text(target->stage)},
                  {"version", "1.0.0"}};
  return out;
}

}  // namespace kiln::frontend::dockerfile
