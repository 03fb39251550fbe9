// What a build asks for beyond the ordinary is parsed, checked against the configuration, and
// decides which devices its steps get.
#include "daemon/entitlements.h"

#include <gtest/gtest.h>

#include "host/fd.h"
#include "host/fs.h"
#include "sandbox/container_devices.h"

namespace kiln::daemon {
namespace {

const std::set<std::string> kAll = {"network.host", "security.insecure", "device"};

class Devices : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::move(host::TempDir::make("kiln-devices-")).value();
    ASSERT_TRUE(host::write_file(folder_.path() + "/a.yaml", R"(
cdiVersion: "0.6.0"
kind: "v.com/gpu"
devices:
- name: one
  annotations:
    org.mobyproject.buildkit.device.class: fast
  containerEdits: {"env": ["ONE=1"]}
- name: two
  containerEdits: {"env": ["TWO=1"]}
- name: free
  annotations:
    org.mobyproject.buildkit.device.autoallow: true
  containerEdits: {"env": ["FREE=1"]}
)")
                    .ok());
    devices_ =
        std::make_unique<sandbox::ContainerDevices>(sandbox::ContainerDevicesOptions{.folders = {folder_.path()}});
  }

  // The names a step gets that asks for `asked`, or the error's text.
  std::string given(const std::vector<std::string>& entitlements, const std::vector<graph::CdiDevice>& asked) {
    auto granted = Entitlements::parse(entitlements, kAll);
    if (!granted.ok()) return std::string(message_of(granted.status()));
    graph::ExecOp exec;
    exec.cdi_devices = asked;
    if (Status status = granted->check(exec, devices_.get()); !status.ok()) return std::string(message_of(status));
    std::string out;
    for (const auto& device : exec.cdi_devices) out += (out.empty() ? "" : " ") + device.name;
    return out;
  }

  host::TempDir folder_;
  std::unique_ptr<sandbox::ContainerDevices> devices_;
};

TEST(Entitlements, AreKnownByNameAndAllowedByTheConfiguration) {
  EXPECT_EQ(message_of(Entitlements::parse({"network.hos"}, kAll).status()), "unknown entitlement network.hos");
  EXPECT_EQ(message_of(Entitlements::parse({"network.host=x"}, kAll).status()), "unknown entitlement network.host=x");
  const Status refused = Entitlements::parse({"device=v.com/gpu"}, {"network.host"}).status();
  EXPECT_EQ(message_of(refused), "granting entitlement device is not allowed by build daemon configuration");
  EXPECT_EQ(refused.code(), Code::kPermissionDenied);
  const Entitlements host = *Entitlements::parse({"network.host"}, kAll);
  EXPECT_TRUE(host.check_host_network().ok());
  EXPECT_EQ(message_of(host.check_insecure()), "security.insecure is not allowed");
}

TEST_F(Devices, NeedAnEntitlementUnlessTheirDescriptionSaysOtherwise) {
  EXPECT_EQ(given({}, {{"v.com/gpu=free", false}}), "v.com/gpu=free");
  EXPECT_EQ(given({}, {{"v.com/gpu=one", false}}), "device v.com/gpu=one is requested by the build but not allowed");
  EXPECT_EQ(given({}, {{"v.com/gpu=*", false}}),
            "devices v.com/gpu=one, v.com/gpu=two are requested by the build but not allowed");
  EXPECT_EQ(given({"device=v.com/gpu=one"}, {{"v.com/gpu=one", false}}), "v.com/gpu=one");
  EXPECT_EQ(given({"device=fast"}, {{"v.com/gpu=one", false}}), "v.com/gpu=one");
  EXPECT_EQ(given({"device=v.com/gpu=*"}, {{"v.com/gpu=*", false}}), "v.com/gpu=free v.com/gpu=one v.com/gpu=two");
}

TEST_F(Devices, MayBeCalledByAnAlias) {
  EXPECT_EQ(given({"device=v.com/gpu=two,alias=docker.com/gpu"}, {{"docker.com/gpu", false}}), "v.com/gpu=two");
  EXPECT_EQ(given({"device=v.com/gpu=two,alias"}, {}), "invalid device config \"alias\"");
  EXPECT_EQ(given({"device=v.com/gpu=two,as=x"}, {}), "unknown device config key \"as\"");
}

TEST_F(Devices, AreAllAllowedByTheBareEntitlement) {
  EXPECT_EQ(given({"device"}, {{"v.com/gpu=one", false}, {"v.com/gpu=two", true}}), "v.com/gpu=one v.com/gpu=two");
}

TEST_F(Devices, ThatAreNotThereFailTheStepUnlessOptional) {
  EXPECT_EQ(given({}, {{"v.com/none", true}}), "");
  EXPECT_EQ(given({}, {{"v.com/none", false}}), "required device \"v.com/none\" is not registered");
}

}  // namespace
}  // namespace kiln::daemon
