// Names of the attributes of source and build ops, and the values some of them have.
// Format: moby/buildkit solver/pb/attr.go.
#pragma once

namespace kiln::graph {

inline constexpr const char* kAttrGitKeepDir = "git.keepgitdir";
inline constexpr const char* kAttrGitFullUrl = "git.fullurl";
inline constexpr const char* kAttrGitAuthHeaderSecret = "git.authheadersecret";
inline constexpr const char* kAttrGitAuthTokenSecret = "git.authtokensecret";
inline constexpr const char* kAttrGitKnownSshHosts = "git.knownsshhosts";
inline constexpr const char* kAttrGitMountSshSock = "git.mountsshsock";
inline constexpr const char* kAttrGitChecksum = "git.checksum";
inline constexpr const char* kAttrGitSkipSubmodules = "git.skipsubmodules";
inline constexpr const char* kAttrGitMtime = "git.mtime";
inline constexpr const char* kAttrGitFetchByCommit = "git.fetchbycommit";
inline constexpr const char* kAttrGitBundle = "git.bundle";
inline constexpr const char* kAttrGitCheckoutBundle = "git.checkoutbundle";
inline constexpr const char* kAttrGitSigPubKey = "git.sig.pubkey";
inline constexpr const char* kAttrGitSigRejectExpired = "git.sig.rejectexpired";
inline constexpr const char* kAttrGitSigRequireSignedTag = "git.sig.requiresignedtag";
inline constexpr const char* kAttrGitSigIgnoreSignedTag = "git.sig.ignoresignedtag";

inline constexpr const char* kAttrLocalSession = "local.session";
inline constexpr const char* kAttrLocalUnique = "local.unique";
inline constexpr const char* kAttrLocalIncludePatterns = "local.includepattern";   // JSON list
inline constexpr const char* kAttrLocalFollowPaths = "local.followpaths";          // JSON list
inline constexpr const char* kAttrLocalExcludePatterns = "local.excludepatterns";  // JSON list
inline constexpr const char* kAttrLocalSharedKeyHint = "local.sharedkeyhint";
inline constexpr const char* kAttrLocalDiffer = "local.differ";                      // "none", "metadata"
inline constexpr const char* kAttrLocalMetadataTransfer = "local.metadatatransfer";  // "true"
inline constexpr const char* kAttrLocalMetadataTransferExclude = "local.metadatatransferexclude";

inline constexpr const char* kAttrHttpChecksum = "http.checksum";
inline constexpr const char* kAttrHttpFilename = "http.filename";
inline constexpr const char* kAttrHttpPerm = "http.perm";  // octal
inline constexpr const char* kAttrHttpUid = "http.uid";
inline constexpr const char* kAttrHttpGid = "http.gid";
inline constexpr const char* kAttrHttpAuthHeaderSecret = "http.authheadersecret";
inline constexpr const char* kAttrHttpHeaderPrefix = "http.header.";  // + "accept", "user-agent"
inline constexpr const char* kAttrHttpSigPubKey = "http.sig.pubkey";
inline constexpr const char* kAttrHttpSigSignature = "http.sig.signature";

inline constexpr const char* kAttrImageResolveMode = "image.resolvemode";  // "default", "pull", "local"
inline constexpr const char* kAttrImageRecordType = "image.recordtype";
inline constexpr const char* kAttrImageLayerLimit = "image.layerlimit";
inline constexpr const char* kAttrImageChecksum = "image.checksum";

inline constexpr const char* kAttrOciLayoutSession = "oci.session";
inline constexpr const char* kAttrOciLayoutStore = "oci.store";
inline constexpr const char* kAttrOciLayoutLayerLimit = "oci.layerlimit";

inline constexpr const char* kAttrLlbDefinitionFilename = "llbbuild.filename";

}  // namespace kiln::graph
