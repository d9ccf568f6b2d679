// Contract of the actions/ family as another gateway asks about it: the `action` and `resource` of
// an AuthZEN request, stated by somebody else, as a normalised action.
import type { Undetermined } from './envelope.ts'
import type { JsonObject } from './identity.ts'
import type { Action, ActionName } from './intent.ts'
import type { Result } from './result.ts'
import type { CompiledTarget } from './target.ts'

export type StatedAction = {
  readonly properties: JsonObject
  readonly resource: {
    readonly type: string
    readonly id: string
    readonly labels: readonly string[]
  }
  /** The target of that name, when it is configured. */
  readonly target: CompiledTarget | null
}

/** `undetermined`: what could not be told; no deterministic tier allows it. */
export type UnderstoodAction = {
  readonly action: Action
  readonly undetermined: readonly Undetermined[]
}

export interface ActionType {
  readonly name: ActionName
  /** The action, or a stable word for why it was not understood. */
  read(stated: StatedAction): Promise<Result<UnderstoodAction, string>>
}
