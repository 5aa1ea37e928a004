import { escaped, htmlPage } from '#lib/api/docs/html'
import { endpoint } from '#lib/api/endpoint'
import { errorTexts } from '#lib/core/error-texts'
import { errorTable, isErrorCode } from '#lib/core/errors'

const style = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem; }
section { border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); padding: 0.5rem 0; scroll-margin-top: 1rem; }
section:target { border-inline-start: 4px solid #3b82f6; padding-inline-start: 0.75rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.1rem; margin: 0.4rem 0; } p { margin: 0.3rem 0; }
h2 a { color: inherit; } code { font: 0.92em ui-monospace, monospace; overflow-wrap: anywhere; }
`

/** A sentence with its `code` marked up. */
function sentence(text: string): string {
  return escaped(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>')
}

function body(): string {
  const sections = Object.keys(errorTable)
    .filter(isErrorCode)
    .map((code) => {
      const [status, title, retryable] = errorTable[code]
      const [cause, cure] = errorTexts[code]
      return `<section id="${code}">
<h2><a href="#${code}"><code>${code}</code></a></h2>
<p>${status} · ${escaped(title)}${retryable ? ' · retryable' : ''}</p>
<p><strong>Cause:</strong> ${sentence(cause)}</p>
<p><strong>Cure:</strong> ${sentence(cure)}</p>
</section>`
    })
  return `<main>
<h1>Errors</h1>
<p>Every error is a problem document (RFC 9457). Its <code>type</code> leads here, its <code>code</code> is one of this closed list.
The API itself is described at <a href="/docs">/docs</a>.</p>
${sections.join('\n')}
</main>`
}

/** GET /docs/errors: what `type` of every problem document leads to; one anchor for each code. */
export const errorsPage = endpoint({
  method: 'GET',
  path: '/docs/errors',
  summary: 'The errors with cause and cure, for people',
  access: 'open',
  handler: () => htmlPage({ title: 'Errors · Baton', style, body: body() }),
})
