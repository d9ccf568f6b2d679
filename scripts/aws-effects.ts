// What an AWS action does, in our words: from AWS's access level and the words of its name. Rules are
// general, in order, the first that holds; a doubt is resolved towards the effect that is granted less
// often. test/scripts/aws-effects.test.ts holds them against well-known actions.
import { awsWords } from '../functions/actions/aws-table.ts'
import type { Effect } from '../functions/core/policy.ts'

export type AwsActionFacts = {
  readonly service: string
  readonly name: string
  /** As in AWS's service authorization reference, e.g. `Permissions management, Write`. */
  readonly accessLevel: string
}

/** All of them must be granted. */
export function effectsOf(facts: AwsActionFacts): readonly Effect[] {
  const words = awsWords(facts.name)
  const named: Named = { ...facts, words, levels: facts.accessLevel.split(', ') }
  return RULES.find(({ holds }) => holds(named))?.effects ?? ['write']
}

type Named = AwsActionFacts & {
  readonly words: readonly string[]
  readonly levels: readonly string[]
}

type Rule = { readonly effects: readonly Effect[]; readonly holds: (action: Named) => boolean }

/** Services that are themselves who may do what: whatever changes them changes privileges. */
const ACCESS_SERVICES: ReadonlySet<string> = new Set([
  'account',
  'iam',
  'identity-sync',
  'identitystore',
  'organizations',
  'ram',
  'rolesanywhere',
  'sso',
  'sso-directory',
])

/** Names that end so give out, set or renew what somebody can act with. */
const CREDENTIAL =
  /(Credentials?|Passwords?|PasswordData|Tokens?|AccessKeys?|ApiKeys?|LoginProfile|PrivateKeys?|KeyPairs?|SSHPublicKey|Presigned\w*Url|Signed\w*Url|EmbedUrl\w*|SignInUrl|SigninUrl|LoginUrl|FederationUrl)(With\w+|For\w+|From\w+|V[0-9]+)?$/
/** Verbs that only look at a credential from outside, or take it away. */
const HARMLESS_WITH_CREDENTIALS = words(
  'Is List Describe Search Count Validate Verify Revoke Delete Remove Disable Deactivate Untag Tag Import',
)
const SECRET = /(Secret|Secrets|SecretValue|SecretValues)$/
const ROLES = words('Role Roles Permission Permissions Principal Principals Grant Grants')
const HANDS_ON = words(
  'Add Associate Attach Enable Grant Modify Pass Put Replace Set Update Authorize',
)
const CRYPTOGRAPHY = /^((Re)?(En|De)crypt|Generate(DataKey|Mac)|Sign$|Verify$|VerifyMac$|Derive)/
const RUNS = words('Invoke Execute Run Converse Connect DbConnect Call')
const STARTS = words(
  'Start Submit Launch Trigger Retry Resume Restart Reboot Redrive Replay Rerun Continue Signal Deploy Perform Test',
)
const DELETES = words(
  'Delete Remove Terminate Purge Drop Destroy Wipe Erase Deregister Dispose Discard Forget Flush Release Deprovision Deallocate',
)
/** `ScheduleKeyDeletion`: these ask for what the rest of the name says. */
const ASKS_FOR = words('Schedule Request Initiate Confirm Start Begin Submit Approve Replicate')
const SENDS = words('Send Resend Notify Broadcast Invite')
const PUBLISHES = words('Publish Post Put')
const MESSAGES = words('Message Messages Event Events Notification Notifications Email Emails SMS')
/** `SendCommand`, `SendTaskSuccess`: what is sent makes something run. */
const DRIVES = words('Command Commands Signal Task Workflow Job Automation')

const RULES: readonly Rule[] = [
  { effects: ['admin'], holds: ({ levels }) => levels.includes('Permissions management') },
  { effects: ['admin'], holds: (a) => ACCESS_SERVICES.has(a.service) && !isReading(a) },
  { effects: ['admin'], holds: ({ words: [first] }) => first === 'Assume' || first === 'Pass' },
  // The key stays where it is: its use is granted apart from its policy, which is `admin`.
  { effects: ['execute'], holds: ({ name }) => CRYPTOGRAPHY.test(name) },
  { effects: ['admin'], holds: givesOutCredentials },
  { effects: ['admin'], holds: handsOnPrivileges },
  { effects: ['execute'], holds: ({ words }) => RUNS.has(verbOf(words)) },
  { effects: ['read'], holds: isReading },
  { effects: ['write'], holds: ({ levels }) => levels.includes('Tagging') },
  // One call that puts and deletes, as its caller likes.
  { effects: ['write', 'delete'], holds: ({ name }) => name.startsWith('BatchWrite') },
  { effects: ['delete'], holds: deletes },
  { effects: ['execute'], holds: ({ words }) => sends(words) && words.some(isIn(DRIVES)) },
  { effects: ['send'], holds: ({ words }) => sends(words) },
  { effects: ['execute'], holds: ({ words }) => STARTS.has(verbOf(words)) },
]

function words(list: string): ReadonlySet<string> {
  return new Set(list.split(' '))
}

function isIn(set: ReadonlySet<string>): (word: string) => boolean {
  return (word) => set.has(word)
}

function isReading({ levels }: Named): boolean {
  return levels.every((level) => level === 'Read' || level === 'List')
}

/** The first word that says what is done: `BatchGetItem`, `AdminDeleteUser`, `PartiQLInsert`. */
function verbOf(words: readonly string[]): string {
  const [first = '', second, third] = words
  if (first === 'Parti') return third ?? first
  const isModifier = first === 'Batch' || first === 'Bulk' || first === 'Admin'
  const verb = isModifier ? (second ?? first) : first
  // Few services write their actions in upper or lower case alone.
  return verb.slice(0, 1).toUpperCase() + verb.slice(1).toLowerCase()
}

function givesOutCredentials({ name, words }: Named): boolean {
  const verb = verbOf(words)
  if (CREDENTIAL.test(name)) return !HARMLESS_WITH_CREDENTIALS.has(verb)
  if (SECRET.test(name)) return verb === 'Get' || verb === 'Retrieve'
  // With its private key.
  return verb === 'Export' && name.endsWith('Certificate')
}

function handsOnPrivileges(action: Named): boolean {
  const { words, name } = action
  if (isReading(action) || !HANDS_ON.has(verbOf(words))) return false
  return words.slice(1).some(isIn(ROLES)) || name.includes('InstanceProfile')
}

function deletes({ words }: Named): boolean {
  if (DELETES.has(verbOf(words))) return true
  const rest = words.slice(1)
  return (
    ASKS_FOR.has(verbOf(words)) && rest.some((word) => word === 'Delete' || word === 'Deletion')
  )
}

function sends(words: readonly string[]): boolean {
  const verb = verbOf(words)
  if (SENDS.has(verb)) return true
  const rest = words.slice(1)
  if (!PUBLISHES.has(verb)) return false
  const isBare = rest.length === 0 || (rest.length === 1 && rest[0] === 'Batch')
  return verb === 'Put' ? rest.join('') === 'Events' : isBare || rest.some(isIn(MESSAGES))
}
