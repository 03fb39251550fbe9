// Rules decide and rewrite as their authors expect: the last match wins, captures are filled in,
// endless rewriting ends; a client's own verifier may ask, deny and replace.
#include <gtest/gtest.h>

#include "policy/source_policy.h"
#include "policy/verifier.h"
#include "wire/gateway.pb.h"
#include "wire/policysession.pb.h"

namespace kiln::policy {
namespace {

Rule rule(Action action, std::string identifier, Match match = Match::kWildcard, std::string target = {}) {
  Rule out{.action = action, .identifier = std::move(identifier), .match = match};
  out.has_update = !target.empty();
  out.new_identifier = std::move(target);
  return out;
}
SourcePolicy rules(std::vector<Rule> list) { return SourcePolicy({Policy{.version = 1, .rules = std::move(list)}}); }

TEST(SourcePolicy, LetsTheLastMatchingRuleDecide) {
  SourcePolicy policy = rules(
      {rule(Action::kDeny, "docker-image://*"), rule(Action::kAllow, "docker-image://docker.io/library/alpine:*")});
  graph::SourceOp alpine{.identifier = "docker-image://docker.io/library/alpine:3"};
  EXPECT_TRUE(policy.evaluate(alpine).ok());
  graph::SourceOp other{.identifier = "docker-image://docker.io/library/busybox:1"};
  Status status = policy.evaluate(other).status();
  EXPECT_EQ(status.code(), Code::kPermissionDenied);
  EXPECT_EQ(message_of(status),
            "source \"docker-image://docker.io/library/busybox:1\" denied by policy: source denied by policy");
}

TEST(SourcePolicy, RewritesWithWhatThePatternCaptured) {
  struct Case {
    Rule rule;
    std::string before, after;
  };
  const Case cases[] = {
      {rule(Action::kConvert, "docker-image://docker.io/library/*:*", Match::kWildcard,
            "docker-image://mirror.example/${1}:${2}"),
       "docker-image://docker.io/library/alpine:3", "docker-image://mirror.example/alpine:3"},
      {rule(Action::kConvert, R"(docker-image://([a-z.]+)/library/(?P<name>\w+))", Match::kRegex,
            "docker-image://m/$1/${name}"),
       "docker-image://docker.io/library/alpine", "docker-image://m/docker.io/alpine"},
      {rule(Action::kConvert, "https://a/x", Match::kExact, "https://b/$1"), "https://a/x", "https://b/$1"},
  };
  for (const Case& c : cases) {
    graph::SourceOp op{.identifier = c.before};
    Result<bool> changed = rules({c.rule}).evaluate(op);
    ASSERT_TRUE(changed.ok()) << changed.status();
    EXPECT_TRUE(*changed);
    EXPECT_EQ(op.identifier, c.after);
  }
}

TEST(SourcePolicy, HeedsConstraintsAndSetsAttributes) {
  Rule pin = rule(Action::kConvert, "https://host/file");
  pin.has_update = true;
  pin.new_attrs = {{"http.checksum", "sha256:x"}};
  pin.constraints = {{"http.filename", "^a.*", Condition::kMatches}};
  SourcePolicy policy = rules({pin});
  graph::SourceOp op{.identifier = "https://host/file", .attrs = {{"http.filename", "b"}}};
  EXPECT_FALSE(*policy.evaluate(op));
  op.attrs["http.filename"] = "abc";
  EXPECT_TRUE(*policy.evaluate(op));
  EXPECT_EQ(op.attrs["http.checksum"], "sha256:x");
}

TEST(SourcePolicy, EndsEndlessRewriting) {
  SourcePolicy policy = rules({rule(Action::kConvert, "a://*", Match::kWildcard, "a://x$1")});
  graph::SourceOp op{.identifier = "a://"};
  EXPECT_EQ(message_of(policy.evaluate(op).status()), "too many mutations on a single source: too many operations");
}

TEST(SourcePolicy, ShowsGitSourcesWithoutTheirTransport) {
  graph::SourceOp op{.identifier = "git://github.com/a/b.git#main",
                     .attrs = {{"git.fullurl", "git@github.com:a/b.git"}}};
  EXPECT_EQ(normalized_identifier(op), "git://github.com/a/b.git#main");
}

TEST(Verifier, AnswersQuestionsThenCarriesTheReasons) {
  namespace session = moby::buildkit::v1::sourcepolicy::policysession;
  graph::Op op;
  op.kind = graph::SourceOp{.identifier = "docker-image://x"};
  int asked = 0;
  AskClient ask = [&](const std::string& bytes) -> Result<std::string> {
    session::CheckPolicyRequest request;
    EXPECT_TRUE(request.ParseFromString(bytes));
    session::CheckPolicyResponse response;
    if (++asked == 1) {
      response.mutable_request()->mutable_source()->set_identifier("docker-image://x");
    } else {
      EXPECT_EQ(request.source().image().digest(), "sha256:d");
      response.mutable_decision()->set_action(moby::buildkit::v1::sourcepolicy::DENY);
      response.mutable_decision()->add_denymessages()->set_message("not signed");
    }
    return response.SerializeAsString();
  };
  ResolveSource resolve = [](const std::string&) -> Result<std::string> {
    moby::buildkit::v1::frontend::ResolveSourceMetaResponse response;
    response.mutable_image()->set_digest("sha256:d");
    return response.SerializeAsString();
  };
  Status status = ask_verifier(SourcePolicy(), op, ask, resolve).status();
  EXPECT_EQ(status.code(), Code::kPermissionDenied);
  EXPECT_NE(get_detail(status, kDenialDetail)->find("not signed"), std::string::npos);
}

}  // namespace
}  // namespace kiln::policy
