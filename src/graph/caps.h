// Capabilities: the names under which a daemon says what its graphs and its gateway can do, so that
// a client or a frontend of another version leaves out what would not be understood.
//
//   if (caps.supports(graph::kCapMergeOp)) ...
//   metadata.caps[graph::kCapFileBase] = true;
//
// Format: APICap of moby/buildkit util/apicaps/pb/caps.proto; the names are those of solver/pb
// ("LLB caps") and frontend/gateway/pb ("frontend caps"). A name, once given, never changes, not
// even a misspelt one.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln::graph {

struct ApiCap {
  std::string id;
  bool enabled = true;
  bool deprecated = false;
  std::string disabled_reason;
  std::string disabled_reason_message;
  std::string disabled_alternative;
};

// What the other side said it can do. A value; any thread once filled.
class CapSet {
 public:
  CapSet() = default;
  explicit CapSet(const std::vector<ApiCap>& caps);
  // Whether the cap is known to us, offered by the other side and enabled there.
  bool supports(std::string_view id) const;
  // Unimplemented with the sentence clients match on when not supported.
  Status check(std::string_view id) const;
  // Whether the other side named it at all.
  bool contains(std::string_view id) const;

 private:
  std::map<std::string, ApiCap, std::less<>> caps_;
};

// Everything this build of Kiln offers, sorted by id, as the daemon advertises it.
const std::vector<ApiCap>& llb_caps();
const std::vector<ApiCap>& gateway_caps();
// Unimplemented that names the first cap of `needed` not in llb_caps().
Status check_llb_caps(const std::map<std::string, bool>& needed);

// ---- LLB caps -----------------------------------------------------------------------------
inline constexpr const char* kCapSourceImage = "source.image";
inline constexpr const char* kCapSourceImageResolveMode = "source.image.resolvemode";
inline constexpr const char* kCapSourceImageLayerLimit = "source.image.layerlimit";
inline constexpr const char* kCapSourceImageChecksum = "source.image.checksum";
inline constexpr const char* kCapSourceLocal = "source.local";
inline constexpr const char* kCapSourceLocalUnique = "source.local.unique";
inline constexpr const char* kCapSourceLocalSessionId = "source.local.sessionid";
inline constexpr const char* kCapSourceLocalIncludePatterns = "source.local.includepatterns";
inline constexpr const char* kCapSourceLocalFollowPaths = "source.local.followpaths";
inline constexpr const char* kCapSourceLocalExcludePatterns = "source.local.excludepatterns";
inline constexpr const char* kCapSourceLocalSharedKeyHint = "source.local.sharedkeyhint";
inline constexpr const char* kCapSourceLocalDiffer = "source.local.differ";
inline constexpr const char* kCapSourceMetadataTransfer = "source.local.metadatatransfer";
inline constexpr const char* kCapSourceGit = "source.git";
inline constexpr const char* kCapSourceGitKeepDir = "source.git.keepgitdir";
inline constexpr const char* kCapSourceGitFullUrl = "source.git.fullurl";
inline constexpr const char* kCapSourceGitHttpAuth = "source.git.httpauth";
inline constexpr const char* kCapSourceGitKnownSshHosts = "source.git.knownsshhosts";
inline constexpr const char* kCapSourceGitMountSshSock = "source.git.mountsshsock";
inline constexpr const char* kCapSourceGitSubdir = "source.git.subdir";
inline constexpr const char* kCapSourceGitChecksum = "source.git.checksum";
inline constexpr const char* kCapSourceGitSkipSubmodules = "source.git.skipsubmodules";
inline constexpr const char* kCapSourceGitSignatureVerify = "source.git.signatureverify";
inline constexpr const char* kCapSourceGitMtime = "source.git.mtime";
inline constexpr const char* kCapSourceGitFetchByCommit = "source.git.fetchbycommit";
inline constexpr const char* kCapSourceGitBundle = "source.git.bundle";
inline constexpr const char* kCapSourceGitCheckoutBundle = "source.git.checkoutbundle";
inline constexpr const char* kCapSourceHttp = "source.http";
inline constexpr const char* kCapSourceHttpAuth = "source.http.auth";
inline constexpr const char* kCapSourceHttpChecksum = "source.http.checksum";
inline constexpr const char* kCapSourceHttpPerm = "source.http.perm";
inline constexpr const char* kCapSourceHttpUidGid = "soruce.http.uidgid";
inline constexpr const char* kCapSourceHttpHeader = "source.http.header";
inline constexpr const char* kCapSourceHttpSignatureVerify = "source.http.signatureverify";
inline constexpr const char* kCapSourceImageBlob = "source.imageblob";
inline constexpr const char* kCapSourceOciLayout = "source.ocilayout";
inline constexpr const char* kCapBuildOpLlbFileName = "source.buildop.llbfilename";
inline constexpr const char* kCapExecMetaBase = "exec.meta.base";
inline constexpr const char* kCapExecMetaCgroupParent = "exec.meta.cgroup.parent";
inline constexpr const char* kCapExecMetaNetwork = "exec.meta.network";
inline constexpr const char* kCapExecMetaNetworkProxy = "exec.meta.network.proxy";
inline constexpr const char* kCapExecMetaProxy = "exec.meta.proxyenv";
inline constexpr const char* kCapExecMetaSecurity = "exec.meta.security";
inline constexpr const char* kCapExecMetaSecurityDeviceWhitelistV1 = "exec.meta.security.devices.v1";
inline constexpr const char* kCapExecMetaSetsDefaultPath = "exec.meta.setsdefaultpath";
inline constexpr const char* kCapExecMetaUlimit = "exec.meta.ulimit";
inline constexpr const char* kCapExecMetaCdi = "exec.meta.cdi";
inline constexpr const char* kCapExecMetaRemoveMountStubsRecursive = "exec.meta.removemountstubs.recursive";
inline constexpr const char* kCapExecMetaLinuxResources = "exec.meta.linux.resources";
inline constexpr const char* kCapExecMountBind = "exec.mount.bind";
inline constexpr const char* kCapExecMountBindReadWriteNoOutput = "exec.mount.bind.readwrite-nooutput";
inline constexpr const char* kCapExecMountCache = "exec.mount.cache";
inline constexpr const char* kCapExecMountCacheSharing = "exec.mount.cache.sharing";
inline constexpr const char* kCapExecMountSelector = "exec.mount.selector";
inline constexpr const char* kCapExecMountTmpfs = "exec.mount.tmpfs";
inline constexpr const char* kCapExecMountTmpfsSize = "exec.mount.tmpfs.size";
inline constexpr const char* kCapExecMountSecret = "exec.mount.secret";
inline constexpr const char* kCapExecMountSsh = "exec.mount.ssh";
inline constexpr const char* kCapExecMountContentCache = "exec.mount.cache.content";
inline constexpr const char* kCapExecCgroupsMounted = "exec.cgroup";
inline constexpr const char* kCapExecSecretEnv = "exec.secretenv";
inline constexpr const char* kCapExecValidExitCode = "exec.validexitcode";
inline constexpr const char* kCapFileBase = "file.base";
inline constexpr const char* kCapFileRmWildcard = "file.rm.wildcard";
inline constexpr const char* kCapFileCopyIncludeExcludePatterns = "file.copy.includeexcludepatterns";
inline constexpr const char* kCapFileCopyRequiredPaths = "file.copy.requiredpaths";
inline constexpr const char* kCapFileRmNoFollowSymlink = "file.rm.nofollowsymlink";
inline constexpr const char* kCapFileCopyAlwaysReplaceExistingDestPaths = "file.copy.alwaysreplaceexistingdestpaths";
inline constexpr const char* kCapFileCopyModeStringFormat = "file.copy.modestring";
inline constexpr const char* kCapFileSymlinkCreate = "file.symlink.create";
inline constexpr const char* kCapConstraints = "constraints";
inline constexpr const char* kCapPlatform = "platform";
inline constexpr const char* kCapMetaIgnoreCache = "meta.ignorecache";
inline constexpr const char* kCapMetaDescription = "meta.description";
inline constexpr const char* kCapMetaExportCache = "meta.exportcache";
inline constexpr const char* kCapRemoteCacheGha = "cache.gha";
inline constexpr const char* kCapRemoteCacheS3 = "cache.s3";
inline constexpr const char* kCapRemoteCacheAzBlob = "cache.azblob";
inline constexpr const char* kCapMergeOp = "mergeop";
inline constexpr const char* kCapDiffOp = "diffop";
inline constexpr const char* kCapPassthroughOp = "passthroughop";
inline constexpr const char* kCapAnnotations = "exporter.image.annotations";
inline constexpr const char* kCapAttestations = "exporter.image.attestations";
inline constexpr const char* kCapSourceDateEpoch = "exporter.sourcedateepoch";
inline constexpr const char* kCapMultipleExporters = "exporter.multiple";
inline constexpr const char* kCapSessionExporter = "exporter.session";
inline constexpr const char* kCapSourcePolicy = "source.policy";
inline constexpr const char* kCapSourcePolicySession = "source.policy.session";
inline constexpr const char* kCapGcFreeSpaceFilter = "gc.freespacefilter";
inline constexpr const char* kCapHistoryFilters = "history.filter";

// ---- gateway caps -------------------------------------------------------------------------
inline constexpr const char* kCapSolveBase = "solve.base";
inline constexpr const char* kCapSolveInlineReturn = "solve.inlinereturn";
inline constexpr const char* kCapResolveImage = "resolveimage";
inline constexpr const char* kCapResolveImageResolveMode = "resolveimage.resolvemode";
inline constexpr const char* kCapReadFile = "readfile";
inline constexpr const char* kCapReturnResult = "return";
inline constexpr const char* kCapReturnMap = "returnmap";
inline constexpr const char* kCapReadDir = "readdir";
inline constexpr const char* kCapStatFile = "statfile";
inline constexpr const char* kCapImportCaches = "importcaches";
inline constexpr const char* kCapProtoRefArray = "proto.refarray";
inline constexpr const char* kCapReferenceOutput = "reference.output";
inline constexpr const char* kCapFrontendInputs = "frontend.inputs";
inline constexpr const char* kCapGatewaySolveMetadata = "gateway.solve.metadata";
inline constexpr const char* kCapGatewayExec = "gateway.exec";
inline constexpr const char* kCapGatewayExecExtraHosts = "gateway.exec.extrahosts";
inline constexpr const char* kCapGatewayExecSecretEnv = "gateway.exec.secretenv";
inline constexpr const char* kCapGatewayExecSignals = "gateway.exec.signals";
inline constexpr const char* kCapGatewayExecFilesystem = "gateway.exec.filesystem";
inline constexpr const char* kCapFrontendCaps = "frontend.caps";
inline constexpr const char* kCapGatewayEvaluateSolve = "gateway.solve.evaluate";
inline constexpr const char* kCapGatewayEvaluate = "gateway.evaluate";
inline constexpr const char* kCapGatewayWarnings = "gateway.warnings";
inline constexpr const char* kCapReferenceAttestations = "reference.attestations";
inline constexpr const char* kCapSourceMetaResolver = "source.metaresolver";
inline constexpr const char* kCapSourceMetaResolverImageAttestations = "source.metaresolver.image.attestations";
inline constexpr const char* kCapSourceMetaResolverHttpChecksumRequest = "source.metaresolver.http.checksumrequest";

}  // namespace kiln::graph
