// What docs/auth-methods.md says of each preset that its row of data cannot say for itself.
import type { Stop } from './auth-method-rows.ts'

export type PresetRow = {
  readonly name: string
  /** `subject`, tokens and settings on the platform's side. */
  readonly notes: string
  readonly stops: readonly Stop[]
  /** What was not read in the platform's own documentation; try it before you rely on it. */
  readonly unverified: string
}

const presets = 'auth-methods/presets.test.ts'
const stop = (rule: string, attack: string, name: string): Stop => ({
  rule,
  attack,
  shown: [presets, name],
})

export const PRESET_ROWS: readonly PresetRow[] = [
  {
    name: 'github-actions',
    notes:
      'Both forms of `sub` pass, with names alone and with immutable ids; match ids, `ref`, `environment`, `job_workflow_ref` and `runner_environment` by their own claims. Ids are texts.',
    stops: [
      stop(
        'an id pins owner or repository',
        'a renamed or recycled owner or repository',
        'a new owner of the same name',
      ),
      stop(
        '`pull_request*` is refused unless `match` names `event_name`',
        'code of a stranger’s pull request',
        '(b) a pull request',
      ),
      stop(
        'the owner URL is no audience',
        'a token that was made for every service of the owner',
        '(e) the default audience',
      ),
    ],
    unverified: '',
  },
  {
    name: 'gitlab',
    notes:
      '`ref_protected` is the text `"true"`, not a boolean. Set `aud` in `id_tokens`. To let merge requests in, name `ref_protected` in `match`.',
    stops: [
      stop(
        '`ref_protected` must be `"true"`',
        'a branch or merge request that nobody reviewed',
        'an unprotected branch, such as a merge request',
      ),
      stop(
        'an id pins namespace or project',
        'a project moved to, or made under, an old path',
        'a path for a pin',
      ),
    ],
    unverified: '`ci_config_ref_uri`, `ci_config_sha` and other newer claims',
  },
  {
    name: 'circleci',
    notes:
      'The issuer is the organisation’s. Ask for a custom audience: the default one is the organisation’s id.',
    stops: [
      stop(
        '`oidc.circleci.com/ssh-rerun` must be false',
        'somebody with a shell in a job',
        'somebody with a shell in the job',
      ),
      stop(
        'the project’s id is pinned',
        'any other project of the organisation',
        '(a) another project',
      ),
    ],
    unverified: '',
  },
  {
    name: 'buildkite',
    notes:
      'One issuer for all customers. No claim says “pull request”: match `build_branch` or `build_source`. Do not build pull requests of forks, or give them another pipeline.',
    stops: [
      stop(
        'the organisation’s id is pinned',
        'another customer, or a recycled slug',
        '(a) another organisation',
      ),
      stop(
        '`buildkite.com/…` is no audience',
        'a token by default settings',
        '(e) the default audience',
      ),
    ],
    unverified: '`organization_id` where it was not asked for with `--claim`',
  },
  {
    name: 'hcp-terraform',
    notes: 'Pin organisation and workspace. Terraform Enterprise: name its host as `issuer`.',
    stops: [
      stop(
        '`single_use` is on, so a `jti` is required',
        'a token that lives for a day, presented again',
        'a token that could be replayed',
      ),
      stop(
        'plans are refused unless `match` names `terraform_run_phase`',
        'a speculative plan that a pull request starts',
        '(b) a plan, which a pull request can start',
      ),
    ],
    unverified: 'the form of `sub`',
  },
  {
    name: 'vercel',
    notes: 'Team mode has an issuer for each team; the global issuer serves all of them.',
    stops: [
      stop(
        '`environment` must be `production` unless `match` names it',
        'a preview that a pull request deploys; the token on a developer’s laptop',
        '(b) a preview, which a pull request deploys',
      ),
      stop(
        '`https://vercel.com/…` is no audience',
        'a token by default settings',
        '(e) the default audience',
      ),
    ],
    unverified: '',
  },
  {
    name: 'fly',
    notes:
      'The issuer is the organisation’s. Machines ask for a token with an audience of their choice.',
    stops: [
      stop(
        'an id pins app or organisation',
        'a new app under an old name',
        'a new app of the same name',
      ),
    ],
    unverified: 'the path of the issuer',
  },
  {
    name: 'google',
    notes:
      'Identity tokens of the metadata server (`format=full`) and of service accounts. Ids are texts. `azp` that is an OAuth client’s admits every user of that client.',
    stops: [
      stop(
        'an `email` in `match` brings `email_verified: true`',
        'an account with an address that is not its own',
        '(a) an address nobody verified',
      ),
      stop(
        'a service account, address or project is pinned',
        'any other Google account',
        '(a) another service account',
      ),
    ],
    unverified: 'every claim of this row, `google.compute_engine` included',
  },
  {
    name: 'azure-entra',
    notes:
      'Issuers of both token versions. `idtyp` is an optional claim: add it to the application’s manifest. Users: `match` on `idtyp: user`.',
    stops: [
      stop(
        '`tid` equals the tenant of the issuer, whatever `match` says',
        'a token of another tenant',
        '(a) another tenant',
      ),
      stop(
        '`idtyp` must be `app`',
        'a user through the same application',
        'a user through the same application',
      ),
      stop(
        'Azure’s own resources are no audience',
        'a token made for Azure or Graph',
        '(e) the audience of federated credentials',
      ),
    ],
    unverified:
      'every claim of this row, and that tokens of managed identities live up to 25 hours',
  },
  {
    name: 'cloudflare-access',
    notes:
      '`audiences` is the AUD tag of the Access application. A service token has an empty `sub`; its `common_name` is the identity’s subject.',
    stops: [
      stop(
        '`type` must be `app`',
        'the session token of the whole organisation',
        'a session of the whole organisation',
      ),
      stop(
        'the service token or the user is pinned',
        'everybody else behind the same application',
        '(a) another service token',
      ),
    ],
    unverified: 'every claim of this row',
  },
  {
    name: 'workforce',
    notes:
      'A laptop’s agent with its user’s token and what the identity provider says of the device; the names of those claims are the provider’s (e.g. `/device/compliant`). With `subject: workload` the signed-in laptop is the caller. With `subject: user` the token says on whose behalf, and opens nothing without an actor of its own.',
    stops: [
      stop(
        '`match` names something, by type',
        'every account of the company, on any device',
        'a device that is not compliant',
      ),
      stop(
        'two hours are the longest life',
        'a session of a device that has long been lost',
        'a token of a week',
      ),
    ],
    unverified: 'the names of device claims at any provider',
  },
]
