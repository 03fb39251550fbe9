#include "history/miss_book.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/text.h"
#include "db/database.h"
#include "host/fs.h"

namespace kiln::history {
namespace {

using Json = nlohmann::ordered_json;

const std::vector<std::string> kMigrations = {
    // files: lists by name, shared by all runs that saw the same. The column is called content because it once held
    // the content key.
    "CREATE TABLE run (id INTEGER PRIMARY KEY, ref TEXT NOT NULL, at INTEGER NOT NULL, key TEXT NOT NULL,"
    " words TEXT NOT NULL, place TEXT NOT NULL, facts TEXT NOT NULL);"
    "CREATE INDEX run_by_key ON run (key); CREATE INDEX run_by_words ON run (words);"
    "CREATE INDEX run_by_place ON run (place);"
    "CREATE TABLE files (content TEXT PRIMARY KEY, id INTEGER NOT NULL, list TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX files_by_id ON files (id);",
};

constexpr int kRunsMax = 20'000;
constexpr int kListsMax = 400;

std::int64_t seconds(Time time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json parts_json(const std::vector<event::KeyPart>& parts) {
  Json out = Json::array();
  for (const auto& part : parts) out.push_back({part.name, part.value});
  return out;
}

std::vector<event::KeyPart> parts_of(const Json& json) {
  std::vector<event::KeyPart> out;
  for (const auto& part : json) out.push_back({part.at(0), part.at(1)});
  return out;
}

// "<sum> <path>" a line; '/' before the path's own means: everything below.
std::string files_text(const std::vector<event::FileSum>& files) {
  std::string out;
  for (const auto& file : files) {
    if (file.path.find('\n') != std::string::npos) continue;
    out += fmt::format("{} {}{}\n", file.sum, file.whole ? "/" : "", file.path);
  }
  return out;
}

// The name of a list of files, for all runs that saw the same. Not the content key: equal bytes under other paths
// have that in common.
std::string list_name(const event::KeyInput& input) {
  return input.files.empty() ? "" : Digest::of(input.content + "\n" + files_text(input.files)).str();
}

std::string facts_text(const event::CacheMiss& miss) {
  Json inputs = Json::array();
  for (const auto& input : miss.inputs) {
    inputs.push_back({{"name", input.name},
                      {"content", input.content},
                      {"files", list_name(input)},
                      {"keys", input.keys},
                      {"source", parts_json(input.source)}});
  }
  return text_of({{"name", miss.name}, {"parts", parts_json(miss.parts)}, {"inputs", std::move(inputs)}});
}

// A run as it lies in the book: the files of its inputs by the names of their lists.
struct Row {
  event::CacheMiss miss;
  std::vector<std::string> lists;  // one an input; empty: none
};

// Nothing for a row that is not understood. Catches: what lies on disk may be anything.
std::optional<Row> facts_of(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    Row row;
    event::CacheMiss& miss = row.miss;
    miss.name = json.at("name");
    miss.parts = parts_of(json.at("parts"));
    for (const auto& in : json.at("inputs")) {
      event::KeyInput input;
      input.name = in.at("name");
      input.content = in.at("content");
      input.keys = in.at("keys").get<std::vector<std::string>>();
      input.source = parts_of(in.at("source"));
      miss.inputs.push_back(std::move(input));
      row.lists.push_back(in.value("files", miss.inputs.back().content));
    }
    return row;
  } catch (const nlohmann::json::exception& e) {
    log_debug("a remembered run is skipped: {}", e.what());
    return std::nullopt;
  }
}

std::vector<event::FileSum> files_of(std::string_view text) {
  std::vector<event::FileSum> out;
  for (std::string_view line : split(text, '\n')) {
    auto [sum, path] = split_once(line, ' ');
    if (path.empty()) continue;
    const bool whole = path.starts_with("//");
    out.push_back({std::string(path.substr(whole ? 1 : 0)), std::string(sum), whole});
  }
  return out;
}

}  // namespace

struct MissBook::State {
  std::string directory;
  Clock* clock = nullptr;
  std::mutex mutex;
  std::unique_ptr<db::Database> opened;

  Result<db::Database*> db();
  Result<std::optional<EarlierRun>> nearest(const event::CacheMiss& miss);
  Status fill_files(db::Database& db, const std::vector<std::string>& lists, event::CacheMiss& facts);
  Status store(db::Database& db, const std::string& ref, const event::CacheMiss& miss);
};

MissBook::MissBook(std::string directory, Clock& clock) : state_(std::make_unique<State>()) {
  state_->directory = std::move(directory);
  state_->clock = &clock;
}
MissBook::~MissBook() = default;

Result<db::Database*> MissBook::State::db() {
  std::lock_guard lock(mutex);
  if (!opened) {
    KILN_RETURN_IF_ERROR(host::make_dirs(directory, 0711));
    KILN_ASSIGN_OR_RETURN(opened, db::Database::open({.path = directory + "/misses.db", .migrations = kMigrations}));
  }
  return opened.get();
}

Result<std::optional<EarlierRun>> MissBook::State::nearest(const event::CacheMiss& miss) {
  KILN_ASSIGN_OR_RETURN(db::Database * db, this->db());
  std::optional<EarlierRun> best;
  std::vector<std::string> lists;
  int best_score = 0;
  // Of each index the newest few: more of the same would tell nothing new.
  for (const auto& [sql, value] : {std::pair<const char*, std::string>{"key = ?1 ORDER BY id DESC LIMIT 6", miss.key},
                                   {"words = ?1 ORDER BY id DESC LIMIT 6", words_of(miss.name)},
                                   {"place = ?1 ORDER BY id DESC LIMIT 12", place_of(miss.name)}}) {
    if (value.empty()) continue;
    KILN_ASSIGN_OR_RETURN(db::Statement row,
                          db->prepare(fmt::format("SELECT ref, at, key, facts FROM run WHERE {}", sql)));
    KILN_RETURN_IF_ERROR(row.bind(value));
    while (true) {
      KILN_ASSIGN_OR_RETURN(bool found, row.step());
      if (!found) break;
      auto facts = facts_of(row.text(3));
      if (!facts) continue;
      facts->miss.key = row.text(2);
      const int score = likeness(miss, facts->miss);
      if (score <= best_score) continue;  // of equals the newest
      best_score = score;
      lists = std::move(facts->lists);
      best = EarlierRun{std::move(facts->miss), std::string(row.text(0)), Time(std::chrono::seconds(row.integer(1)))};
    }
  }
  if (best) KILN_RETURN_IF_ERROR(fill_files(*db, lists, best->facts));
  return best;
}

Status MissBook::State::fill_files(db::Database& db, const std::vector<std::string>& lists, event::CacheMiss& facts) {
  for (std::size_t i = 0; i < facts.inputs.size(); ++i) {
    if (lists[i].empty()) continue;
    KILN_ASSIGN_OR_RETURN(db::Statement row, db.prepare("SELECT list FROM files WHERE content = ?1"));
    KILN_RETURN_IF_ERROR(row.bind(lists[i]));
    KILN_ASSIGN_OR_RETURN(bool found, row.step());
    if (found) facts.inputs[i].files = files_of(row.text(0));
  }
  return ok();
}

MissReport MissBook::explain(const event::CacheMiss& miss, const std::vector<Digest>& ran) {
  auto earlier = state_->nearest(miss);
  if (!earlier.ok()) log_warn("look for an earlier run: {}", message_of(earlier.status()));
  return compare(miss, earlier.ok() && *earlier ? &**earlier : nullptr, ran);
}

Status MissBook::State::store(db::Database& db, const std::string& ref, const event::CacheMiss& miss) {
  KILN_RETURN_IF_ERROR(db.run("INSERT INTO run (ref, at, key, words, place, facts) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                              ref, seconds(clock->now()), miss.key, words_of(miss.name), place_of(miss.name),
                              facts_text(miss)));
  for (const auto& input : miss.inputs) {
    if (input.content.empty() || input.files.empty()) continue;
    KILN_RETURN_IF_ERROR(
        db.run("INSERT OR REPLACE INTO files (content, id, list) VALUES (?1, "
               "(SELECT COALESCE(MAX(id), 0) + 1 FROM files), ?2)",
               list_name(input), files_text(input.files)));
  }
  return ok();
}

void MissBook::remember(const std::string& ref, const std::vector<event::CacheMiss>& misses) {
  if (misses.empty()) return;
  auto work = [&]() -> Status {
    KILN_ASSIGN_OR_RETURN(db::Database * db, state_->db());
    return db->write([&](db::Database& d) -> Status {
      for (const auto& miss : misses) KILN_RETURN_IF_ERROR(state_->store(d, ref, miss));
      KILN_RETURN_IF_ERROR(d.run("DELETE FROM run WHERE id <= (SELECT MAX(id) FROM run) - ?1", kRunsMax));
      return d.run("DELETE FROM files WHERE id <= (SELECT MAX(id) FROM files) - ?1", kListsMax);
    });
  };
  if (Status status = work(); !status.ok()) log_warn("remember what ran: {}", message_of(status));
}

std::string misses_json(const std::vector<MissReport>& reports) {
  Json steps = Json::array();
  for (const auto& report : reports) {
    Json step = {{"vertex", report.vertex.str()}, {"name", report.name}, {"verdict", verdict_name(report.verdict)}};
    step["summary"] = report_lines(report);
    Json reasons = Json::array();
    for (const auto& reason : report.reasons) {
      reasons.push_back({{"kind", reason.kind},
                         {"name", reason.name},
                         {"was", reason.was},
                         {"now", reason.now},
                         {"text", reason.text}});
    }
    step["reasons"] = std::move(reasons);
    step["follows"] = report.follows;
    if (report.nearest_at) {
      step["nearest"] = {{"ref", report.nearest_ref}, {"at", format_rfc3339(*report.nearest_at)}};
      if (!report.nearest_name.empty()) step["nearest"]["name"] = report.nearest_name;
    }
    steps.push_back(std::move(step));
  }
  return text_of({{"steps", std::move(steps)}});
}

}  // namespace kiln::history
