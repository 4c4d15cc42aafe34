# OpenBao for deploy/compose.yaml: on disk, unsealed by a key in a file, and set up by itself at its first start: a KV v2
# mount, a policy for Signalbox alone, and an AppRole whose secret id comes from the environment. No root token is kept.
#
# The key in the file opens everything: it stands in for a key management service, which `seal` can name instead.
ui           = false
api_addr     = "http://openbao:8200"
cluster_addr = "http://openbao:8201"

storage "raft" {
  # The directory that the image has for it: a fresh volume takes its owner, who is not root.
  path    = "/openbao/file"
  node_id = "openbao"
}

listener "tcp" {
  address     = "0.0.0.0:8200"
  # Inside the compose network only. Give it a certificate where the network is not yours alone.
  tls_disable = true
}

seal "static" {
  current_key_id = "1"
  current_key    = "file:///run/secrets/openbao-seal-key"
}

initialize "signalbox" {
  request "mount" {
    operation = "update"
    path      = "sys/mounts/secret"
    data      = { type = "kv", options = { version = "2" } }
  }
  request "policy" {
    operation = "update"
    path      = "sys/policies/acl/signalbox"
    data = {
      policy = <<-EOT
        path "secret/data/signalbox/*"     { capabilities = ["create", "read", "update", "delete"] }
        path "secret/metadata/signalbox/*" { capabilities = ["create", "read", "update", "delete", "list"] }
        path "secret/metadata/signalbox"   { capabilities = ["read", "list"] }
        path "secret/delete/signalbox/*"   { capabilities = ["update"] }
        path "secret/destroy/signalbox/*"  { capabilities = ["update"] }
        path "sys/internal/ui/mounts/secret" { capabilities = ["read"] }
      EOT
    }
  }
  request "approle" {
    operation = "update"
    path      = "sys/auth/approle"
    data      = { type = "approle" }
  }
  request "role" {
    operation = "update"
    path      = "auth/approle/role/signalbox"
    data      = { token_policies = ["signalbox"], token_ttl = "1h", token_max_ttl = "24h" }
  }
  request "role-id" {
    operation = "update"
    path      = "auth/approle/role/signalbox/role-id"
    data      = { role_id = "signalbox" }
  }
  request "secret-id" {
    operation = "update"
    path      = "auth/approle/role/signalbox/custom-secret-id"
    data = {
      secret_id = {
        eval_source = "env"
        eval_type   = "string"
        env_var     = "SIGNALBOX_VAULT_SECRET_ID"
      }
    }
  }
}
