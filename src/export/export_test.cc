// What leaves the daemon: images with patched configs, indexes with attestations, layouts as tar and
// files as tar; on real trees and blobs, without a client.
#include <gtest/gtest.h>
#include <unistd.h>

#include "content/blob_store_file.h"
#include "content/image_config.h"
#include "export/exporter.h"
#include "export/internal/files_tar.h"
#include "export/internal/image_config_patch.h"
#include "export/internal/image_options.h"
#include "export/internal/image_writer.h"
#include "export/internal/layout_tar.h"
#include "export/internal/purl.h"
#include "export/internal/result_tree.h"
#include "export/platform_check.h"
#include "host/fs.h"
#include "layer/tar_reader.h"

namespace kiln::exporter {
namespace {

using namespace internal;

constexpr const char* kConfig =
    R"({"architecture":"arm64","os":"linux","custom":{"b":1.50},"config":{"Cmd":["sh"]},"history":[{"created_by":"RUN a"},{"created_by":"ENV x","empty_layer":true}]})";

class ExportTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    dir_ = *host::TempDir::make("kiln-export-test-");
    blobs_ = *content::FileBlobStore::open(dir_.path() + "/content");
    store::TreesOptions options;
    options.root = dir_.path() + "/store";
    options.blobs = blobs_.get();
    options.pool = &pool_;
    options.snapshotter = "native";
    trees_ = *store::Trees::open(std::move(options));
    ports_.trees = trees_.get();
    ports_.blobs = blobs_.get();
    ports_.pool = &pool_;
  }

  store::TreeRef with_file(store::TreeRef parent, const std::string& path, const std::string& text) {
    auto tree = *trees_->make_mutable(std::move(parent), {.description = "write " + path});
    {
      auto open = *tree->open();
      auto file = host::open_in_root(open.root.get(), path, O_WRONLY | O_CREAT, 0644);
      EXPECT_TRUE(file.ok() && host::write_all(file->get(), text).ok());
    }
    return *tree->commit();
  }
  ExportContext context() { return ExportContext{.reporter = event::null_reporter()}; }
  Result<std::unique_ptr<PendingExport>> image(const BuildResult& result, Attrs attrs = {}) {
    KILN_ASSIGN_OR_RETURN(auto exporter, make_exporter("image", attrs, ports_));
    auto c = context();
    return exporter->run(result, c);
  }
  content::Manifest manifest(const content::Descriptor& d) {
    return *content::parse_manifest(*content::read_blob(*blobs_, d.digest));
  }
  std::map<std::string, std::string> members(const std::string& tar) {
    std::map<std::string, std::string> out;
    StringSource source(tar);
    layer::TarReader reader(source);
    while (const layer::TarEntry* entry = *reader.next()) {
      std::string name = entry->name, body;
      while (true) {
        auto piece = *reader.read_piece();
        if (piece.empty()) break;
        body += piece;
      }
      out[name] = body;
    }
    return out;
  }

  host::TempDir dir_;
  Pool pool_;
  std::unique_ptr<content::FileBlobStore> blobs_;
  std::unique_ptr<store::Trees> trees_;
  ExportPorts ports_;
};

TEST_F(ExportTest, AnImageKeepsWhatItDoesNotKnowAndReconcilesHistory) {
  BuildResult result;
  result.tree = with_file(with_file(nullptr, "a", "1"), "b", "2");
  result.metadata["containerimage.config"] = kConfig;
  auto pending = image(result, {{"name", "foo"}, {"annotation.k", "v"}});
  ASSERT_TRUE(pending.ok()) << pending.status();
  auto root = *(*pending)->descriptor();
  EXPECT_EQ(root.media_type, content::kOciManifest);
  EXPECT_EQ(root.platform->str(), "linux/arm64");
  EXPECT_EQ((*pending)->response().at("containerimage.digest"), root.digest.str());
  EXPECT_EQ((*pending)->response().at("image.name"), "foo");
  auto m = manifest(root);
  EXPECT_EQ(m.annotations.at("k"), "v");
  ASSERT_EQ(m.layers.size(), 2u);
  EXPECT_TRUE(m.layers[0].annotations.empty());
  std::string text = *content::read_blob(*blobs_, m.config.digest);
  EXPECT_EQ((*pending)->response().at("containerimage.config.digest"), m.config.digest.str());
  EXPECT_NE(text.find(R"("custom":{"b":1.50})"), std::string::npos);
  EXPECT_TRUE(text.starts_with(R"({"architecture":"arm64","config":{"Cmd":["sh"]},"created":")")) << text;
  auto config = *content::parse_image_config(text);
  EXPECT_EQ(config.diff_ids.size(), 2u);
  ASSERT_EQ(config.history.size(), 3u);
  EXPECT_TRUE(config.history[1].empty_layer && config.history[1].created);
  EXPECT_EQ(config.history[2].created_by, "write b");
  EXPECT_EQ(config.history[2].comment, "buildkit.exporter.image.v0");
  // The same again gives the same bytes.
  EXPECT_EQ((*image(result, {{"name", "foo"}, {"annotation.k", "v"}}))->descriptor()->digest, root.digest);
}

TEST_F(ExportTest, TheEpochClampsConfigAndLayers) {
  BuildResult result;
  result.tree = with_file(nullptr, "a", "1");
  Attrs attrs = {{"source-date-epoch", "1000"}, {"rewrite-timestamp", "true"}, {"compression", "uncompressed"}};
  auto pending = image(result, attrs);
  ASSERT_TRUE(pending.ok()) << pending.status();
  auto m = manifest(*(*pending)->descriptor());
  auto config = *content::parse_image_config(*content::read_blob(*blobs_, m.config.digest));
  EXPECT_EQ(format_rfc3339(*config.created), "1970-01-01T00:16:40Z");
  EXPECT_EQ(m.layers[0].media_type, content::kOciLayer);
  EXPECT_EQ(m.layers[0].digest, config.diff_ids[0]);
  StringSource source(*content::read_blob(*blobs_, m.layers[0].digest));
  layer::TarReader reader(source);
  EXPECT_EQ((*reader.next())->mtime.seconds, 1000);
  EXPECT_EQ(manifest(*(*image(result, attrs))->descriptor()).layers[0].digest, m.layers[0].digest);
}

TEST_F(ExportTest, ScratchAndDockerTypes) {
  BuildResult result;
  auto pending = image(result, {{"oci-mediatypes", "false"}});
  ASSERT_TRUE(pending.ok()) << pending.status();
  EXPECT_EQ((*pending)->descriptor()->media_type, content::kDockerManifest);
  EXPECT_TRUE(manifest(*(*pending)->descriptor()).layers.empty());
  EXPECT_FALSE(image(result, {{"oci-mediatypes", "false"}, {"oci-artifact", "true"}}).ok());
  EXPECT_FALSE(image(result, {{"annotation-index.k", "v"}}).ok());
  EXPECT_FALSE(make_exporter("image", {{"push", "maybe"}}, ports_).ok());
  EXPECT_FALSE(make_exporter("image", {{"compression", "lzma"}}, ports_).ok());
  EXPECT_EQ(message_of(make_exporter("x", {}, ports_).status()), "exporter \"x\" could not be found");
}

TEST_F(ExportTest, AttestationsMakeAnIndex) {
  BuildResult result;
  result.tree = with_file(nullptr, "a", "1");
  Attestation a;
  a.path = "provenance.json";
  a.data = R"({"z": 1, "a": "<"})";
  a.predicate_type = "https://slsa.dev/provenance/v1";
  result.attestations[Platform::host().normalized().str_full()] = {a};
  auto pending = image(result, {{"name", "localhost:5000/x/y:v1"}});
  ASSERT_TRUE(pending.ok()) << pending.status();
  auto index = *content::parse_index(*content::read_blob(*blobs_, (*pending)->descriptor()->digest));
  ASSERT_EQ(index.manifests.size(), 2u);
  EXPECT_EQ(index.manifests[1].platform->os, "unknown");
  EXPECT_EQ(index.manifests[1].annotations.at("vnd.docker.reference.digest"), index.manifests[0].digest.str());
  auto m = manifest(index.manifests[1]);
  EXPECT_EQ(m.subject->digest, index.manifests[0].digest);
  EXPECT_EQ(m.layers[0].annotations.at("in-toto.io/predicate-type"), a.predicate_type);
  std::string statement = *content::read_blob(*blobs_, m.layers[0].digest);
  EXPECT_EQ(statement,
            R"({"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1",)"
            R"("subject":[{"name":"pkg:docker/localhost%3A5000/x/y@v1?platform=linux%2Famd64","digest":{"sha256":")" +
                std::string(index.manifests[0].digest.hex()) + R"("}}],"predicate":{"z":1,"a":"\u003c"}})");
  // A frontend may not speak for the daemon.
  a.data.reset();
  a.tree = result.tree;
  result.attestations.begin()->second = {a};
  EXPECT_EQ(message_of(image(result).status()), "frontend may not set provenance attestations");
}

TEST_F(ExportTest, TheCoreSbomLearnsTheLayersOfFiles) {
  BuildResult result;
  result.tree = with_file(with_file(nullptr, "a", "1"), "b", "2");
  Attestation a;
  a.path = "sbom.spdx.json";
  a.metadata["sbom-core"] = "sbom";
  a.data =
      R"({"spdxVersion":"SPDX-2.3","files":[{"fileName":"/a"},{"fileName":"b","comment":"kept"},{"fileName":"gone"}]})";
  a.predicate_type = "https://spdx.dev/Document";
  result.attestations[Platform::host().normalized().str_full()] = {a};
  auto pending = image(result);
  ASSERT_TRUE(pending.ok()) << pending.status();
  auto index = *content::parse_index(*content::read_blob(*blobs_, (*pending)->descriptor()->digest));
  std::string lowest = manifest(index.manifests[0]).layers[0].digest.str();
  std::string text = *content::read_blob(*blobs_, manifest(index.manifests[1]).layers[0].digest);
  EXPECT_NE(text.find(R"({"fileName":"/a","comment":"layerID: )" + lowest +
                      R"("},{"fileName":"b","comment":"kept"},{"fileName":"gone"}])"),
            std::string::npos)
      << text;
}

TEST_F(ExportTest, ALayoutTarIsSortedAndComplete) {
  BuildResult result;
  result.tree = with_file(nullptr, "a", "1");
  ImageOptions options;
  options.oci_types = true;
  auto c = context();
  auto written = ImageWriter(ports_, options, c).write(result, "");
  ASSERT_TRUE(written.ok()) << written.status();
  StringSink sink;
  LayoutTar layout{written->root, {"docker.io/library/foo:v2"}, true};
  ASSERT_TRUE(write_layout_tar(layout, *written->blobs, sink, {}).ok());
  auto m = members(sink.text());
  EXPECT_EQ(m.at("oci-layout"), R"({"imageLayoutVersion":"1.0.0"})");
  EXPECT_NE(m.at("index.json").find(R"("org.opencontainers.image.ref.name":"v2")"), std::string::npos);
  EXPECT_NE(m.at("manifest.json").find(R"("RepoTags":["foo:v2"])"), std::string::npos);
  EXPECT_EQ(m.size(), 3u + 2 + 3);  // files, folders, blobs
  for (const auto& [name, body] : m) {
    if (!name.starts_with("blobs/sha256/") || name.size() < 20) continue;
    EXPECT_EQ("blobs/sha256/" + std::string(Digest::of(body).hex()), name);
  }
}

TEST_F(ExportTest, FilesOfAResultCarryTheEpochAndStatements) {
  BuildResult result;
  result.tree = with_file(with_file(nullptr, "z", "zz"), "a", "aa");
  Attestation a;
  a.path = "sbom.spdx.json";
  a.data = "{}";
  a.predicate_type = "https://spdx.dev/Document";
  result.attestations[Platform::host().normalized().str_full()] = {a};
  Attrs attrs = {{"source-date-epoch", "77"}, {"attestation-prefix", "x-"}};
  auto files = files_of(result, *internal::TreeOptions::take(attrs), ports_, {});
  ASSERT_TRUE(files.ok()) << files.status();
  StringSink sink;
  ASSERT_TRUE(write_files_tar(*files->front().files, sink, {}).ok());
  auto m = members(sink.text());
  EXPECT_EQ(m.at("a"), "aa");
  EXPECT_NE(m.at("x-sbom.spdx.json").find(R"("name": "z")"), std::string::npos);
  StringSource source(sink.text());
  layer::TarReader reader(source);
  EXPECT_EQ((*reader.next())->mtime.seconds, 77);
}

TEST_F(ExportTest, AResultOfOtherPlatformsThanAskedIsWarnedOf) {
  auto work = trees_->make_mutable(nullptr, {});
  BuildResult one;
  one.tree = *(*work)->commit();
  one.metadata["containerimage.config"] = R"({"os":"linux","architecture":"amd64","os.version":"1"})";
  BuildResult two;
  two.trees = {{"linux/amd64", one.tree}, {"linux/arm64", one.tree}};
  two.metadata["refs.platforms"] =
      R"({"Platforms":[{"ID":"linux/amd64","Platform":{"os":"linux","architecture":"amd64"}},{"ID":"linux/arm64","Platform":{"os":"linux","architecture":"arm64"}}]})";
  struct Case {
    const BuildResult& result;
    std::string requested;
    std::vector<std::string> warnings;
  };
  const BuildResult nothing;
  const Case cases[] = {
      {nothing, "linux/arm64", {}},
      {one, "linux/amd64", {}},
      {two, "linux/arm64,linux/amd64", {}},
      {one, "linux/arm64", {"Requested platform \"linux/arm64\" does not match result platform \"linux(1)/amd64\""}},
      {one, "linux/amd64,linux/arm64", {"Multiple platforms requested but result is not multi-platform"}},
      {two, "linux/amd64", {"Requested platforms linux/amd64 do not match result platforms linux/amd64,linux/arm64"}},
      {two, "linux/amd64,linux/amd64", {"Duplicate platform result requested \"linux/amd64\""}},
  };
  for (const Case& c : cases) EXPECT_EQ(platform_warnings(c.result, c.requested), c.warnings) << c.requested;
}

TEST(Annotations, AreReadByPlaceAndPlatform) {
  Attrs attrs = {{"annotation.a", "1"},       {"annotation-manifest[linux/arm64].b", "2"},
                 {"annotation-index.c", "3"}, {"annotation-manifest-descriptor.d", "4"},
                 {"annotations.e", "5"},      {"push", "true"}};
  auto group = AnnotationGroup::take(attrs);
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ(attrs.size(), 2u);
  Platform arm = *Platform::parse("linux/arm64");
  EXPECT_EQ(group->for_platform(&arm).manifest.size(), 2u);
  EXPECT_EQ(group->for_platform(nullptr).manifest.size(), 1u);
  EXPECT_EQ(group->for_platform(nullptr).index.at("c"), "3");
  EXPECT_EQ(group->for_platform(nullptr).manifest_descriptor.at("d"), "4");
  Attrs wrong = {{"annotation-shelf.x", "1"}};
  EXPECT_FALSE(AnnotationGroup::take(wrong).ok());
}

TEST(Purl, NamesImages) {
  Platform amd = *Platform::parse("linux/amd64");
  EXPECT_EQ(*image_purl("busybox", amd), "pkg:docker/busybox@latest?platform=linux%2Famd64");
  EXPECT_FALSE(image_purl("UPPER", amd).ok());
}

}  // namespace
}  // namespace kiln::exporter
