// What a record keeps of an image: everything that describes it, no layer, and nothing that is not there.
#include "daemon/kept_images.h"

#include <gtest/gtest.h>

#include "host/fs.h"
#include "testing/blob_store_memory.h"

namespace kiln::daemon {
namespace {

class KeptImages : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = host::TempDir::make("kept-images-test").value();
    history_ = history::History::open({.root = dir_.path() + "/h"}).value();
  }
  content::Descriptor put(std::string_view bytes, std::string_view type) {
    return content::write_blob(images_, bytes, type).value();
  }
  bool has(const content::Descriptor& blob) { return history_->blobs().info(blob.digest).value().has_value(); }

  host::TempDir dir_;
  kiln::testing::MemoryBlobStore images_;
  std::unique_ptr<history::History> history_;
};

TEST_F(KeptImages, AreTheirDescriptionsWithoutLayers) {
  const auto layer = put("bytes of a layer", content::kOciLayer);
  const auto config = put("{}", content::kOciConfig);
  const auto statement = put("{\"a\":1}", content::kInTotoStatement);
  content::Manifest image;
  image.media_type = content::kOciManifest;
  image.config = config;
  image.layers = {layer};
  content::Manifest attestation = image;
  attestation.layers = {statement};
  content::Index index;
  index.media_type = content::kOciIndex;
  index.manifests = {put(content::to_json(image), image.media_type),
                     put(content::to_json(attestation), attestation.media_type)};
  content::Descriptor elsewhere = index.manifests[0];
  elsewhere.digest = Digest::of("an image that is not here");
  index.manifests.push_back(elsewhere);
  const auto root = put(content::to_json(index), index.media_type);

  const std::vector<std::string> kept = keep_image(images_, *history_, root);
  EXPECT_EQ(kept.size(), 5u);
  for (const auto& blob : {root, index.manifests[0], index.manifests[1], config, statement})
    EXPECT_TRUE(has(blob)) << blob.digest.str();
  EXPECT_FALSE(has(layer));
}

TEST_F(KeptImages, ThatAreDamagedOrNameThemselvesEnd) {
  const auto broken = put("no manifest", content::kOciManifest);
  EXPECT_EQ(keep_image(images_, *history_, broken).size(), 1u);
  content::Descriptor missing = broken;
  missing.digest = Digest::of("nothing");
  EXPECT_TRUE(keep_image(images_, *history_, missing).empty());
}

}  // namespace
}  // namespace kiln::daemon
