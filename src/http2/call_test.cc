// gRPC's calls between both ends: what is asked arrives, what is answered comes back, and every way to end
// is told.
#include "http2/call.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <future>

#include "http2/internal/fields.h"
#include "http2/pair_fixture.h"

namespace kiln::http2 {
namespace {

using namespace std::chrono_literals;

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 2654435761u >> 11);
  return text;
}

// Answers with what it was asked, and its metadata.
void echo(const std::shared_ptr<ServedCall>& call) {
  Pieces message;
  while (call->read(message)) {
    if (!call->write({}, owned(flat(message)), call->more_at_hand() ? Flush::kLater : Flush::kNow)) break;
  }
  call->finish({});
}

TEST(Calls, AnswersAndMetadataArriveWhateverTheirSize) {
  for (std::size_t piece : {std::size_t{1}, std::size_t{1000}, SIZE_MAX}) {
    Fields metadata;
    std::string method;
    Pair pair(
        [&](const std::shared_ptr<ServedCall>& call) {
          metadata = call->metadata();
          method = call->method();
          echo(call);
        },
        piece);
    for (std::size_t size : {0, 1, 4, 5, 4096, 300'000, 5'000'000}) {
      if (piece == 1 && size > 300'000) continue;
      std::string answer = "none", question = pattern(size);
      CallOptions options;
      options.metadata = {{"Key", "größe"},
                          {"data-bin", std::string("\0\xff", 2)},
                          {"bad name", "x"},
                          {"line", "a\nb"},
                          {"long", std::string(70'000, 'v')}};
      Outcome outcome = Call(*pair.client, "/s/m", options).ask(question, answer);
      EXPECT_EQ(outcome.code, 0) << outcome.message;
      EXPECT_TRUE(answer == question) << size;
      EXPECT_EQ(method, "/s/m");
      EXPECT_EQ(field_of(metadata, "key"), "gr%C3%B6%C3%9Fe");
      EXPECT_EQ(field_of(metadata, "data-bin"), std::string_view("\0\xff", 2));
      EXPECT_EQ(field_of(metadata, "line"), "a%0Ab");
      EXPECT_EQ(field_of(metadata, "long")->size(), 70'000u);
    }
  }
}

TEST(Calls, ErrorsComeWithWordsAndDetails) {
  Outcome told{5, "no 'größe' here\n100%", std::string("\x01\x00\xfe", 3)};
  Pair pair([&](const std::shared_ptr<ServedCall>& call) { call->finish(told); });
  std::string answer;
  Outcome outcome = Call(*pair.client, "/s/m", {}).ask("x", answer);
  EXPECT_EQ(outcome.code, 5);
  EXPECT_EQ(outcome.message, told.message);
  EXPECT_EQ(outcome.details, told.details);
}

// As Go's programs send them.
TEST(Calls, WordsMayEndInABlank) {
  Outcome told{3, " invalid signal: ", {}};
  Pair pair([&](const std::shared_ptr<ServedCall>& call) { call->finish(told); });
  std::string answer;
  Outcome outcome = Call(*pair.client, "/s/m", {}).ask("x", answer);
  EXPECT_EQ(outcome.code, 3);
  EXPECT_EQ(outcome.message, told.message);
}

TEST(Calls, AQuestionGoesInOneSend) {
  Pair pair(echo);
  std::string answer;
  const int before = pair.up->sends();
  EXPECT_EQ(Call(*pair.client, "/s/m", {}).ask("question", answer).code, 0);
  EXPECT_EQ(pair.up->sends() - before, 1);
}

TEST(Calls, ManyAtOnceDoNotMix) {
  Pair pair(echo);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] {
      for (int n = 0; n < 50; ++n) {
        std::string answer, question = fmt::format("{}/{}", i, n) + pattern(static_cast<std::size_t>(n) * 777);
        EXPECT_EQ(Call(*pair.client, "/s/m", {}).ask(question, answer).code, 0);
        EXPECT_TRUE(answer == question);
      }
    });
  }
}

TEST(Calls, MessagesStreamBothWays) {
  Pair pair(echo, 700);
  Call call(*pair.client, "/s/m", {});
  std::jthread writer([&] {
    for (int i = 0; i < 20'000; ++i) {
      EXPECT_TRUE(call.write(fmt::format("message {}", i), {}, i % 10 == 9 ? Flush::kNow : Flush::kLater));
    }
    call.writes_done();
  });
  Pieces message;
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(call.read(message));
    ASSERT_EQ(flat(message), fmt::format("message {}", i));
  }
  EXPECT_FALSE(call.read(message));
  EXPECT_EQ(call.finish().code, 0);
}

// The reader takes nothing until the writer can give nothing more; then all of it.
TEST(Calls, ASlowReaderHoldsBackTheWriter) {
  std::promise<void> go;
  std::atomic<std::size_t> read = 0;
  Pair pair([&](const std::shared_ptr<ServedCall>& call) {
    go.get_future().wait();
    Pieces message;
    while (call->read(message)) read += size_of(message);
    call->finish({});
  });
  Call call(*pair.client, "/s/m", {});
  std::atomic<std::size_t> written = 0;
  const std::string piece = pattern(100'000);
  std::jthread writer([&] {
    for (int i = 0; i < 1000; ++i) {
      ASSERT_TRUE(call.write({}, owned(piece), Flush::kNow));
      written += piece.size();
    }
    call.writes_done();
  });
  std::size_t last = SIZE_MAX;
  while (last != written || written == 0) {
    last = written;
    std::this_thread::sleep_for(50ms);
  }
  EXPECT_LT(written, 8u << 20);
  EXPECT_LT(pair.up->bytes_sent(), 5u << 20);
  go.set_value();
  writer.join();
  EXPECT_EQ(call.finish().code, 0);
  EXPECT_EQ(read, 1000 * piece.size());
}

TEST(Calls, ASlowCarrierHoldsBackTheWriter) {
  Pair pair(echo);
  Call call(*pair.client, "/s/m", {});
  pair.up->hold();
  std::atomic<int> written = 0;
  std::jthread writer([&] {
    for (int i = 0; i < 100; ++i, ++written) call.write({}, owned(std::string(100'000, 'x')), Flush::kNow);
  });
  for (int last = -1; last != written; std::this_thread::sleep_for(50ms)) last = written;
  EXPECT_LT(written, 30);
  call.cancel();
  writer.join();
  EXPECT_EQ(call.finish().code, static_cast<int>(Code::kCancelled));
}

TEST(Calls, EndWhenCancelledAndInTime) {
  std::atomic<int> broken = 0;
  Pair pair([&](const std::shared_ptr<ServedCall>& call) {
    Pieces message;
    while (call->read(message)) {
    }
    if (!call->complete()) ++broken;
    if (call->method() == "/silent") std::this_thread::sleep_for(200ms);
    call->finish({});
  });
  Call call(*pair.client, "/s/m", {});
  std::jthread canceller([&] {
    std::this_thread::sleep_for(20ms);
    call.cancel();
  });
  Pieces message;
  EXPECT_FALSE(call.read(message));
  EXPECT_EQ(call.finish().code, static_cast<int>(Code::kCancelled));
  EXPECT_FALSE(call.write("late", {}, Flush::kNow));
  std::string answer;
  EXPECT_EQ(Call(*pair.client, "/silent", {{}, 20ms}).ask("x", answer).code, static_cast<int>(Code::kDeadlineExceeded));
  for (int i = 0; i < 500 && broken < 1; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(broken, 1);
}

// A client that still writes learns that the answer is there.
TEST(Calls, AnAnswerBeforeTheEndOfTheQuestionEndsTheCall) {
  Pair pair([](const std::shared_ptr<ServedCall>& call) { call->finish({9, "not now", {}}); });
  Call call(*pair.client, "/s/m", {});
  for (int i = 0; i < 100'000 && call.write({}, owned(std::string(10'000, 'x')), Flush::kNow); ++i) {
  }
  Outcome outcome = call.finish();
  EXPECT_EQ(outcome.code, 9);
  EXPECT_EQ(outcome.message, "not now");
}

TEST(Calls, EndWithTheConnection) {
  for (bool by_server : {true, false}) {
    Pair pair([](const std::shared_ptr<ServedCall>& call) {
      Pieces message;
      while (call->read(message)) {
      }
      EXPECT_FALSE(call->complete());
      EXPECT_FALSE(call->write("late", {}, Flush::kNow));
    });
    Call call(*pair.client, "/s/m", {});
    std::jthread ender([&] {
      std::this_thread::sleep_for(20ms);
      (by_server ? pair.server : pair.client)->end(environment_error(Code::kUnavailable, "gone"));
    });
    Pieces message;
    EXPECT_FALSE(call.read(message));
    EXPECT_EQ(call.finish().code, static_cast<int>(Code::kUnavailable));
    ender.join();
    EXPECT_TRUE(pair.up->closed());
    std::string answer;
    EXPECT_EQ(Call(*pair.client, "/s/m", {}).ask("x", answer).code, static_cast<int>(Code::kUnavailable));
  }
}

// Raw streams of a server that does not keep to gRPC.
TEST(Calls, WhatIsNoAnswerOfGrpcIsAnError) {
  struct Case {
    Fields begin;
    std::string body;
    Fields trailers;
    Code code;
  };
  const Case cases[] = {
      {{{":status", "200"}, {"grpc-status", "7"}, {"grpc-message", "no%20way"}}, "", {}, Code::kPermissionDenied},
      {{{":status", "503"}}, "sorry", {}, Code::kUnavailable},
      {{{":status", "404"}}, "", {}, Code::kUnimplemented},
      {{{":status", "200"}}, "", {}, Code::kInternal},
      {{{":status", "200"}}, "", {{"grpc-status", "99"}}, Code::kUnknown},
      {{{":status", "200"}}, "", {{"grpc-status", "x"}}, Code::kUnknown},
      {{{":status", "200"}}, "abc", {{"grpc-status", "0"}}, Code::kInternal},
      {{{":status", "200"}}, std::string("\x01\0\0\0\x01x", 6), {{"grpc-status", "0"}}, Code::kInternal},
      {{{":status", "200"}}, std::string("\0\xff\xff\xff\xff", 5) + "xyz", {{"grpc-status", "0"}}, Code::kInternal},
  };
  for (const Case& one : cases) {
    auto client = Connection::client();
    auto server = Connection::server([&](const std::shared_ptr<Stream>& stream) {
      stream->respond(one.begin);
      stream->write(one.body, {}, Flush::kNow);
      stream->end(one.trailers);
    });
    auto up = std::make_shared<JoinedCarrier>(SIZE_MAX), down = std::make_shared<JoinedCarrier>(SIZE_MAX);
    up->join(client, server);
    down->join(server, client);
    server->start(down);
    client->start(up);
    std::string answer;
    Outcome outcome = Call(*client, "/s/m", {}).ask("x", answer);
    EXPECT_EQ(outcome.code, static_cast<int>(one.code)) << outcome.message;
    EXPECT_EQ(answer, "");
    client->end(ok());
    server->end(ok());
  }
}

TEST(Fields, TextTravelsThroughThem) {
  for (std::string text : {"", "plain", "100 %", "größe\n", "%4", "%zz%41"}) {
    EXPECT_EQ(decode_message(encode_message(text)), text);
    EXPECT_EQ(decode_binary(encode_binary(text)), text);
  }
  EXPECT_EQ(decode_binary("YQ"), "a");
  EXPECT_EQ(decode_binary("YWI"), "ab");
  EXPECT_EQ(decode_binary("Y"), std::nullopt);
  EXPECT_EQ(decode_binary("Y*=="), std::nullopt);
}

}  // namespace
}  // namespace kiln::http2
