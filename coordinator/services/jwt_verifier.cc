#include "coordinator/services/jwt_verifier.h"

#include <jwt.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/access/authenticator.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/http/http_client.h"

namespace seer::coordinator {
namespace {

using nlohmann::json;

template <auto kFree>
struct Freed {
  template <typename T>
  void operator()(T* it) const {
    kFree(it);
  }
};
using Jwt = std::unique_ptr<jwt_t, Freed<jwt_free>>;
using Number = std::unique_ptr<BIGNUM, Freed<BN_free>>;
using ParamBuilder = std::unique_ptr<OSSL_PARAM_BLD, Freed<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, Freed<OSSL_PARAM_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX_free>>;
using PublicKey = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Bytes = std::unique_ptr<BIO, Freed<BIO_free_all>>;

absl::Status Invalid(const std::string& why) {
  return Error(absl::StatusCode::kUnauthenticated, reason::kTokenInvalid,
               absl::StrCat("the token is not good: ", why))
      .Hint("get a new one of the identity provider");
}

// PEM of a public key of these parameters; empty: it is none.
std::string Pem(const char* type, OSSL_PARAM_BLD& builder) {
  const Params params(OSSL_PARAM_BLD_to_param(&builder));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* made = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, params.get()) != 1)
    return "";
  const PublicKey key(made);
  const Bytes bytes(BIO_new(BIO_s_mem()));
  PEM_write_bio_PUBKEY(bytes.get(), key.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(bytes.get(), &data);  // NOLINT: as OpenSSL has it
  return std::string(data, static_cast<size_t>(size));
}

std::string Unescaped(const json& key, const char* field) {
  std::string bytes;
  const auto it = key.find(field);
  if (it != key.end() && it->is_string())
    absl::WebSafeBase64Unescape(it->get<std::string>(), &bytes);
  return bytes;
}

std::string RsaPem(const json& key) {
  const auto number = [&](const char* field) {
    const std::string bytes = Unescaped(key, field);
    return Number(BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                            static_cast<int>(bytes.size()), nullptr));
  };
  const Number modulus = number("n"), exponent = number("e");
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  return Pem("RSA", *builder);
}

std::string EcPem(const json& key) {
  const std::string point = absl::StrCat("\x04", Unescaped(key, "x"), Unescaped(key, "y"));
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                   point.size());
  return Pem("EC", *builder);
}

absl::StatusOr<json> Get(const std::string& url, const std::string& ca) {
  HttpClient client;
  HttpRequest request;
  request.url = url;
  request.ca_file = ca;
  request.connect_timeout = absl::Seconds(3);
  request.timeout = absl::Seconds(5);
  request.max_bytes = 1 << 20;
  const auto answer = client.Do(request);
  std::string why;
  if (!answer.ok()) {
    why = std::string(answer.status().message());
  } else if (answer->status != 200) {
    why = absl::StrCat("HTTP ", answer->status);
  } else if (json parsed = json::parse(answer->body, nullptr, /*allow_exceptions=*/false);
             parsed.is_object()) {
    return parsed;
  } else {
    why = "no JSON object";
  }
  return Error(absl::StatusCode::kUnavailable, reason::kIssuerUnreachable,
               absl::StrCat("the keys of the identity provider cannot be had: ", url, ": ", why))
      .Hint("check --oidc-issuer, and that this machine reaches it; the cluster's own tokens work");
}

// What a claim says, as texts.
std::vector<std::string> Texts(const json& claims, const std::string& path) {
  const json* at = &claims;
  for (const absl::string_view part : absl::StrSplit(path, '.')) {
    const auto it = at->find(std::string(part));
    if (!at->is_object() || it == at->end()) return {};
    at = &*it;
  }
  std::vector<std::string> texts;
  if (at->is_string()) texts.push_back(*at);
  if (at->is_array())
    for (const json& item : *at)
      if (item.is_string()) texts.push_back(item);
  return texts;
}

bool Contains(const std::vector<std::string>& texts, const std::string& text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

absl::Time TimeOf(const json& claims, const char* claim, absl::Time otherwise) {
  const auto it = claims.find(claim);
  if (it == claims.end() || !it->is_number()) return otherwise;
  return absl::UnixEpoch() + absl::Seconds(it->get<double>());
}

}  // namespace

absl::StatusOr<std::unique_ptr<JwtVerifier>> JwtVerifier::Make(const OidcOptions& options,
                                                               Clock& clock) {
  if (options.audience.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kMissingField,
                 "tokens of the identity provider may be meant for others: no audience is named")
        .Field("oidc-audience")
        .Hint("give --oidc-audience the client id that tokens for this cluster have as `aud`");
  }
  if (!absl::StartsWith(options.issuer, "https://") &&
      !absl::StartsWith(options.issuer, "http://")) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("'", options.issuer, "' is no URL"))
        .Field("oidc-issuer")
        .Hint("write it as tokens have it in `iss`, https://...");
  }
  std::map<std::string, access::Grant> grants;
  for (const std::string& role : options.roles) {
    const size_t equals = role.rfind('=');
    if (equals == std::string::npos || equals == 0) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   absl::StrCat("'", role, "' gives no role to a value of the claim"))
          .Field("oidc-role")
          .Hint("write VALUE=ROLE or VALUE=ROLE@queue:QUEUE, as ml-admins=admin");
    }
    SEER_ASSIGN_OR_RETURN(grants[role.substr(0, equals)],
                          access::ParseGrant(role.substr(equals + 1)));
  }
  return std::unique_ptr<JwtVerifier>(new JwtVerifier(options, std::move(grants), clock));
}

absl::StatusOr<access::Principal> JwtVerifier::Verify(const std::string& token) {
  jwt_t* read = nullptr;
  if (jwt_decode(&read, token.c_str(), nullptr, 0) != 0) return Invalid("it is no JSON Web Token");
  std::string id, algorithm;
  {
    const Jwt unverified(read);
    for (const auto& [header, to] : {std::pair{"kid", &id}, {"alg", &algorithm}}) {
      const char* const value = jwt_get_header(unverified.get(), header);
      if (value != nullptr) *to = value;
    }
    if (algorithm != "RS256" && algorithm != "ES256")
      return Invalid("it is signed by neither RS256 nor ES256");
  }
  SEER_ASSIGN_OR_RETURN(const Key key, KeyOf(id));
  // Otherwise a token could say in which way a public key is to be taken.
  if (key.algorithm != algorithm) return Invalid("its key is for another way of signing");
  read = nullptr;
  if (jwt_decode(&read, token.c_str(), reinterpret_cast<const unsigned char*>(key.pem.data()),
                 static_cast<int>(key.pem.size())) != 0)
    return Invalid("its signature is not the issuer's");
  const Jwt verified(read);
  if (jwt_get_alg(verified.get()) != (key.algorithm == "RS256" ? JWT_ALG_RS256 : JWT_ALG_ES256))
    return Invalid("its key is for another way of signing");
  char* const text = jwt_get_grants_json(verified.get(), nullptr);
  const json claims = json::parse(text == nullptr ? "" : text, nullptr, false);
  std::free(text);
  if (!claims.is_object()) return Invalid("it has no claims");
  if (!Contains(Texts(claims, "iss"), options_.issuer)) return Invalid("it is of another issuer");
  if (!Contains(Texts(claims, "aud"), options_.audience))
    return Invalid("it is meant for another audience");
  const absl::Time now = clock_.Now();
  const absl::Time expires = TimeOf(claims, "exp", absl::InfinitePast());
  if (expires == absl::InfinitePast()) return Invalid("it never expires");
  if (expires + kLeeway <= now) return access::ExpiredToken(expires);
  if (TimeOf(claims, "nbf", absl::InfinitePast()) - kLeeway > now)
    return Invalid("it is not in force yet");
  const std::vector<std::string> subject = Texts(claims, "sub");
  if (subject.empty()) return Invalid("it names nobody");
  access::Principal principal;
  principal.name = absl::StrCat(options_.issuer, "#", subject.front());
  principal.expires = expires + kLeeway;
  for (const std::string& value : Texts(claims, options_.roles_claim)) {
    const auto grant = grants_.find(value);
    if (grant != grants_.end()) principal.grants.push_back(grant->second);
  }
  return principal;
}

absl::StatusOr<JwtVerifier::Key> JwtVerifier::KeyOf(const std::string& id) {
  {
    absl::MutexLock lock(&mu_);
    while (true) {
      mu_.Await(absl::Condition(
          +[](bool* fetching) { return !*fetching; }, &fetching_));
      const absl::Duration age = clock_.Steady() - fetched_;
      const auto it = keys_.find(id);
      if (it != keys_.end() && age < kLongest) return it->second;
      if (age >= kShortest) break;
      // Just now they were asked for: a stranger's token makes nobody ask again and again.
      if (it != keys_.end()) return it->second;
      if (!failure_.ok()) return failure_;
      return Invalid("no key of the issuer has its id");
    }
    fetching_ = true;
  }
  absl::StatusOr<Keys> fetched = Fetch();
  absl::MutexLock lock(&mu_);
  fetching_ = false;
  fetched_ = clock_.Steady();
  failure_ = fetched.status();
  if (fetched.ok()) {
    keys_ = *std::move(fetched);
  } else {
    LogWarn("issuer_unreachable", {{"error", StatusText(failure_)}});
  }
  if (const auto it = keys_.find(id); it != keys_.end()) return it->second;
  if (!failure_.ok()) return failure_;
  return Invalid("no key of the issuer has its id");
}

absl::StatusOr<JwtVerifier::Keys> JwtVerifier::Fetch() const {
  const std::string base(absl::StripSuffix(options_.issuer, "/"));
  SEER_ASSIGN_OR_RETURN(const json about,
                        Get(absl::StrCat(base, "/.well-known/openid-configuration"), options_.ca));
  const std::vector<std::string> where = Texts(about, "jwks_uri");
  SEER_ASSIGN_OR_RETURN(const json set, Get(where.empty() ? "" : where.front(), options_.ca));
  Keys keys;
  const auto listed = set.find("keys");
  if (listed == set.end() || !listed->is_array()) return keys;
  for (const json& key : *listed) {
    const auto text = [&key](const char* field) {
      const std::vector<std::string> texts = Texts(key, field);
      return texts.empty() ? std::string() : texts.front();
    };
    if (!key.is_object() || (key.contains("use") && text("use") != "sig")) continue;
    Key known;
    if (text("kty") == "RSA") {
      known = {"RS256", RsaPem(key)};
    } else if (text("kty") == "EC" && text("crv") == "P-256") {
      known = {"ES256", EcPem(key)};
    }
    if (!known.pem.empty()) keys[text("kid")] = std::move(known);
  }
  return keys;
}

}  // namespace seer::coordinator
