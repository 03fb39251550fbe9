// Signatures are those of the vendors' own examples; a store finds what it wrote, refreshes what is old,
// and speaks both versions of the protocol of GitHub Actions. The far end is a scripted transport.
#include "remotecache/object_store.h"

#include <gtest/gtest.h>

#include "base/base64.h"
#include "registry/scripted_transport.h"
#include "remotecache/aws_credentials.h"
#include "remotecache/aws_sign.h"
#include "remotecache/azure_sign.h"
#include "remotecache/gha_token.h"
#include "remotecache/http_call.h"

namespace kiln::remotecache {
namespace {

using registry::Request;
using registry::ScriptedAnswer;
using registry::ScriptedTransport;

// The account of Amazon's examples of header-based signatures.
const AwsCredentials kExample{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "", std::nullopt};
constexpr std::string_view kEmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string signature_of(Request request, std::string_view payload) {
  Status status = sign_aws(request, kExample, {"us-east-1", "s3"}, payload, *parse_rfc3339("2013-05-24T00:00:00Z"));
  EXPECT_TRUE(status.ok()) << status;
  const std::string header(request.headers.get("Authorization"));
  return header.substr(header.find("Signature=") + 10);
}

TEST(AwsSignature, IsThatOfAmazonsExamples) {
  Request get{.url = "https://examplebucket.s3.amazonaws.com/test.txt", .headers = {{"Range", "bytes=0-9"}}};
  EXPECT_EQ(signature_of(get, kEmptyHash), "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  Request put{.method = "PUT",
              .url = "https://examplebucket.s3.amazonaws.com/" + encode_path("test$file.text"),
              .headers = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}}};
  EXPECT_EQ(signature_of(put, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
  Request lifecycle{.url = "https://examplebucket.s3.amazonaws.com/?lifecycle"};
  EXPECT_EQ(signature_of(lifecycle, kEmptyHash), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  Request list{.url = "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J"};
  EXPECT_EQ(signature_of(list, kEmptyHash), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(AwsProfiles, AreReadFromBothKindsOfFiles) {
  const std::string text =
      "# mine\n[default]\naws_access_key_id = a\naws_secret_access_key=b\n\n[profile other]\n"
      "aws_access_key_id=c\naws_secret_access_key = d=\naws_session_token = e\n";
  EXPECT_EQ(read_aws_profile(text, "default")->secret_access_key, "b");
  EXPECT_EQ(read_aws_profile(text, "other")->secret_access_key, "d=");
  EXPECT_EQ(read_aws_profile(text, "other")->session_token, "e");
  EXPECT_FALSE(read_aws_profile(text, "nobody"));
}

TEST(AzureSignature, SignsWhatMicrosoftsExampleSigns) {
  Request request{
      .url = "https://myaccount.blob.core.windows.net/mycontainer?restype=container&comp=metadata&timeout=20",
      .headers = {{"x-ms-version", "2015-02-21"}, {"x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"}}};
  EXPECT_EQ(*azure_string_to_sign(request, "myaccount", 0),
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n"
            "/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20");
  EXPECT_EQ(http_date(*parse_rfc3339("2015-06-26T23:39:12Z")), "Fri, 26 Jun 2015 23:39:12 GMT");
  EXPECT_FALSE(sign_azure(request, {"myaccount", "no base64!"}, Time{}).ok());
}

TEST(Xml, GivesTheFirstElementsText) {
  EXPECT_EQ(xml_text("<a><ETag>&quot;1&amp;2&quot;</ETag><ETag>3</ETag></a>", "ETag"), "\"1&2\"");
  EXPECT_EQ(xml_text("<a><ETag>1</a>", "ETag"), "");
}

// ---- stores over a scripted service -------------------------------------------------------------

class OneBlob final : public content::BlobProvider {
 public:
  explicit OneBlob(std::string text) : text_(std::move(text)) {
    blob.media_type = content::kOciLayerGzip;
    blob.digest = Digest::of(text_);
    blob.size = static_cast<std::int64_t>(text_.size());
  }
  Result<std::unique_ptr<ByteSource>> open(const content::Descriptor&, std::int64_t offset, std::stop_token) override {
    return std::make_unique<StringSource>(text_.substr(static_cast<std::size_t>(offset)));
  }
  content::Descriptor blob;

 private:
  std::string text_;
};

StoreServices services(ScriptedTransport& http, Clock& clock, std::map<std::string, std::string> environment = {}) {
  return {&http, &clock, [environment = std::move(environment)](const std::string& name) -> std::optional<std::string> {
            auto it = environment.find(name);
            return it == environment.end() ? std::nullopt : std::optional(it->second);
          }};
}

std::string token(std::string_view scopes, Time now) {
  const auto at = std::chrono::system_clock::to_time_t(now);
  std::string claims = fmt::format(R"({{"ac":"{}","exp":{},"nbf":{}}})", scopes, at + 60, at - 60);
  std::string body = base64_encode(claims);
  while (body.ends_with('=')) body.pop_back();
  for (char& c : body) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return "e30." + body + ".x";
}

TEST(S3Store, PutsGetsAndRefreshes) {
  std::map<std::string, std::string> objects;
  ManualClock clock(*parse_rfc3339("2026-11-28T00:00:00Z"));
  ScriptedTransport http([&](const Request& r) -> ScriptedAnswer {
    EXPECT_NE(std::string(r.headers.get("Authorization")).find("Credential=id/20261128/r1/s3/aws4_request"),
              std::string::npos);
    const std::string key = registry::parse_url(r.url)->path;
    if (r.method == "PUT") {
      if (r.headers.has("x-amz-copy-source")) return {};
      objects[key] = r.body_text;
      return {};
    }
    if (!objects.contains(key)) return {.status = 404, .headers = {}, .body = "<Error><Code>NoSuchKey</Code></Error>"};
    return {.status = 200, .headers = {{"Last-Modified", "Thu, 26 Nov 2026 00:00:00 GMT"}}, .body = objects[key]};
  });
  const Attrs attrs = {
      {"bucket", "b"},         {"region", "r1"},           {"endpoint_url", "http://s3"}, {"use_path_style", "true"},
      {"access_key_id", "id"}, {"secret_access_key", "s"}, {"name", "one;two"},           {"prefix", "p/"}};
  auto store = *make_s3_store(attrs, services(http, clock));
  OneBlob layer("bytes");
  EXPECT_FALSE(*store->keep(layer.blob, {}));
  ASSERT_TRUE(store->put(layer.blob, layer, {}).ok());
  EXPECT_TRUE(*store->keep(layer.blob, {}));
  EXPECT_EQ(http.requests().back().headers.get("x-amz-copy-source"),
            "b/p/blobs/" + registry::url_encode(layer.blob.digest.str()));
  ASSERT_TRUE(store->put_config("{}", {}).ok());
  EXPECT_TRUE(objects.contains("/b/p/manifests/one") && objects.contains("/b/p/manifests/two"));
  EXPECT_EQ(*store->configs({}), std::vector<std::string>{"{}"});
  EXPECT_EQ(*content::read_blob(*store, layer.blob, {}), "bytes");
}

TEST(S3Store, TellsWhatIsMissing) {
  ManualClock clock;
  ScriptedTransport http([](const Request&) { return ScriptedAnswer{}; });
  EXPECT_EQ(message_of(make_s3_store({}, services(http, clock)).status()), "bucket ($AWS_BUCKET) not set for s3 cache");
  EXPECT_TRUE(make_s3_store({}, services(http, clock, {{"AWS_BUCKET", "b"}, {"AWS_REGION", "r"}})).ok());
  EXPECT_FALSE(
      make_s3_store({{"bucket", "b"}, {"region", "r"}, {"upload_parallelism", "0"}}, services(http, clock)).ok());
  EXPECT_FALSE(make_s3_store({{"bucket", "b"}, {"region", "r"}, {"retry_mode", "never"}}, services(http, clock)).ok());
}

TEST(S3Store, TriesAgainWhenTheServiceIsBusy) {
  ManualClock clock(*parse_rfc3339("2026-11-28T00:00:00Z"));
  int tries = 0;
  ScriptedTransport http([&](const Request&) -> ScriptedAnswer {
    if (++tries == 1) return {.status = 503, .headers = {}, .body = "<Error><Code>SlowDown</Code></Error>"};
    return {.status = 404, .headers = {}, .body = ""};
  });
  auto store = *make_s3_store({{"bucket", "b"}, {"region", "r"}, {"access_key_id", "i"}, {"secret_access_key", "s"}},
                              services(http, clock));
  EXPECT_TRUE(store->configs({})->empty());
  EXPECT_EQ(tries, 2);
  EXPECT_EQ(http.requests()[0].url, "https://b.s3.r.amazonaws.com/manifests/buildkit");
}

TEST(AzblobStore, MakesItsContainerAndNeverOverwritesBlobs) {
  std::map<std::string, std::string> objects;
  ManualClock clock(*parse_rfc3339("2026-11-28T00:00:00Z"));
  ScriptedTransport http([&](const Request& r) -> ScriptedAnswer {
    EXPECT_TRUE(std::string(r.headers.get("Authorization")).starts_with("SharedKey acc:"));
    const std::string path = registry::parse_url(r.url)->path;
    if (r.method == "PUT") {
      if (objects.contains(path) && r.headers.get("If-None-Match") == "*")
        return {.status = 409, .headers = {}, .body = ""};
      objects[path] = r.body_text;
      return {.status = 201, .headers = {}, .body = ""};
    }
    if (!objects.contains(path)) return {.status = 404, .headers = {}, .body = ""};
    return {.status = 200, .headers = {}, .body = objects[path]};
  });
  auto store = *make_azblob_store(
      {{"account_url", "https://acc.blob.core.windows.net/"}, {"secret_access_key", "a2V5"}, {"prefix", "p"}},
      services(http, clock));
  OneBlob layer("bytes");
  EXPECT_FALSE(*store->keep(layer.blob, {}));
  EXPECT_TRUE(objects.contains("/buildkit-cache"));
  ASSERT_TRUE(store->put(layer.blob, layer, {}).ok());
  ASSERT_TRUE(store->put(layer.blob, layer, {}).ok());
  ASSERT_TRUE(store->put_config("{}", {}).ok());
  EXPECT_TRUE(objects.contains("/buildkit-cache/p/manifests/buildkit"));
  EXPECT_EQ(*store->configs({}), std::vector<std::string>{"{}"});
  EXPECT_EQ(*content::read_blob(*store, layer.blob, {}), "bytes");
}

TEST(GhaToken, SaysWhatMayBeWritten) {
  const Time now = *parse_rfc3339("2026-11-28T00:00:00Z");
  const std::string scopes =
      R"([{\"Scope\":\"refs/heads/main\",\"Permission\":1},{\"Scope\":\"refs/pull/7\",\"Permission\":3}])";
  auto read = read_gha_token(token(scopes, now), now);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_FALSE((*read)[0].writable);
  EXPECT_TRUE((*read)[1].writable);
  EXPECT_FALSE(read_gha_token(token(scopes, now), now + std::chrono::hours(1)).ok());
  EXPECT_FALSE(read_gha_token("a.b", now).ok());
}

class GhaStoreTest : public testing::TestWithParam<int> {
 protected:
  // A cache service in memory: keys are written once, found by their beginnings.
  ScriptedAnswer answer(const Request& r) {
    const std::string path = registry::parse_url(r.url)->path;
    const auto json = [](std::string text) {
      return ScriptedAnswer{.status = 200, .headers = {}, .body = std::move(text)};
    };
    const auto field = [&](const char* name) {
      const std::string mark = fmt::format("\"{}\":\"", name);
      const std::size_t at = r.body_text.find(mark);
      return at == std::string::npos
                 ? ""
                 : r.body_text.substr(at + mark.size(), r.body_text.find('"', at + mark.size()) - at - mark.size());
    };
    if (path.ends_with("/CreateCacheEntry") || (r.method == "POST" && path.ends_with("/caches"))) {
      const std::string key = field("key");
      if (blobs_.contains(key) || open_.contains(key))
        return {.status = 409,
                .headers = {},
                .body = R"({"code":"already_exists","message":"cache entry already exists"})"};
      open_.insert(key);
      pending_ = key;
      return json(GetParam() == 2 ? R"({"ok":true,"signed_upload_url":"http://up/put?sig=1"})" : R"({"cacheId":7})");
    }
    if (r.url == "http://up/put?sig=1") {
      bytes_ = r.body_text;
      return {.status = 201, .headers = {}, .body = ""};
    }
    if (r.method == "PATCH") {
      bytes_ = r.body_text;
      return {.status = 204, .headers = {}, .body = ""};
    }
    if (path.ends_with("/FinalizeCacheEntryUpload") || (r.method == "POST" && path.ends_with("/caches/7"))) {
      blobs_[pending_] = bytes_;
      return json(R"({"ok":true,"entry_id":"1"})");
    }
    if (path.starts_with("/blob/")) return json(blobs_[*registry::url_decode(path.substr(6))]);
    return find(path, field("key"), r);
  }

  ScriptedAnswer find(const std::string& path, std::string wanted, const Request& r) {
    const bool second = path.ends_with("/GetCacheEntryDownloadURL");
    if (!second) {
      const std::string query = registry::parse_url(r.url)->query;
      wanted = *registry::url_decode(query.substr(5, query.find('&') - 5));
    }
    std::string found;
    for (const auto& [key, bytes] : blobs_) {
      if (key.starts_with(wanted)) found = key;
    }
    if (found.empty())
      return second ? ScriptedAnswer{.status = 200, .headers = {}, .body = R"({"ok":false})"}
                    : ScriptedAnswer{.status = 204, .headers = {}, .body = ""};
    const std::string url = "http://up/blob/" + registry::url_encode(found);
    return {.status = 200,
            .headers = {},
            .body = second ? fmt::format(R"({{"ok":true,"matched_key":"{}","signed_download_url":"{}"}})", found, url)
                           : fmt::format(R"({{"cacheKey":"{}","archiveLocation":"{}"}})", found, url)};
  }

  std::map<std::string, std::string> blobs_;
  std::set<std::string> open_;
  std::string pending_, bytes_;
};

TEST_P(GhaStoreTest, FindsWhatItWroteAndNumbersItsIndex) {
  ManualClock clock(*parse_rfc3339("2026-11-28T00:00:00Z"));
  ScriptedTransport http([this](const Request& r) { return answer(r); });
  const std::string scopes = R"([{\"Scope\":\"refs/heads/main\",\"Permission\":3}])";
  auto made = make_gha_store({{"url", "http://gha/"},
                              {"url_v2", "http://gha2/"},
                              {"version", std::to_string(GetParam())},
                              {"token", token(scopes, clock.now())},
                              {"scope", "mine"}},
                             services(http, clock));
  ASSERT_TRUE(made.ok()) << made.status();
  auto store = *made;
  OneBlob layer("bytes");
  EXPECT_FALSE(*store->keep(layer.blob, {}));
  ASSERT_TRUE(store->put(layer.blob, layer, {}).ok());
  EXPECT_TRUE(*store->keep(layer.blob, {}));
  ASSERT_TRUE(store->put(layer.blob, layer, {}).ok()) << "somebody else's equal blob is fine";
  EXPECT_TRUE(store->configs({})->empty());
  Status first = store->put_config("{\"a\":1}", {});
  ASSERT_TRUE(first.ok()) << first;
  ASSERT_TRUE(store->put_config("{\"a\":2}", {}).ok());
  const std::string index = "index-mine-1-" + std::string(Digest::of("refs/heads/main").hex().substr(0, 8));
  EXPECT_TRUE(blobs_.contains(index + "#1") && blobs_.contains(index + "#2"));
  EXPECT_EQ(*content::read_blob(*store, layer.blob, {}), "bytes");
}
INSTANTIATE_TEST_SUITE_P(Versions, GhaStoreTest, testing::Values(1, 2));

}  // namespace
}  // namespace kiln::remotecache
