import { createHash } from 'node:crypto'

/** The hash by which a content security policy lets an inline style in. */
function hashOf(style: string): string {
  return `'sha256-${createHash('sha256').update(style).digest('base64')}'`
}

/** Text as it may stand in HTML. */
export function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

/** One page: nothing of it comes from another origin, and without `policy` it runs no script. */
export function htmlPage(page: { title: string; style: string; head?: string; body: string; policy?: readonly string[] }): Response {
  const { title, style, head = '', body, policy = [] } = page
  const document = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escaped(title)}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
${head}</head>
<body>
${body}
</body>
</html>
`
  const rules = policy.length > 0 ? policy : [`style-src ${hashOf(style)}`, 'img-src data:']
  const all = ["default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", ...rules]
  return new Response(document, {
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': all.join('; '),
      'cache-control': 'public, max-age=300',
    },
  })
}
