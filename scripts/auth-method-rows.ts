// What docs/auth-methods.md says of each Auth Method that code cannot say for itself. Every default names
// the attack it stops and the test that shows it; a test holds those names to the tests there are.

/** A test by its file, below test/, and a part of its name as it is written there. */
export type Shown = readonly [file: string, name: string]

export type Stop = { readonly rule: string; readonly attack: string; readonly shown: Shown }

export type MethodRow = {
  readonly type: string
  readonly for: string
  readonly config: string
  readonly stops: readonly Stop[]
  readonly runtimes: string
}

const ALL_ENTRIES = 'every entry'
/** What holds for every method that takes a JWT. */
export const JWT_STOPS: readonly Stop[] = [
  {
    rule: 'the issuer is looked up in the configuration before any network call',
    attack: 'a token that makes the broker fetch a URL of the caller’s choice',
    shown: [
      'auth-methods/oidc.test.ts',
      'JW-01 takes the issuer as it is written, and asks nobody',
    ],
  },
  {
    rule: '`audiences` is required, compared exactly, and every audience of a token must be listed',
    attack: 'a token that was made for another service, or for two, sent on by one of them',
    shown: ['auth-methods/contract.ts', 'RB-01 JW-05 a method without an audience cannot be saved'],
  },
  {
    rule: '`exp` is required; `max_lifetime_seconds` is a day unless configured',
    attack: 'a stolen token that never ends',
    shown: ['auth-methods/contract.ts', 'JW-06 holds a token to max_lifetime_seconds'],
  },
  {
    rule: 'asymmetric algorithms only, one per key, by keys of the configured issuer only',
    attack: '`alg: none`, HMAC with the public key, a key that the token brings along',
    shown: ['auth-methods/token-contract.ts', 'RB-02 refuses an HMAC made with the public key'],
  },
  {
    rule: 'refresh, logout and key-bound tokens are refused by their shape',
    attack: 'a token of another kind by the same issuer',
    shown: ['auth-methods/contract.ts', 'JW-12 JB-07 AUTH-5 AUTH-7 refuses %s'],
  },
  {
    rule: 'matchers are type-strict; a pattern needs a literal segment before its first wildcard',
    attack: '`repo:acme*`, which also matches `acme-evil`; `"true"` for `true`; 20.9 for 20',
    shown: ['auth-methods/contract.ts', 'POL-4 every mistake of a match is reported'],
  },
  {
    rule: '`single_use: true` consumes the `jti` with the grant',
    attack: 'a token that is presented again',
    shown: ['auth-methods/contract.ts', 'RB-06 the key is of method, issuer and jti'],
  },
  {
    rule: '`origin: { kind: schedule, when?, id_claim?, definition?: { name?, version?, hash? } }`: by claims of the token, else none is attested; a part of the definition is the name of a claim, or `{ value }`, which the log marks as the policy’s word',
    attack: 'a run that somebody started by hand, and that says a schedule did',
    shown: ['auth-methods/origin.test.ts', 'without an origin in the config a token proves none'],
  },
  {
    rule: '`security_events: { issuer?, audience, jwks_uri?, authorization?: { secret } }`: a signed event of `typ` `secevent+jwt`, about subjects of this method',
    attack:
      'an event that is forged, sent again, about another issuer’s `sub`, or another kind of token',
    shown: ['abuse/security-events.test.ts', 'JB-07 nothing but a security event token is taken'],
  },
]

export const METHOD_ROWS: readonly MethodRow[] = [
  {
    type: 'oidc',
    for: 'a JWT of one issuer: CI, cloud, SaaS, laptop',
    config:
      '`issuer`, `jwks_uri?`, `preset?`, `match`, `id_jag?: { clients?, max_lifetime_seconds? }` (`docs/grants.md`)',
    stops: [
      {
        rule: 'an issuer that signs for every tenant of a platform needs a tenant pin',
        attack: 'anybody else’s workload on the same platform',
        shown: ['auth-methods/oidc.test.ts', 'RB-14 JW-10 %s without a tenant pin cannot be saved'],
      },
      {
        rule: 'a `sub` that is a SPIFFE ID is refused',
        attack: 'an OIDC issuer that vouches for a workload of a trust domain',
        shown: ['auth-methods/oidc.test.ts', 'SPIFFE-2 refuses a SPIFFE ID that an OIDC issuer'],
      },
      {
        rule: '`id_jag`: ID-JAGs of `typ` `oauth-id-jag+jwt`, for this broker alone, once, by the agent in `client_id`',
        attack: 'an ID token that passes for a grant, or a grant that another agent redeems',
        shown: ['auth-methods/id-jag.test.ts', 'JB-07: is no attestation, and an attestation is'],
      },
    ],
    runtimes: ALL_ENTRIES,
  },
  {
    type: 'kubernetes',
    for: 'a projected service account token',
    config:
      '`issuer`, `namespaces`, `service_accounts`, `jwks_uri?`, `match`, `token_review?: { url, ca?, secret, private_network? }`',
    stops: [
      {
        rule: 'the audience of the API server cannot be configured',
        attack: 'a broker that holds tokens with which it could act as the pod',
        shown: [
          'auth-methods/kubernetes.test.ts',
          'K8-04 the audience of the API server cannot be',
        ],
      },
      {
        rule: 'legacy tokens without an end, an audience or an object are refused',
        attack: 'a token out of a Secret, valid for ever',
        shown: ['auth-methods/kubernetes.test.ts', 'K8-02 refuses legacy secret-based tokens'],
      },
      {
        rule: '`match` on `/kubernetes.io/serviceaccount/uid` pins the account itself',
        attack: 'a service account that was deleted and made again under its name',
        shown: ['auth-methods/kubernetes.test.ts', 'K8-03 K8S-1 a recreated service account'],
      },
      {
        rule: '`token_review` asks the API server with a reviewer of the broker’s own; `authenticated` must be true, an audience ours, user and pod those of the token',
        attack:
          'the token of a pod or account that has been deleted (offline it passes until `exp`)',
        shown: ['auth-methods/token-review.test.ts', 'K8S-1 a deleted pod or account'],
      },
      {
        rule: 'what is refused on its form is refused before the call; the reviewer goes to its allowed origins only',
        attack: 'an API server that is flooded, or a reviewer token that is led elsewhere',
        shown: ['auth-methods/token-review.test.ts', 'K8-06 SEC the reviewer goes to no origin'],
      },
      {
        rule: '`private_network` is for admins to write, and holds for that URL alone',
        attack: 'an editor who has the broker call into the network it runs in',
        shown: ['policy/plan.test.ts', 'SSRF-1 is private_network of a TokenReview'],
      },
    ],
    runtimes:
      'every entry; `ca`, and a private API server, need Node or Lambda, and `ca` is refused when saved on Workers',
  },
  {
    type: 'spiffe-jwt',
    for: 'a JWT-SVID',
    config:
      '`trust_domain`, `spiffe_ids`, `bundle_endpoint_url` and `bundle_profile: https_web | https_spiffe`, or `bundle` inline; `https_spiffe` with `endpoint_spiffe_id` and the first roots in `bundle`',
    stops: [
      {
        rule: 'keys come from the bundle of the one trust domain, with `use: jwt-svid`; no two bundles are merged',
        attack: 'a federated domain that signs for another one, with the same `kid`',
        shown: ['auth-methods/spiffe-bundles.test.ts', 'SP-06 SPIFFE-2 keys of one kid are never'],
      },
      {
        rule: 'an empty bundle means no key; an older sequence never replaces a newer one',
        attack: 'a revoked key that comes back with a replayed bundle',
        shown: ['auth-methods/spiffe-bundles.test.ts', 'SP-07 an empty bundle means no key at all'],
      },
      {
        rule: '`https_spiffe`: the server’s X509-SVID must have the configured ID and lead to the domain’s own current roots, before anything is sent',
        attack:
          'whoever can get a public certificate for the name, or is another workload of the domain',
        shown: ['auth-methods/spiffe-bundles.test.ts', 'SP-08 SP-09 tells %s nothing'],
      },
      {
        rule: 'IDs are parsed by their own grammar, patterns match whole segments, one audience only',
        attack: '`/agents/../admin`, `/agents-evil`, a token for two validators',
        shown: ['auth-methods/spiffe-jwt.test.ts', 'SPIFFE-3 SP-03 a path without a wildcard'],
      },
    ],
    runtimes:
      'every entry; `https_spiffe` needs Node or Lambda and is refused when saved on Workers. The roots that it learned live in memory, and a new process begins with those of `bundle`: give it the root of an UpstreamAuthority, or a `ca_ttl` longer than your releases. A Node process follows the bundle every ten minutes without any traffic; a function that sleeps through a whole rotation knows nobody any more until `bundle` is renewed, and believes the old keys for `max_stale_seconds`',
  },
  {
    type: 'spiffe-x509',
    for: 'an X509-SVID of the connection',
    config: 'the SPIFFE members of `spiffe-jwt`; `match` on what the certificate says',
    stops: [
      {
        rule: 'the path leads to the roots of the trust domain’s own bundle',
        attack: 'a certificate by the root of another domain, or by a public authority',
        shown: ['auth-methods/spiffe-x509.test.ts', 'SPIFFE-2 SP-06 roots of another trust domain'],
      },
      {
        rule: 'exactly one URI SAN, the leaf’s, whatever else is presented',
        attack: 'a chain or a second name that says somebody else',
        shown: ['auth-methods/spiffe-x509.test.ts', "MTLS-3 the identity is the leaf's"],
      },
    ],
    runtimes:
      'entries that carry a client certificate, see [runtimes.md](runtimes.md); `https_spiffe` as for `spiffe-jwt`',
  },
  {
    type: 'mtls',
    for: 'a client certificate of a CA that you name',
    config: '`ca`, `subjects?`, `sans?: { uri, dns, email, ip }`, `fingerprints?`, `match?`',
    stops: [
      {
        rule: 'the certificate is the one the platform vouches for, never a header',
        attack: 'a forged certificate header; a certificate without its key',
        shown: [
          'auth-methods/certificate-contract.ts',
          'CA-09 MTLS-1 refuses without a certificate',
        ],
      },
      {
        rule: 'a CA alone is refused: subjects, SANs or fingerprints name the caller',
        attack: 'every other certificate of the same CA',
        shown: ['auth-methods/mtls.test.ts', 'CA-08 a CA alone admits everybody'],
      },
      {
        rule: 'a pinned leaf is compared whole',
        attack: 'another certificate with the same names and serial',
        shown: ['auth-methods/certificate-contract.ts', 'CVE-2024-2048 refuses the same names'],
      },
    ],
    runtimes: 'entries that carry a client certificate, see [runtimes.md](runtimes.md)',
  },
  {
    type: 'aws-web-identity',
    for: 'the JWT of `sts:GetWebIdentityToken`; the first choice on AWS: no call to STS, an audience, a `jti`',
    config: '`issuer`, `accounts`, `roles?`, `principal_tags?`, `match`',
    stops: [
      {
        rule: 'account and ARN must both be listed and agree',
        attack: 'a role of the same name in another account',
        shown: [
          'auth-methods/aws-web-identity.test.ts',
          'AO-03 AW-13 refuses an account that is not',
        ],
      },
      {
        rule: 'request tags are not among the verified claims',
        attack: 'a caller who tags its own request with `team=admin`',
        shown: ['auth-methods/aws-web-identity.test.ts', 'AO-03 request tags reach no rule'],
      },
      {
        rule: 'an hour is the longest life unless configured',
        attack: 'a stolen token that lives on',
        shown: ['auth-methods/aws-web-identity.test.ts', 'AO-01 an hour is the longest life'],
      },
    ],
    runtimes: ALL_ENTRIES,
  },
  {
    type: 'aws-iam',
    for: 'a signed GetCallerIdentity, where GetWebIdentityToken cannot be had',
    config: '`accounts`, `roles?`, `regions`, `session_names?`, `unique_ids?`, `match?`, `origin?`',
    stops: [
      {
        rule: 'the request is rebuilt from its parts, to a host of a table',
        attack: 'a signed request that is relayed to a host or an action of the caller’s choice',
        shown: ['auth-methods/aws-sigv4.test.ts', 'AW-03 AW-04 is no attestation'],
      },
      {
        rule: 'a session name never decides alone',
        attack: 'a name that whoever may assume the role has chosen',
        shown: ['auth-methods/aws-iam.test.ts', 'AW-14 a session name never decides alone'],
      },
      {
        rule: 'a role is an account and a name; `unique_ids` pin it for good',
        attack: 'a role that was deleted and made again, or one in another account',
        shown: ['auth-methods/aws-iam.test.ts', 'AW-13 a role of the same name in another account'],
      },
    ],
    runtimes: ALL_ENTRIES,
  },
  {
    type: 'oauth-introspection',
    for: 'an opaque token of a SaaS; the request must name the method in `auth_method`',
    config:
      '`introspection_endpoint` (RFC 7662) and `secret` (`id:secret`, or the secret of `client_id`, for HTTP Basic; else a bearer token), or `userinfo_endpoint`; `match`, `audiences?`, `cache_seconds?`',
    stops: [
      {
        rule: '`match` must pin the application (`aud`, `client_id`, `azp`, `appid`) or a tenant claim',
        attack: 'the confused deputy: a token that the user gave to another application',
        shown: ['auth-methods/oauth-introspection.test.ts', 'the confused deputy'],
      },
      {
        rule: 'a 200 of a userinfo endpoint is no yes: subject and tenant must be in it and match',
        attack: 'any valid token of the same SaaS',
        shown: [
          'auth-methods/oauth-introspection.test.ts',
          'SEC a 200 for the user of another tenant',
        ],
      },
      {
        rule: 'the token is shown to that one URL; without `auth_method` to nobody; redirects are refused',
        attack: 'a token that leaks to every authority that is configured',
        shown: [
          'auth-methods/oauth-introspection.test.ts',
          'JW-01 to the authority of the one method',
        ],
      },
      {
        rule: 'nothing is remembered unless `cache_seconds` (60 at most) says so',
        attack: 'a revoked token that goes on working',
        shown: ['auth-methods/oauth-introspection.test.ts', 'SEC nothing, so that a revoked token'],
      },
      {
        rule: '`active` must be true and `exp` a number; refresh, DPoP and key-bound tokens are refused',
        attack: 'a token of another kind, or one without an end',
        shown: ['auth-methods/oauth-introspection.test.ts', 'JW-12 a refresh token by its kind'],
      },
    ],
    runtimes: ALL_ENTRIES,
  },
]
