import { errorTable } from '#lib/core/errors'
import { stopReason } from '#lib/core/run'
import { errorTexts } from '#lib/core/error-texts'

const intro = `# Errors

<!-- Written by \`npm run docs\` from lib/core/errors.ts and lib/core/error-texts.ts: do not edit. -->

Every error is a problem document (RFC 9457, \`application/problem+json\`): \`type\`, \`title\`, \`status\`, \`detail\`, \`instance\`, \`code\`,
\`requestId\`, \`retryable\`, and fields of its own. \`code\` is one of this closed list. \`retryable\` says whether the same request may
succeed later; answers that say so carry \`Retry-After\` where a time is known. An answer for a run that ended badly has the run's
stop reason as its code, names \`runId\` and says \`x-should-retry: false\`: sending it again would run it again.
`

/** The text of docs/errors.md, in the order of the table. */
export function errorsDoc(): string {
  const sections = Object.entries(errorTable).map(([code, [status, title, retryable]]) => {
    const [cause, cure] = errorTexts[code as keyof typeof errorTable]
    return `## ${code}\n\n${status} · ${title}${retryable ? ' · retryable' : ''}\n\n- Cause: ${cause}\n- Cure: ${cure}\n`
  })
  const isCode = (reason: string): boolean => Object.hasOwn(errorTable, reason)
  const plain = stopReason.options.filter((reason) => !isCode(reason))
  const coded = stopReason.options.filter(isCode)
  const reasons = `## Stop reasons\n\nWhy a run ended, as \`stopReason\`: ${plain.map((reason) => `\`${reason}\``).join(', ')} (the good end), and, with the meaning above: ${coded.map((reason) => `\`${reason}\``).join(', ')}.\n`
  return [intro, ...sections, reasons].join('\n')
}
