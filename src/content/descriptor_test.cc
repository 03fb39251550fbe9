// Documents are read tolerantly and written byte for byte as Go writes them. The expected texts were
// made by encoding/json from the image-spec structs.
#include "content/descriptor.h"

#include <gtest/gtest.h>

#include "base/base64.h"
#include "base/json_text.h"
#include "content/image_config.h"
#include "content/json_text.h"

namespace kiln::content {
namespace {

Descriptor layer(std::string_view type) {
  Descriptor d;
  d.media_type = type;
  d.digest = Digest::of("x");
  d.size = 1;
  return d;
}

TEST(Manifest, PrintsIndentedInStructOrderAndReadsBack) {
  Manifest m;
  m.media_type = kOciManifest;
  m.config = empty_json_descriptor();
  m.layers = {layer(kOciLayerGzip)};
  m.layers[0].annotations = {{"b", "<&>"}, {"a", "1"}};
  std::string text = to_json(m);
  EXPECT_EQ(text, R"({
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "size": 2,
    "data": "e30="
  },
  "layers": [
    {
      "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
      "digest": "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
      "size": 1,
      "annotations": {
        "a": "1",
        "b": "\u003c\u0026\u003e"
      }
    }
  ]
})");
  auto back = parse_manifest(text);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->layers, m.layers);
  EXPECT_EQ(back->config, m.config);
}

TEST(Index, KeepsPlatformsAndAnEmptyListIsNull) {
  Index index;
  index.media_type = kOciIndex;
  EXPECT_EQ(to_json(index, JsonLayout::kCompact),
            R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":null})");
  Descriptor d = layer(kOciManifest);
  d.platform = Platform{.os = "linux", .architecture = "arm", .variant = "v7"};
  index.manifests = {d};
  auto back = parse_index(to_json(index));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->manifests[0].platform, d.platform);
}

TEST(Descriptor, MalformedDocumentsNameTheField) {
  EXPECT_EQ(parse_descriptor("[]").status().code(), Code::kFailedPrecondition);
  EXPECT_EQ(parse_descriptor(R"({"digest":"sha256:xx"})").status().code(), Code::kFailedPrecondition);
  EXPECT_NE(message_of(parse_descriptor(R"({"size":"1"})").status()).find("'size'"), std::string::npos);
  EXPECT_FALSE(parse_manifest(R"({"config":{"digest":3}})").ok());
}

TEST(MediaTypes, TranslateBothWays) {
  EXPECT_EQ(to_docker_type(kOciLayerGzip), kDockerLayerGzip);
  EXPECT_EQ(to_oci_type(kDockerForeignLayerGzip), kOciForeignLayerGzip);
  EXPECT_EQ(to_distributable_type(kDockerForeignLayerGzip), kDockerLayerGzip);
  EXPECT_EQ(to_distributable_type(kOciLayerZstd), kOciLayerZstd);
  EXPECT_TRUE(is_layer_type(kDockerForeignLayer));
}

TEST(ImageConfig, PrintsAsTheDockerStructAndReadsBack) {
  ImageConfig image;
  image.created = *parse_rfc3339("2024-05-01T10:00:00.5Z");
  image.platform = Platform{.os = "linux", .architecture = "amd64"};
  image.config.env = {"PATH=/bin", "A=<b>"};
  image.config.cmd = {"sh"};
  image.config.exposed_ports = {"80/tcp"};
  image.config.healthcheck = Healthcheck{.test = {"NONE"}, .interval_ns = 5};
  image.diff_ids = {Digest::of("x")};
  image.history = {{.created = image.created, .created_by = "RUN a && b"}, {.empty_layer = true}};
  std::string text = to_json(image);
  EXPECT_EQ(text,
            R"({"created":"2024-05-01T10:00:00.5Z","architecture":"amd64","os":"linux","rootfs":{"type":"layers",)"
            R"("diff_ids":["sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"]},"history":[)"
            R"({"created":"2024-05-01T10:00:00.5Z","created_by":"RUN a \u0026\u0026 b"},{"empty_layer":true}],)"
            R"("config":{"ExposedPorts":{"80/tcp":{}},"Env":["PATH=/bin","A=\u003cb\u003e"],"Cmd":["sh"],)"
            R"("Healthcheck":{"Test":["NONE"],"Interval":5}}})");
  auto back = parse_image_config(text);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->config, image.config);
  EXPECT_EQ(back->history, image.history);
  EXPECT_EQ(back->diff_ids, image.diff_ids);
}

TEST(ConfigDocument, KeepsUnknownKeysRawAndSortsTheTop) {
  auto doc = ConfigDocument::parse(R"({ "zeta": {"b": 1.50, "a": [1, 2]}, "os": "li<nux", "n": null })");
  ASSERT_TRUE(doc.ok());
  doc->set("rootfs", rootfs_json({}));
  EXPECT_EQ(doc->to_json(),
            R"({"n":null,"os":"li\u003cnux","rootfs":{"type":"layers","diff_ids":null},"zeta":{"b":1.50,"a":[1,2]}})");
  EXPECT_FALSE(ConfigDocument::parse("null").ok());
  EXPECT_FALSE(ConfigDocument::parse(R"({"a":1,})").ok());
}

TEST(JsonWriter, ReindentsRawValuesAndReplacesBrokenUtf8) {
  JsonWriter w(JsonLayout::kIndented);
  w.begin_object();
  w.key("r");
  w.raw(R"({"a":[],"b":{"c":"x:y"}})");
  w.key("e");
  w.begin_array();
  w.end_array();
  w.end_object();
  EXPECT_EQ(w.take(), "{\n  \"r\": {\n    \"a\": [],\n    \"b\": {\n      \"c\": \"x:y\"\n    }\n  },\n  \"e\": []\n}");
  EXPECT_EQ(json_string("a\xff\xe2\x80\xa8\x01"), R"("a\ufffd\u2028\u0001")");
}

TEST(Base64, RoundTrips) {
  for (std::string text : {"", "a", "ab", "abc", "\xff\x00z"}) EXPECT_EQ(base64_decode(base64_encode(text)), text);
  EXPECT_FALSE(base64_decode("a==="));
  EXPECT_FALSE(base64_decode("ab=c"));
}

}  // namespace
}  // namespace kiln::content
