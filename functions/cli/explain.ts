// `sallyport explain`: which Auth Methods would take a token, and which claim fails; by the broker's own
// rules, on this machine, without the network. Neither the token nor its signature is ever printed.
import { candidatesFor } from '../core/attestation.ts'
import type { CompiledAuthMethod, UntrustedAttestation } from '../core/auth-method.ts'
import type { Clock } from '../core/ports.ts'
import { selectorKey } from '../core/auth-method.ts'
import { TOKEN_TYPES } from '../core/token.ts'
import { selectAttestation } from '../auth-methods/select.ts'
import { type BindingLine, bindingLines } from './explain-bindings.ts'
import { type ExplainedPolicy, readExplainedPolicy } from './explain-policy.ts'
import { CliError, type CliIo, EXIT } from './io.ts'
import { table } from './table.ts'

export type ExplainOptions = {
  readonly tokenFile: string
  readonly tokenType?: string
  readonly policy?: readonly string[]
  readonly server?: string
  readonly issuer?: string
  readonly authMethod?: string
  readonly fetchKeys?: boolean
  readonly json?: boolean
}

type CheckLine = {
  readonly check: string
  readonly ok: boolean
  readonly reason?: string
  readonly claim?: string
  readonly expected?: unknown
  readonly got?: unknown
}

type MethodLine = {
  readonly method: string
  readonly type: string
  /** `unknown`: nothing that can be told here speaks against it. */
  readonly verdict: 'accepts' | 'refuses' | 'unknown'
  readonly checks: readonly CheckLine[]
  /** What would still have to hold. */
  readonly unchecked: readonly string[]
  readonly bindings: readonly BindingLine[]
}

const SHORT_TYPES: Readonly<Record<string, string>> = {
  jwt: TOKEN_TYPES.jwt,
  id_token: TOKEN_TYPES.idToken,
  'id-jag': TOKEN_TYPES.idJag,
  'aws-sigv4': TOKEN_TYPES.awsSigV4,
  opaque: TOKEN_TYPES.opaque,
}

export async function explain(options: ExplainOptions, io: CliIo): Promise<void> {
  const clock: Clock = {
    nowSeconds: () => Math.floor(io.nowMs() / 1000),
    nowMs: io.nowMs,
  }
  const token = (await io.readText(options.tokenFile)).trim()
  const policy = await readExplainedPolicy(options, clock, io)
  const tokenType = typeOf(token, options.tokenType)
  const attestation = { tokenType, token }
  const selected = selectAttestation(attestation)
  const candidates = candidatesFor(attestation, {
    snapshot: policy.snapshot,
    authMethod: options.authMethod ?? null,
    select: selectAttestation,
  })
  const methods: MethodLine[] = []
  for (const method of candidates.ok ? candidates.value : []) {
    methods.push(await methodLine(method, attestation, { policy, clock, options }))
  }
  const accepting = methods.filter(({ verdict }) => verdict === 'accepts')
  const report = {
    token_type: tokenType,
    selected_by: selected.ok ? selectorKey(selected.value) : null,
    ...(candidates.ok ? {} : { no_candidate: candidates.failure }),
    methods,
    accepted_by: accepting.map(({ method }) => method),
  }
  if (options.json) io.out(JSON.stringify(report))
  else print(report, policy, io)
  if (accepting.length === 1) return
  throw new CliError(EXIT.refused, conclusion(methods, accepting.length), null)
}

function typeOf(token: string, asked: string | undefined): string {
  if (asked !== undefined) return SHORT_TYPES[asked] ?? asked
  if (token.split('.').length === 3) return TOKEN_TYPES.jwt
  // base64url of `{"`: a signed request in its JSON envelope.
  return token.startsWith('eyJ') ? TOKEN_TYPES.awsSigV4 : TOKEN_TYPES.opaque
}

async function methodLine(
  method: CompiledAuthMethod,
  attestation: UntrustedAttestation,
  context: {
    readonly policy: ExplainedPolicy
    readonly clock: Clock
    readonly options: ExplainOptions
  },
): Promise<MethodLine> {
  const told = method.explain?.(attestation) ?? { checks: [], claims: null }
  const checks: CheckLine[] = told.checks.map(({ check, fault, ...shown }) => ({
    check,
    ok: fault === null,
    ...fault,
    ...shown,
  }))
  const unchecked = method.asks === true ? ['what the authority of the method says'] : []
  const isJwt = told.claims !== null
  if (isJwt && checks.every(({ ok }) => ok) && context.options.fetchKeys && method.asks !== true) {
    const verified = await method.verify(attestation)
    checks.push({ check: 'signature', ok: verified.ok, ...(verified.ok ? {} : verified.failure) })
  } else if (isJwt) unchecked.push('the signature')
  if (!isJwt && method.explain === undefined) unchecked.push('everything: nothing is told offline')
  const verdict = checks.some(({ ok }) => !ok) ? 'refuses' : isJwt ? 'accepts' : 'unknown'
  const bindings =
    verdict === 'accepts' && told.claims !== null
      ? bindingLines(method.name, told.claims, context.policy, context.clock.nowSeconds())
      : []
  return { method: method.name, type: method.type, verdict, checks, unchecked, bindings }
}

type Report = {
  readonly token_type: string
  readonly selected_by: string | null
  readonly no_candidate?: { readonly reason: string; readonly claim?: string }
  readonly methods: readonly MethodLine[]
}

function print(report: Report, { snapshot }: ExplainedPolicy, io: CliIo): void {
  io.out(`token type   ${report.token_type}`)
  io.out(`selected by  ${shown(report.selected_by)}`)
  if (report.no_candidate !== undefined) {
    const { reason, claim } = report.no_candidate
    io.out(`no method is a candidate: ${reason}${claim === undefined ? '' : ` (${claim})`}`)
    const known = [...snapshot.methods.values()]
    const rows = known.map(({ name, selector }) => ['', name, selectorKey(selector)])
    if (rows.length > 0) io.out(table(['', 'method', 'is selected by'], rows))
  }
  for (const { method, type, verdict, checks, unchecked, bindings } of report.methods) {
    io.out(`\n${method} (${type}): ${verdict}`)
    const rows = checks.map((line) => [line.ok ? 'pass' : 'FAIL', line.check, facts(line)])
    if (rows.length > 0) io.out(table(['', 'check', ''], rows))
    for (const open of unchecked) io.out(`  not checked: ${open}`)
    for (const { binding, target, effect, holds, why } of bindings) {
      const because = why === undefined ? '' : `: ${why}`
      io.out(
        `  binding ${binding} (${effect} ${target}) ${holds ? 'holds' : 'does not hold'}${because}`,
      )
    }
  }
}

function facts({ ok, reason, claim, expected, got }: CheckLine): string {
  const said = got === undefined ? '' : `got ${shown(got)}`
  if (ok) return said
  const named = `${String(reason)}${claim === undefined ? '' : ` (${claim})`}`
  const wanted = expected === undefined ? '' : `expected ${shown(expected)}`
  return [named, wanted, said].filter((part) => part !== '').join(', ')
}

const MAX_SHOWN = 200

/** A stranger wrote it: no control character reaches the terminal, and no endless line. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? ''
  const plain = text.replaceAll(/[^\x20-\x7e]/gu, (character) => {
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
  })
  return plain.length > MAX_SHOWN ? `${plain.slice(0, MAX_SHOWN)}…` : plain
}

function conclusion(methods: readonly MethodLine[], accepting: number): string {
  if (accepting > 1) return 'several methods would accept it: name one with auth_method'
  return methods.some(({ verdict }) => verdict === 'unknown')
    ? 'whether it is accepted cannot be told here'
    : 'no method would accept it'
}
