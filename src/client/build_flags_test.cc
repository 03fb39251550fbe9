// Proves that flags are read as BuildKit's users write them, with errors that name what is wrong.
#include <gtest/gtest.h>

#include "base/text.h"
#include "client/build_request.h"
#include "client/rpc.h"

namespace kiln::client {
namespace {

EnvironmentLookup environment(std::map<std::string, std::string> values = {}) {
  return [values](std::string_view name) -> std::optional<std::string> {
    auto at = values.find(std::string(name));
    return at == values.end() ? std::nullopt : std::optional(at->second);
  };
}

template <typename T>
std::string error(const Result<T>& result) {
  return std::string(message_of(result.status()));
}

std::string shown(const Attributes& attributes) {
  std::string out;
  for (const auto& [key, value] : attributes) out += key + "=" + value + ";";
  return out;
}

TEST(Caches, are_csv_or_a_plain_reference) {
  EXPECT_EQ(shown(parse_cache("type=registry,ref=h/a", CacheUse::kExport, environment())->attributes),
            "mode=min;ref=h/a;");
  EXPECT_EQ(parse_cache("h/a/b:1", CacheUse::kImport, environment())->type, "registry");
  EXPECT_EQ(error(parse_cache("ref=x,type=", CacheUse::kImport, environment())), "--import-cache requires type=<type>");
  auto github = environment({{"ACTIONS_CACHE_SERVICE_V2", "True"},
                             {"ACTIONS_CACHE_URL", "u1"},
                             {"ACTIONS_RESULTS_URL", "u2"},
                             {"ACTIONS_RUNTIME_TOKEN", "t"}});
  EXPECT_EQ(shown(parse_cache("type=gha", CacheUse::kImport, github)->attributes), "token=t;url=u1;url_v2=u2;");
  EXPECT_FALSE(parse_cache("type=gha", CacheUse::kImport, environment()).ok());
}

TEST(Outputs, know_where_they_may_go) {
  EXPECT_EQ(parse_output("type=local,dest=out", Stdout::kTerminal)->dir, "out");
  EXPECT_TRUE(parse_output("type=tar", Stdout::kOther)->to_stdout);
  EXPECT_EQ(parse_output("type=oci,tar=false,dest=d", Stdout::kOther)->dir, "d");
  EXPECT_EQ(shown(parse_output("type=image,name=a,push=true", Stdout::kOther)->attributes), "name=a;push=true;");
  EXPECT_EQ(error(parse_output("type=tar", Stdout::kTerminal)),
            "invalid output option: output: output file is required for tar exporter. refusing to "
            "write to console");
  EXPECT_EQ(error(parse_output("type=local", Stdout::kOther)),
            "invalid output option: output: output directory is required for local exporter");
  EXPECT_EQ(error(parse_output("type=image,dest=x", Stdout::kOther)),
            "invalid output option: output: output x is not supported by image exporter");
  EXPECT_EQ(error(parse_output("dest=x", Stdout::kOther)), "--output requires type=<type>");
}

TEST(Secrets, come_from_files_and_variables) {
  EXPECT_EQ(parse_secret("id=a,src=/x", environment())->file, "/x");
  EXPECT_EQ(parse_secret("id=a,type=env,src=V", environment())->env, "V");
  EXPECT_EQ(parse_secret("id=A", environment({{"A", "1"}}))->env, "A");
  EXPECT_EQ(parse_secret("id=A", environment())->file, "A");
  EXPECT_EQ(error(parse_secret("id=a,foo=b", environment())), "unexpected key 'foo' in 'foo=b'");
}

TEST(Agents, have_sockets_keys_or_nothing) {
  EXPECT_TRUE(parse_agent("default")->paths.empty());
  EXPECT_EQ(join(parse_agent("a=k1,k2")->paths, ","), "k1,k2");
  EXPECT_TRUE(parse_agent("a=/s,raw=true")->raw);
  EXPECT_FALSE(parse_agent("a=raw=true").ok());
}

TEST(Options, take_bare_build_arguments_from_the_environment) {
  auto env = environment({{"A", "1"}, {"SOURCE_DATE_EPOCH", "7"}});
  EXPECT_EQ(shown(*parse_options({"target=x", "build-arg:A", "build-arg:B", "build-arg:C=2"}, env)),
            "build-arg:A=1;build-arg:C=2;build-arg:SOURCE_DATE_EPOCH=7;target=x;");
  EXPECT_EQ(error(parse_options({"target"}, env)), "invalid value target");
  EXPECT_EQ(error(parse_options({"build-arg:"}, env)), "invalid value build-arg:");
}

TEST(Entitlements, and_registry_tls_are_checked) {
  EXPECT_TRUE(check_entitlement("device=x").ok());
  EXPECT_FALSE(check_entitlement("network").ok());
  EXPECT_EQ(error(parse_registry_tls("host=h,ca=c,key=k")),
            "--registry-auth-tlscontext requires cert=<cert>,key=<key>");
  EXPECT_TRUE(parse_registry_tls("host=h,insecure=true").ok());
}

TEST(Metadata, unpacks_objects_only) {
  EXPECT_EQ(metadata_json({{"a", "eyJmb28iOm51bGx9"}, {"b", "W10="}, {"c", "e30="}, {"d", "sha256:x"}}),
            "{\n  \"a\": {\n    \"foo\": null\n  },\n  \"b\": \"W10=\",\n  \"c\": \"e30=\",\n  \"d\": "
            "\"sha256:x\"\n}");
}

TEST(Addresses, name_the_program_that_reaches_them) {
  EXPECT_EQ(join(*carrier_command("docker-container://box?context=c"), " "),
            "docker --context=c exec -i box buildctl dial-stdio");
  EXPECT_EQ(join(*carrier_command("ssh://me@h:22/x.sock"), " "),
            "ssh -l me -p 22 -- h buildctl --addr unix:///x.sock dial-stdio");
  EXPECT_TRUE(carrier_command("tcp://h:1")->empty());
  EXPECT_FALSE(carrier_command("docker-container://").ok());
  EXPECT_FALSE(carrier_command("foo://x").ok());
}

TEST(Excerpts, mark_the_lines_of_the_error) {
  EXPECT_EQ(source_excerpt("Dockerfile", "FROM x\nRUN a\nRUN b\nRUN c\nRUN d\nRUN e", {{3, 3}}),
            "Dockerfile:3\n--------------------\n   1 |     FROM x\n   2 |     RUN a\n   3 | >>> "
            "RUN b\n   4 |     RUN c\n   5 |     RUN d\n--------------------\n");
  EXPECT_EQ(source_excerpt("D", "a", {{4, 4}}), "");
}

}  // namespace
}  // namespace kiln::client
