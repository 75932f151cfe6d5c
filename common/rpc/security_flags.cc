#include "common/rpc/security_flags.h"

#include <string>

#include "common/flags/choice.h"

namespace seer {

void AddSecurityFlags(CLI::App& app, SecurityRole role, SecurityOptions& options) {
  const bool server = role == SecurityRole::kServer;
  app.add_option("--tls-ca", options.ca,
                 "PEM file of the authorities whose certificates servers must have; calls to them "
                 "are encrypted with it");
  app.add_option("--tls-cert", options.certificate,
                 server ? "PEM file of this process's certificate and its chain: connections are "
                          "encrypted with it, and read anew as it changes"
                        : "PEM file of the certificate for servers that ask their clients for one");
  app.add_option("--tls-key", options.key, "PEM file of the certificate's private key");
  app.add_option("--token-file", options.token_file,
                 "File with the token that calls carry; read anew as it changes");
  app.add_flag("--insecure", options.insecure,
               server ? "Listen for other machines even without TLS and --auth"
                      : "Send the token to other machines even without TLS");
  if (!server) return;
  app.add_option("--tls-client-ca", options.client_ca,
                 "PEM file of the authorities whose certificates clients must have; without it "
                 "they need none");
}

void AddAuthFlag(CLI::App& app, bool& authenticate) {
  AddChoice<bool>(app, "--auth", authenticate, {{"none", false}, {"tokens", true}},
                  "tokens: every caller shows a token, which gives a role; none: everybody may do "
                  "everything")
      ->default_str("none");
}

}  // namespace seer
