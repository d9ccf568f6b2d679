// A secret is a wrapped type that prints as `[redacted]` whichever way it is printed (LEAK-2).

const values = new WeakMap<Secret, string>()

export class Secret {
  /**
   * The origins it may be sent to, e.g. `https://crm.example`; checked again at use. Null: the origin of
   * whatever names it, where only an admin may write what names it (policy/admin-target.ts).
   */
  readonly allowedOrigins: readonly string[] | null

  constructor(value: string, allowedOrigins: readonly string[] | null) {
    values.set(this, value)
    this.allowedOrigins = allowedOrigins
  }

  /** The value, for the wire to `origin` only; null when that origin is not allowed. */
  revealFor(origin: string): string | null {
    if (this.allowedOrigins !== null && !this.allowedOrigins.includes(origin)) return null
    return values.get(this) ?? null
  }

  toString(): string {
    return '[redacted]'
  }

  toJSON(): string {
    return '[redacted]'
  }

  /** What util.inspect and console.log print, on every runtime that has them. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[redacted]'
  }
}
