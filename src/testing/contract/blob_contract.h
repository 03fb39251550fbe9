// What every blob store must do, run on each implementation:
//
//   INSTANTIATE_TEST_SUITE_P(File, BlobContract, testing::Values(+[] { return make_store(); }));
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "content/blob_store.h"

namespace kiln::testing {

using BlobStoreFactory = std::function<std::shared_ptr<content::BlobStore>()>;

class BlobContract : public ::testing::TestWithParam<BlobStoreFactory> {
 protected:
  std::shared_ptr<content::BlobStore> store_ = GetParam()();
  Digest put(std::string_view bytes) {
    auto d = content::write_blob(*store_, bytes, "text/plain");
    EXPECT_TRUE(d.ok()) << d.status();
    return d.ok() ? d->digest : Digest();
  }
};

TEST_P(BlobContract, GivesBackWhatWasCommitted) {
  Digest d = put("hello blob");
  EXPECT_EQ(*content::read_blob(*store_, d), "hello blob");
  auto reader = store_->open(d, 6);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ((*reader)->size(), 10);
  EXPECT_EQ(*read_all(**reader, 100), "blob");
  char buffer[5];
  EXPECT_EQ(*(*reader)->read_at(1, buffer), 5u);
  EXPECT_EQ(std::string_view(buffer, 5), "ello ");
}

TEST_P(BlobContract, IsInvisibleUntilCommittedAndAfterAWrongDigest) {
  Digest wanted = Digest::of("abc");
  auto writer = *store_->ingest();
  ASSERT_TRUE(writer->write("abd").ok());
  EXPECT_FALSE(store_->info(Digest::of("abd"))->has_value());
  EXPECT_EQ(writer->commit({.digest = wanted}).status().code(), Code::kFailedPrecondition);
  EXPECT_FALSE(store_->info(wanted)->has_value());
  EXPECT_FALSE(store_->info(Digest::of("abd"))->has_value());
}

TEST_P(BlobContract, RefusesAWrongSize) {
  auto writer = *store_->ingest();
  ASSERT_TRUE(writer->write("abc").ok());
  EXPECT_EQ(writer->commit({.size = 4}).status().code(), Code::kFailedPrecondition);
}

TEST_P(BlobContract, AbsenceIsNotFoundAndOffsetsAreChecked) {
  EXPECT_FALSE(store_->info(Digest::of("none"))->has_value());
  EXPECT_TRUE(is_not_found(store_->open(Digest::of("none")).status()));
  EXPECT_EQ(store_->open(put("x"), 2).status().code(), Code::kOutOfRange);
  EXPECT_TRUE(store_->remove(Digest::of("none")).ok());
}

TEST_P(BlobContract, AReaderOutlivesRemoval) {
  Digest d = put("stays");
  auto reader = *store_->open(d);
  ASSERT_TRUE(store_->remove(d).ok());
  EXPECT_FALSE(store_->info(d)->has_value());
  EXPECT_EQ(*read_all(*reader, 100), "stays");
}

TEST_P(BlobContract, TwoIngestsOfOneBlobBothSucceed) {
  auto one = *store_->ingest();
  auto two = *store_->ingest();
  ASSERT_TRUE(one->write("same").ok() && two->write("same").ok());
  EXPECT_TRUE(one->commit({}).ok());
  EXPECT_TRUE(two->commit({}).ok());
}

TEST_P(BlobContract, WalksAndMergesLabels) {
  Digest a = put("a"), b = put("b");
  ASSERT_TRUE(store_->set_labels(a, {{"k", "1"}, {"gone", "x"}}).ok());
  ASSERT_TRUE(store_->set_labels(a, {{"l", "2"}, {"gone", ""}}).ok());
  EXPECT_TRUE(is_not_found(store_->set_labels(Digest::of("none"), {{"k", "v"}})));
  std::map<Digest, content::StringMap> seen;
  ASSERT_TRUE(store_
                  ->walk([&](const content::BlobInfo& info) {
                    seen[info.digest] = info.labels;
                    return ok();
                  })
                  .ok());
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[a], (content::StringMap{{"k", "1"}, {"l", "2"}}));
  EXPECT_TRUE(seen[b].empty());
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BlobContract);

}  // namespace kiln::testing
