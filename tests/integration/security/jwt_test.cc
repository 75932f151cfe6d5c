// Tokens of an identity provider that runs in the test: real keys, a real HTTP server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <jwt.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "coordinator/services/jwt_verifier.h"
#include "tests/support/http_server.h"
#include "tests/support/status_matchers.h"

namespace seer::coordinator {
namespace {

using access::Role;
using nlohmann::json;
using testing::FailsWith;
using testing::HttpServer;

std::string Base64(const std::string& bytes) {
  std::string text = absl::WebSafeBase64Escape(bytes);
  while (!text.empty() && text.back() == '=') text.pop_back();
  return text;
}

class SigningKey {
 public:
  SigningKey(std::string id, bool rsa)
      : id_(std::move(id)), rsa_(rsa), key_(rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256")) {}
  ~SigningKey() { EVP_PKEY_free(key_); }

  json PublicKey() const {
    json key = {{"kid", id_}, {"use", "sig"}, {"kty", rsa_ ? "RSA" : "EC"}};
    const auto number = [&](const char* name) {
      BIGNUM* value = nullptr;
      EVP_PKEY_get_bn_param(key_, name, &value);
      std::string bytes(static_cast<size_t>(BN_num_bytes(value)), '\0');
      if (!rsa_) bytes.assign(32, '\0');
      BN_bn2binpad(value, reinterpret_cast<unsigned char*>(bytes.data()),
                   static_cast<int>(bytes.size()));
      BN_free(value);
      return Base64(bytes);
    };
    if (rsa_) {
      key["n"] = number(OSSL_PKEY_PARAM_RSA_N);
      key["e"] = number(OSSL_PKEY_PARAM_RSA_E);
    } else {
      key["crv"] = "P-256";
      key["x"] = number(OSSL_PKEY_PARAM_EC_PUB_X);
      key["y"] = number(OSSL_PKEY_PARAM_EC_PUB_Y);
    }
    return key;
  }
  std::string Pem(bool secret) const {
    BIO* const bytes = BIO_new(BIO_s_mem());
    if (secret) {
      PEM_write_bio_PrivateKey(bytes, key_, nullptr, nullptr, 0, nullptr, nullptr);
    } else {
      PEM_write_bio_PUBKEY(bytes, key_);
    }
    char* data = nullptr;
    const auto size = BIO_get_mem_data(bytes, &data);
    std::string pem(data, static_cast<size_t>(size));
    BIO_free_all(bytes);
    return pem;
  }
  std::string Sign(const json& claims) const {
    return Encode(claims, rsa_ ? JWT_ALG_RS256 : JWT_ALG_ES256, Pem(/*secret=*/true));
  }
  std::string Encode(const json& claims, jwt_alg_t algorithm, const std::string& secret) const {
    jwt_t* token = nullptr;
    EXPECT_EQ(jwt_new(&token), 0);
    EXPECT_EQ(jwt_add_grants_json(token, claims.dump().c_str()), 0);
    EXPECT_EQ(jwt_add_header(token, "kid", id_.c_str()), 0);
    EXPECT_EQ(jwt_set_alg(
                  token, algorithm,
                  secret.empty() ? nullptr : reinterpret_cast<const unsigned char*>(secret.data()),
                  static_cast<int>(secret.size())),
              0);
    char* const text = jwt_encode_str(token);
    EXPECT_NE(text, nullptr);
    std::string encoded = text == nullptr ? "" : text;
    std::free(text);
    jwt_free(token);
    return encoded;
  }

 private:
  const std::string id_;
  const bool rsa_;
  EVP_PKEY* const key_;
};

class JwtTest : public ::testing::Test {
 protected:
  JwtTest() {
    issuer_.Page("/.well-known/openid-configuration",
                 json({{"jwks_uri", issuer_.root() + "/keys"}}).dump());
    Publish({rsa_.PublicKey(), ec_.PublicKey()});
  }
  void Publish(const std::vector<json>& keys) {
    issuer_.Page("/keys", json({{"keys", keys}}).dump());
  }
  OidcOptions Options() const {
    OidcOptions options;
    options.issuer = issuer_.root();
    options.audience = "seer";
    options.roles_claim = "realm.groups";
    options.roles = {"ml-admins=admin", "vision=submitter@queue:vision"};
    return options;
  }
  absl::StatusOr<access::Principal> Verify(const std::string& token) {
    if (!verifier_) verifier_ = *JwtVerifier::Make(Options(), clock_);
    return verifier_->Verify(token);
  }
  json Claims() const {
    return {{"iss", issuer_.root()},
            {"aud", {"other", "seer"}},
            {"sub", "ann"},
            {"exp", absl::ToUnixSeconds(clock_.Now() + absl::Hours(1))},
            {"realm", {{"groups", {"vision", "chess"}}}}};
  }
  json With(const std::string& claim, json value) const {
    json claims = Claims();
    claims[claim] = std::move(value);
    return claims;
  }
  json Without(const std::string& claim) const {
    json claims = Claims();
    claims.erase(claim);
    return claims;
  }
  int64_t In(absl::Duration time) const { return absl::ToUnixSeconds(clock_.Now() + time); }

  mutable FakeClock clock_;
  HttpServer issuer_;
  const SigningKey rsa_{"rsa", true}, ec_{"ec", false};
  std::unique_ptr<JwtVerifier> verifier_;
};

const auto kInvalid = FailsWith(absl::StatusCode::kUnauthenticated, reason::kTokenInvalid, "");

TEST_F(JwtTest, BothKindsOfKeysSignForTheRolesThatTheClaimSays) {
  for (const SigningKey* key : {&rsa_, &ec_}) {
    const auto principal = Verify(key->Sign(Claims()));
    ASSERT_OK(principal);
    EXPECT_EQ(principal->name, issuer_.root() + "#ann");
    EXPECT_THAT(principal->grants,
                ::testing::ElementsAre(access::Grant{Role::kSubmitter, "vision", ""}));
  }
  EXPECT_EQ(issuer_.Calls(2).size(), 2u) << "keys are fetched once";
  const auto nobody = Verify(rsa_.Sign(Without("realm")));
  ASSERT_OK(nobody);
  EXPECT_TRUE(nobody->grants.empty());
}

TEST_F(JwtTest, WhatIsNotMeantForThisClusterIsRefused) {
  EXPECT_OK(Verify(rsa_.Sign(With("aud", "seer"))));
  EXPECT_THAT(Verify(rsa_.Sign(With("aud", "another"))), kInvalid);
  EXPECT_THAT(Verify(rsa_.Sign(Without("aud"))), kInvalid);
  EXPECT_THAT(Verify(rsa_.Sign(With("iss", "https://elsewhere"))), kInvalid);
  EXPECT_THAT(Verify(rsa_.Sign(Without("sub"))), kInvalid);
}

TEST_F(JwtTest, TimesAreKept) {
  EXPECT_OK(Verify(rsa_.Sign(With("exp", In(-absl::Seconds(30))))));  // clocks differ a little
  EXPECT_THAT(Verify(rsa_.Sign(With("exp", In(-absl::Minutes(2))))),
              FailsWith(absl::StatusCode::kUnauthenticated, reason::kTokenExpired, "expired on"));
  EXPECT_THAT(Verify(rsa_.Sign(Without("exp"))), kInvalid);
  EXPECT_THAT(Verify(rsa_.Sign(With("nbf", In(absl::Minutes(2))))), kInvalid);
}

TEST_F(JwtTest, OnlyTheIssuersOwnSignatureCounts) {
  const SigningKey stranger("rsa", true);
  EXPECT_THAT(Verify(stranger.Sign(Claims())), kInvalid);
  std::string changed = rsa_.Sign(Claims());
  changed[changed.size() / 2] = changed[changed.size() / 2] == 'A' ? 'B' : 'A';
  EXPECT_THAT(Verify(changed), kInvalid);
  EXPECT_THAT(Verify("seer"), kInvalid);
  EXPECT_THAT(Verify("a.b.c"), kInvalid);
}

TEST_F(JwtTest, NoSignatureAndOneByAPublicKeyAreNone) {
  EXPECT_THAT(Verify(rsa_.Encode(Claims(), JWT_ALG_NONE, "")), kInvalid);
  EXPECT_THAT(Verify(rsa_.Encode(Claims(), JWT_ALG_HS256, rsa_.Pem(/*secret=*/false))), kInvalid);
  // As a key of the other kind.
  const SigningKey ec_named_rsa("rsa", false);
  EXPECT_THAT(Verify(ec_named_rsa.Sign(Claims())), kInvalid);
}

TEST_F(JwtTest, ANewKeyOfTheIssuerIsFetchedButNotForEveryStranger) {
  EXPECT_OK(Verify(rsa_.Sign(Claims())));
  const SigningKey next("next", true);
  EXPECT_THAT(Verify(next.Sign(Claims())), kInvalid);  // asked for just now
  EXPECT_EQ(issuer_.Calls(2).size(), 2u);
  Publish({next.PublicKey()});
  clock_.Advance(JwtVerifier::kShortest);
  EXPECT_OK(Verify(next.Sign(Claims())));
  EXPECT_EQ(issuer_.Calls(4).size(), 4u);
  EXPECT_THAT(Verify(rsa_.Sign(Claims())), kInvalid) << "the issuer has taken it back";
}

TEST_F(JwtTest, AnIssuerThatIsAwaySaysSo) {
  issuer_.Answer({503});
  EXPECT_THAT(Verify(rsa_.Sign(Claims())),
              FailsWith(absl::StatusCode::kUnavailable, reason::kIssuerUnreachable, "HTTP 503"));
  clock_.Advance(JwtVerifier::kShortest);
  EXPECT_OK(Verify(rsa_.Sign(Claims())));
  // Known keys outlive it.
  clock_.Advance(JwtVerifier::kLongest);
  issuer_.Answer({0});
  EXPECT_OK(Verify(rsa_.Sign(With("exp", In(absl::Hours(1))))));
}

TEST_F(JwtTest, OptionsThatMakeNoSenseAreRefused) {
  OidcOptions options = Options();
  options.audience = "";
  EXPECT_THAT(JwtVerifier::Make(options, clock_).status(),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kMissingField, "no audience"));
  options = Options();
  options.roles = {"vision"};
  EXPECT_THAT(
      JwtVerifier::Make(options, clock_).status(),
      FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, "gives no role"));
  options.roles = {"vision=king"};
  EXPECT_THAT(
      JwtVerifier::Make(options, clock_).status(),
      FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, "no role 'king'"));
  options = Options();
  options.issuer = "idp";
  EXPECT_THAT(JwtVerifier::Make(options, clock_).status(),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, "no URL"));
}

}  // namespace
}  // namespace seer::coordinator
