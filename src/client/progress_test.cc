// Proves what a build's events look like in each view.
#include "client/progress.h"

#include <gtest/gtest.h>

#include "client/internal/views.h"

namespace kiln::client {
namespace {

using namespace std::chrono_literals;

class Page final : public Output {
 public:
  explicit Page(std::string& text) : text_(text) {}
  void write(std::string_view text) override { text_ += text; }
  std::pair<int, int> size() const override { return {60, 10}; }

 private:
  std::string& text_;
};

const Time kStart = Time{} + std::chrono::hours(400'000);

event::Vertex vertex(std::string id, std::string name, std::optional<Duration> started,
                     std::optional<Duration> completed = {}) {
  event::Vertex v;
  v.digest = Digest::trusted(std::move(id));
  v.name = std::move(name);
  if (started) v.started = kStart + *started;
  if (completed) v.completed = kStart + *completed;
  return v;
}

event::VertexLog log(std::string id, Duration at, std::string text) {
  return {Digest::trusted(std::move(id)), event::LogStream::kStdout, kStart + at, std::move(text)};
}

std::string plain(const std::vector<ProgressUpdate>& updates) {
  std::string text;
  auto view = make_plain_view(std::make_unique<Page>(text), false);
  for (const ProgressUpdate& update : updates) {
    view->update(update);
    view->refresh();
  }
  view->finish();
  return text;
}

TEST(PlainView, gives_each_step_a_number_and_an_end) {
  event::Vertex cached = vertex("b", "[2/2] RUN b", 1s, 1s);
  cached.cached = true;
  EXPECT_EQ(plain({{.vertices = {vertex("a", "[1/2] FROM x", 0s)}},
                   {.vertices = {vertex("a", "[1/2] FROM x", 0s, 1200ms), cached}}}),
            "#1 [1/2] FROM x\n#1 DONE 1.2s\n\n#2 [2/2] RUN b\n#2 CACHED\n");
}

TEST(PlainView, ends_a_step_that_started_again_without_having_ended) {
  EXPECT_EQ(plain({{.vertices = {vertex("a", "RUN a", 0s)}},
                   {.vertices = {vertex("a", "RUN a", 2s)}},
                   {.vertices = {vertex("a", "RUN a", 2s, 3s)}}}),
            "#1 RUN a\n#1 DONE 3.0s\n");
  const auto member = [](std::optional<Duration> started, std::optional<Duration> completed) {
    event::Vertex v = vertex("m", "part", started, completed);
    v.group = event::ProgressGroup{.id = "g", .name = "all parts"};
    return v;
  };
  EXPECT_EQ(plain({{.vertices = {member(0s, {})}}, {.vertices = {member(2s, {})}}, {.vertices = {member(2s, 3s)}}}),
            "#1 all parts\n#1 DONE 3.0s\n");
}

TEST(PlainView, prints_logs_with_their_time_and_joins_parts_of_a_line) {
  EXPECT_EQ(plain({{.vertices = {vertex("a", "RUN a", 0s)}, .logs = {log("a", 123ms, "one\ntw")}},
                   {.logs = {log("a", 12s, "o\nthree\n")}},
                   {.vertices = {vertex("a", "RUN a", 0s, 13s)}}}),
            "#1 RUN a\n#1 0.123 one\n#1 0.123 two\n#1 12.00 three\n#1 DONE 13.0s\n");
}

TEST(PlainView, tells_parts_and_warnings) {
  event::VertexStatus part{"sha256:x", Digest::trusted("a"), "", 500, 2000, kStart, kStart, std::nullopt};
  event::VertexStatus done = part;
  done.current = 2000;
  done.completed = done.timestamp = kStart + 1500ms;
  event::VertexWarning warning;
  warning.vertex = Digest::trusted("a");
  warning.short_text = "careful";
  EXPECT_EQ(plain({{.vertices = {vertex("a", "pull", 0s)}, .statuses = {part}},
                   {.statuses = {done}, .warnings = {warning}},
                   {.vertices = {vertex("a", "pull", 0s, 2s)}}}),
            "#1 pull\n#1 sha256:x 500B / 2.00kB\n#1 sha256:x 2.00kB / 2.00kB 1.5s done\n#1 WARN: "
            "careful\n#1 DONE 2.0s\n");
}

TEST(PlainView, repeats_the_last_lines_of_a_failed_step) {
  event::Vertex failed = vertex("a", "RUN false", 0s, 1s);
  failed.error = "exit code: 1";
  EXPECT_EQ(plain({{.vertices = {vertex("a", "RUN false", 0s)}, .logs = {log("a", 100ms, "oops\n")}},
                   {.vertices = {failed}}}),
            "#1 RUN false\n#1 0.100 oops\n#1 ERROR: exit code: 1\n------\n > RUN false:\n0.100 "
            "oops\n------\n");
  failed.error = "context canceled";
  EXPECT_EQ(plain({{.vertices = {failed}}}), "#1 RUN false\n#1 CANCELED\n");
}

TEST(PlainView, shows_a_group_as_one_step) {
  event::Vertex one = vertex("a", "copy a", 0s, 1s), two = vertex("b", "copy b", 2s, 4s);
  one.group = two.group = event::ProgressGroup{"g", "[group]", false};
  EXPECT_EQ(plain({{.vertices = {one, two}}}), "#1 [group]\n#1 DONE 3.0s\n");
}

TEST(PlainView, lets_running_steps_take_turns) {
  std::string text = plain({{.vertices = {vertex("a", "A", 0s), vertex("b", "B", 0s)}, .logs = {log("a", 1s, "x\n")}},
                            {.vertices = {vertex("b", "B", 0s, 1s)}},
                            {.vertices = {vertex("a", "A", 0s, 2s)}}});
  EXPECT_EQ(text, "#1 A\n#1 1.000 x\n#1 ...\n\n#2 B\n#2 DONE 1.0s\n\n#1 A\n#1 DONE 2.0s\n");
}

TEST(JsonView, writes_what_clients_of_the_api_write) {
  event::Vertex v = vertex("sha256:a", "n", 0s);
  v.inputs = {Digest::trusted("sha256:b")};
  EXPECT_EQ(progress_json({.vertices = {v}, .logs = {log("sha256:a", 1ms, "hi")}}),
            R"({"vertexes":[{"digest":"sha256:a","inputs":["sha256:b"],"name":"n","started":"2015-08-19T16:00:00Z"}],)"
            R"("logs":[{"vertex":"sha256:a","stream":1,"data":"aGk=","timestamp":"2015-08-19T16:00:00.001Z"}]})");
}

TEST(TtyView, redraws_in_one_write_and_ends_finished) {
  std::string text;
  auto view = make_tty_view(std::make_unique<Page>(text), {});
  view->update({.vertices = {vertex("a", "RUN a", 0s)}, .logs = {log("a", 1s, "\x1b[31mred\x1b[0m line\n")}});
  EXPECT_NE(text.find("[+] Building"), std::string::npos);
  EXPECT_NE(text.find("(0/1)"), std::string::npos);
  EXPECT_NE(text.find("=> => # red line"), std::string::npos);
  text.clear();
  view->update({.vertices = {vertex("a", "RUN a", 0s, 2s)}});
  view->finish();
  EXPECT_NE(text.find("\x1b[3A"), std::string::npos);
  EXPECT_NE(text.find("(1/1) FINISHED"), std::string::npos);
  EXPECT_NE(text.find("2.0s"), std::string::npos);
}

TEST(Bytes, are_decimal) {
  EXPECT_EQ(human_bytes(999), "999B");
  EXPECT_EQ(human_bytes(1234), "1.23kB");
  EXPECT_EQ(human_bytes(45'600'000), "45.60MB");
  EXPECT_EQ(human_bytes_short(1200), "1.2kB");
}

}  // namespace
}  // namespace kiln::client
