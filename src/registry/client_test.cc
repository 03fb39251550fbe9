// The client against a scripted registry: authorisation, retries, resumption, mirrors, uploads.
#include "registry/client.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "registry/scripted_transport.h"

namespace kiln::registry {
namespace {

const std::string kManifest =
    R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:)" +
    std::string(64, 'c') + R"(","size":2},"layers":[]})";

Options quick(std::map<std::string, HostConfig> hosts = {}) {
  return {.hosts = std::move(hosts),
          .user_agent = "test",
          .concurrency = 4,
          .backoff = {std::chrono::milliseconds(1), std::chrono::milliseconds(1)}};
}

Reference ref_of(const char* text) { return *Reference::parse(text); }

ScriptedAnswer manifest_answer() {
  return {.status = 200,
          .headers = {{"Content-Type", std::string(content::kOciManifest)},
                      {"Docker-Content-Digest", Digest::of(kManifest).str()}},
          .body = kManifest};
}

content::Descriptor blob_of(const std::string& bytes) {
  return {.media_type = std::string(content::kOciLayer),
          .digest = Digest::of(bytes),
          .size = static_cast<std::int64_t>(bytes.size())};
}

TEST(Client, ResolvesWithATokenAndKeepsIt) {
  int tokens = 0;
  ScriptedTransport http([&](const Request& request) -> ScriptedAnswer {
    if (request.url.starts_with("https://auth.example/token")) {
      ++tokens;
      EXPECT_EQ(request.url, "https://auth.example/token?scope=repository%3Alibrary%2Fbusybox%3Apull&service=reg");
      return {.body = R"({"token":"T","expires_in":300})"};
    }
    if (request.headers.get("Authorization") != "Bearer T") {
      return {
          .status = 401,
          .headers = {
              {"WWW-Authenticate",
               R"(Bearer realm="https://auth.example/token",service="reg",scope="repository:library/busybox:pull")"}}};
    }
    return manifest_answer();
  });
  Registry registry(http, quick());
  Result<Resolved> first = registry.resolve(ref_of("busybox"), {});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->descriptor.digest, Digest::of(kManifest));
  EXPECT_EQ(first->host, "registry-1.docker.io");
  ASSERT_TRUE(registry.resolve(ref_of("busybox"), {}).ok());
  EXPECT_EQ(tokens, 1);
  EXPECT_EQ(http.lines().size(), 4u);  // bare, token, again; and one for the second resolve
}

TEST(Client, WaitsAndTriesAgainWhenTheRegistryIsBusy) {
  int asked = 0;
  ScriptedTransport http([&](const Request&) -> ScriptedAnswer {
    if (++asked == 1) return {.status = 429, .headers = {{"Retry-After", "0"}}};
    if (asked == 2) return {.error = peer_error(Code::kUnavailable, "reset")};
    return manifest_answer();
  });
  Registry registry(http, quick());
  EXPECT_TRUE(registry.resolve(ref_of("example.com/app"), {}).ok());
  asked = 0;
  ScriptedTransport down([&](const Request&) -> ScriptedAnswer {
    ++asked;
    return {.status = 503};
  });
  Registry other(down, quick());
  EXPECT_EQ(other.resolve(ref_of("example.com/app"), {}).status().code(), Code::kUnavailable);
  EXPECT_EQ(asked, 3);
}

TEST(Client, TriesOnceMoreWhereAHostSaysNothing) {
  int asked = 0;
  ScriptedTransport http([&](const Request&) -> ScriptedAnswer {
    ++asked;
    Status stalled = peer_error(Code::kUnavailable, "no data for 60 s");
    set_detail(stalled, kStalledDetail, "1");
    return {.error = stalled};
  });
  Registry registry(http, quick());
  EXPECT_EQ(registry.resolve(ref_of("example.com/app"), {}).status().code(), Code::kUnavailable);
  EXPECT_EQ(asked, 2);
  asked = 0;
  EXPECT_EQ(registry.fetch_manifest(ref_of("example.com/app"), {}, {}).status().code(), Code::kUnavailable);
  EXPECT_EQ(asked, 2);
}

TEST(Client, SaysNotFoundWithTheWholeName) {
  ScriptedTransport http([](const Request&) -> ScriptedAnswer { return {.status = 404}; });
  Registry registry(http, quick());
  Status status = registry.resolve(ref_of("example.com/app"), {}).status();
  EXPECT_EQ(message_of(status), "example.com/app:latest: not found");
  EXPECT_TRUE(is_not_found(status));
}

TEST(Client, ResumesABlobWhereTheConnectionWasCut) {
  std::string bytes(100'000, 'x');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31);
  ScriptedTransport http([&](const Request& request) -> ScriptedAnswer {
    std::string_view range = request.headers.get("Range");
    if (range.empty()) return {.status = 200, .body = bytes, .cut_after = 70'000};
    EXPECT_EQ(range, "bytes=70000-");
    return {.status = 206, .body = bytes.substr(70'000)};
  });
  Registry registry(http, quick());
  auto stream = registry.open_blob(ref_of("example.com/app"), blob_of(bytes), 0, {});
  ASSERT_TRUE(stream.ok()) << stream.status();
  Result<std::string> got = read_all(**stream, 1 << 20);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(*got, bytes);
}

TEST(Client, RefusesABlobWithAnotherDigest) {
  ScriptedTransport http([&](const Request&) -> ScriptedAnswer { return {.status = 200, .body = "evil"}; });
  Registry registry(http, quick());
  auto stream = registry.open_blob(ref_of("example.com/app"), blob_of("good"), 0, {});
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ(read_all(**stream, 100).status().code(), Code::kFailedPrecondition);
}

TEST(Client, AsksMirrorsFirstForPullsAndNeverForPushes) {
  ScriptedTransport http([&](const Request& request) -> ScriptedAnswer {
    if (request.url.starts_with("https://mirror.example")) return {.status = 500};
    if (request.method == "PUT") return {.status = 201};
    return manifest_answer();
  });
  Registry registry(http, quick({{"docker.io", {.mirrors = {"mirror.example/cache"}}}}));
  ASSERT_TRUE(registry.resolve(ref_of("busybox"), {}).ok());
  EXPECT_EQ(http.lines(), (std::vector<std::string>{
                              "HEAD https://mirror.example/v2/cache/library/busybox/manifests/latest?ns=docker.io",
                              "HEAD https://registry-1.docker.io/v2/library/busybox/manifests/latest"}));
  content::Descriptor descriptor{.media_type = std::string(content::kOciManifest), .digest = Digest::of(kManifest)};
  ASSERT_TRUE(registry.push_manifest(ref_of("busybox:new"), descriptor, kManifest, {}).ok());
  EXPECT_EQ(http.lines().back(), "PUT https://registry-1.docker.io/v2/library/busybox/manifests/new");
}

TEST(Client, BelievesAMirrorThatKnowsOfNothingWhenTheOriginIsOutOfReach) {
  ScriptedTransport http([&](const Request& request) -> ScriptedAnswer {
    if (request.url.starts_with("https://mirror.example")) return {.status = 404};
    return {.error = peer_error(Code::kUnavailable, "no route")};
  });
  Registry registry(http, quick({{"docker.io", {.mirrors = {"mirror.example"}}}}));
  EXPECT_EQ(message_of(registry.resolve(ref_of("nothing"), {}).status()),
            "docker.io/library/nothing:latest: not found");
}

TEST(Client, MountsABlobFromAnotherRepository) {
  ScriptedTransport http([&](const Request& request) -> ScriptedAnswer {
    if (request.method == "HEAD") return {.status = 404};
    EXPECT_NE(request.url.find("from=team%2Fbase"), std::string::npos);
    return {.status = 201};
  });
  Registry registry(http, quick());
  auto pushed = registry.push_blob(ref_of("example.com/app"), blob_of("x"), nullptr, {"team/base"}, {});
  ASSERT_TRUE(pushed.ok()) << pushed.status();
  EXPECT_EQ(*pushed, Pushed::kMounted);
}

// Each upload reads a download from the same host: none may wait for the places of the others.
TEST(Client, CopiesBlobsFromOneRepositoryOfAHostToAnother) {
  ScriptedTransport http([&](const Request& request) -> ScriptedAnswer {
    if (request.method == "HEAD") return {.status = 404};
    if (request.method == "GET") return {.status = 200, .body = "layer"};
    if (request.method == "POST") return {.status = 202, .headers = {{"Location", "/up/1"}}};
    return {.status = request.body_text == "layer" ? 201 : 400};
  });
  Registry registry(http, quick());
  std::vector<std::jthread> pushes;
  std::atomic<int> pushed = 0;
  for (int i = 0; i < 12; ++i) {
    pushes.emplace_back([&] {
      BlobOpener open = [&](std::uint64_t offset) {
        return registry.open_blob(ref_of("example.com/from"), blob_of("layer"), offset, {});
      };
      if (registry.push_blob(ref_of("example.com/to"), blob_of("layer"), open, {}, {}).ok()) ++pushed;
    });
  }
  pushes.clear();
  EXPECT_EQ(pushed, 12);
}

TEST(Client, UploadsWithoutShowingItsPasswordToAnotherHost) {
  ScriptedTransport http([&](const Request& request) -> ScriptedAnswer {
    if (request.url.starts_with("https://storage.example")) {
      EXPECT_FALSE(request.headers.has("Authorization"));
      EXPECT_EQ(request.body_text, "layer");
      return {.status = 201};
    }
    if (!request.headers.has("Authorization"))
      return {.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=\"x\""}}};
    EXPECT_EQ(request.headers.get("Authorization"), "Basic bWU6c2VjcmV0");
    if (request.method == "HEAD") return {.status = 404};
    return {.status = 202, .headers = {{"Location", "https://storage.example/up?id=1"}}};
  });
  Registry registry(http, quick());
  Access access{.credentials = fixed_login({"me", "secret"})};
  BlobOpener open = [](std::uint64_t) -> Result<std::unique_ptr<ByteSource>> {
    return std::unique_ptr<ByteSource>(std::make_unique<StringSource>("layer"));
  };
  auto pushed = registry.push_blob(ref_of("example.com/app"), blob_of("layer"), open, {}, access);
  ASSERT_TRUE(pushed.ok()) << pushed.status();
  EXPECT_EQ(*pushed, Pushed::kUploaded);
}

TEST(Client, FallsBackToPlainHttpOnlyForInsecureHosts) {
  auto script = [](const Request& request) -> ScriptedAnswer {
    if (request.url.starts_with("http://")) return manifest_answer();
    Status plain = peer_error(Code::kFailedPrecondition, "http: server gave HTTP response to HTTPS client");
    set_detail(plain, kPlainTextDetail, "1");
    return {.error = plain};
  };
  ScriptedTransport http(script);
  Registry registry(http, quick());
  EXPECT_FALSE(registry.resolve(ref_of("reg.example:5000/app"), {}).ok());
  EXPECT_TRUE(registry.resolve(ref_of("reg.example:5000/app"), {.insecure = true}).ok());
  std::size_t before = http.lines().size();
  EXPECT_TRUE(registry.resolve(ref_of("reg.example:5000/app"), {.insecure = true}).ok());
  EXPECT_EQ(http.lines().size(), before + 1);  // remembered
}

}  // namespace
}  // namespace kiln::registry
